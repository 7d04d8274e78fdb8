"""Files over networks: each program that a board may have, networks that fail, and a real ssh server."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path

import pytest
from support.transfers import Bench, noise, open_bench, prose

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError, NetworkError, OperationFailed, Timeout
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.debian import fetch
from pytest_lava.transfer.api import Contents, Mode, Network
from pytest_lava.transfer.server import FileServer, serving

HERE = Network(address="127.0.0.1")
NEEDED = (
    "base64", "cat", "chmod", "cksum", "cut", "dd", "df", "head", "ln", "ls", "mv", "readlink", "rm", "sed",
    "sha256sum", "sleep", "stat", "stty", "tail", "touch", "tr", "wc",
)  # fmt: skip


@contextmanager
def board_with(
    folder: Path, programs: dict[str, str], *, mode: Mode = "http", network: Network = HERE, markers: bool = False
) -> Iterator[Bench]:
    """A shell of this machine that finds these programs, and those that every board has."""
    there = folder / "bin"
    there.mkdir()
    for name, path in {**{name: f"/usr/bin/{name}" for name in NEEDED}, **programs}.items():
        (there / name).symlink_to(path)
    with open_bench(folder, f"env PATH={there} /bin/dash -i", markers=markers, mode=mode, network=network) as bench:
        yield bench


def there_and_back(bench: Bench, data: bytes) -> None:
    path, back = bench.folder / "there", bench.folder / "back"
    bench.files.write_bytes(str(path), data)
    assert path.read_bytes() == data
    assert bench.files.read_bytes(str(path)) == data
    path.chmod(0o641)
    bench.files.get(str(path), back)
    assert (back.read_bytes(), back.stat().st_mode & 0o7777) == (data, 0o641)
    path.unlink()
    back.unlink()
    assert bench.shell.run("echo usable").stdout == "usable\n"
    assert not list(bench.folder.glob(".lava*"))


def out_of_time(bench: Bench) -> None:
    """A time limit leaves at most what can be gone on with."""
    with pytest.raises(Timeout):
        bench.files.write_bytes(str(bench.folder / "big"), bytes(200_000_000), timeout=0.3)
    assert not (bench.folder / "big").exists()
    for part in bench.folder.glob(".lava*.part"):
        part.unlink()


@pytest.mark.parametrize("markers", [False, True], ids=["agent", "markers"])
@pytest.mark.parametrize(
    "program",
    [
        {"curl": "/usr/bin/curl"},
        {"wget": "/usr/bin/wget"},
        {"nc": "/bin/busybox"},
        {"nc": "/bin/busybox", "wget": "/bin/busybox"},
    ],
    ids=["curl", "GNU wget", "busybox nc", "busybox"],
)
def test_http_by_each_program(tmp_path: Path, program: dict[str, str], markers: bool) -> None:
    with board_with(tmp_path, program, markers=markers) as bench:
        for data in (b"", b"x", prose(100_000), noise(3_000_001)):
            wire = bench.wire
            there_and_back(bench, data)
            assert bench.wire - wire < 40_000  # nothing of it went over the line but, once, our scripts
        assert "files go by http" in bench.events


def test_a_program_that_only_fetches(tmp_path: Path) -> None:
    with board_with(tmp_path, {"wget": "/bin/busybox"}, mode="auto") as bench:
        for seed in (1, 2):
            there_and_back(bench, noise(100_000, seed))
        assert bench.events.count("does not go by") == 1
        assert "get does not go by http any more: the board has no program that sends" in bench.events
        assert bench.line.sent < 50_000  # put still goes by it


def test_small_files_do_not_wait_for_a_network(tmp_path: Path) -> None:
    with open_bench(tmp_path, mode="auto", network=HERE) as bench:
        there_and_back(bench, noise(20_000))
        assert "http" not in bench.events
        there_and_back(bench, noise(40_000))
        assert "files go by http" in bench.events


@pytest.mark.parametrize(
    ("address", "programs"),
    [("127.0.0.1", {}), ("127.99.0.99", {"curl": "/usr/bin/curl"}), ("no-such-host.invalid", {"wget": "/bin/busybox"})],
    ids=["no program", "wrong address", "unknown name"],
)
def test_auto_falls_back_to_the_line_and_says_so(tmp_path: Path, address: str, programs: dict[str, str]) -> None:
    # something else listens there, which is no server of ours
    network = Network(address=address, listen="127.0.0.1")
    with board_with(tmp_path, programs, mode="auto", network=network) as bench:
        began = time.monotonic()
        there_and_back(bench, noise(50_000))
        assert time.monotonic() - began < 20
        for way in ("put", "get"):
            assert bench.events.count(f"{way} does not go by http any more") == 1
        there_and_back(bench, noise(50_000, 2))
        assert bench.events.count("does not go by http any more") == 2


def test_http_that_is_insisted_on(tmp_path: Path) -> None:
    with board_with(tmp_path, {}, mode="http") as bench:
        with pytest.raises(NetworkError, match="the board has none of curl, wget and nc"):
            bench.files.write_bytes(str(tmp_path / "there"), b"x")
        assert bench.shell.run("echo usable").stdout == "usable\n"


def test_network_that_dies_in_the_middle(tmp_path: Path) -> None:
    with open_bench(tmp_path, mode="auto", network=HERE) as bench:
        there_and_back(bench, noise(40_000))
        stop, data = threading.Event(), bytes(60_000_000)
        path = tmp_path / "there"
        path.write_bytes(data)
        killer = threading.Thread(target=_kill_curl, args=(stop, path))
        killer.start()
        try:
            assert bench.files.read_bytes(str(path)) == data
        finally:
            stop.set()
            killer.join()
        assert "get does not go by http any more: the board's program failed: status 137" in bench.events


def test_what_is_wrong_on_the_board_over_http(tmp_path: Path) -> None:
    with open_bench(tmp_path, mode="http", network=HERE) as bench:
        small = tmp_path / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)], check=True)
        try:
            timer = threading.Timer(0.0, lambda: (small / "other").write_bytes(noise(100_000)))
            with pytest.raises(OperationFailed, match="no space on the board"):
                bench.files.write_bytes(str(small / "there"), noise(300_000))
            timer.start()
            timer.join()
            assert {path.name for path in small.iterdir()} == {"other"}
        finally:
            subprocess.run(["umount", str(small)], check=True)
        out_of_time(bench)
        there_and_back(bench, noise(40_000))


def test_the_server_serves_one_path_one_way() -> None:
    data = noise(10_000)
    served = FileServer(len(data), 1000, contents=_contents(data))
    with serving(served, "127.0.0.1"):

        def ask(request: str) -> bytes:
            with closing(socket.create_connection(("127.0.0.1", served.port), timeout=5)) as line:
                line.sendall(request.encode())
                return b"".join(iter(lambda: line.recv(65536), b""))

        for wrong in ("/", "/x", served.path[:-1], served.path + "x", served.path + "/..", "/%2e%2e/etc/passwd"):
            assert b" 404 " in ask(f"GET {wrong} HTTP/1.0\r\n\r\n").split(b"\r\n")[0]
        assert b" 404 " in ask(f"PUT {served.path} HTTP/1.0\r\nContent-Length: 1\r\n\r\nx").split(b"\r\n")[0]
        assert b" 501 " in ask(f"DELETE {served.path} HTTP/1.0\r\n\r\n").split(b"\r\n")[0]
        assert served.at == 1000
        assert ask(f"GET {served.path} HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n" + data[1000:])
        assert served.done
        port = served.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.parametrize("length", [9_000, 10_000, 9_001, 0])
def test_the_server_takes_the_rest_or_all(length: int) -> None:
    data, got = noise(10_000), []
    served = FileServer(len(data), 1000, write=got.append)
    with serving(served, "127.0.0.1"), closing(socket.create_connection(("127.0.0.1", served.port), 5)) as line:
        line.sendall(f"PUT {served.path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n".encode())
        line.sendall(data[len(data) - length :])
        said = line.recv(100)
    if length in {9_000, 10_000}:
        assert b" 201 " in said
        assert b"".join(got) == data[1000:]
    else:
        assert b" 400 " in said
        assert not got


def test_the_server_tells_what_is_wrong_here() -> None:
    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    served = FileServer(100, 0, write=full)
    with serving(served, "127.0.0.1"), closing(socket.create_connection(("127.0.0.1", served.port), 5)) as line:
        line.sendall(f"PUT {served.path} HTTP/1.0\r\nContent-Length: 100\r\n\r\n{'x' * 100}".encode())
        with pytest.raises(OSError, match="No space left"):
            served.await_more(0, Deadline.after(5))
    with (
        pytest.raises(InfrastructureError, match=r"cannot serve a file at 203\.0\.113\.1"),
        serving(FileServer(0, 0), "203.0.113.1"),
    ):
        pass


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A real sshd on loopback, with keys of its own; of Debian's package where this machine has none installed."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "user.pub").rename(folder / "authorized")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n"
    )
    log = (folder / "log").open("wb")
    argv = [*_with_its_user(folder), _sshd(), "-D", "-e", "-f", str(folder / "config")]
    server = subprocess.Popen(argv, stderr=log)
    try:
        deadline = Deadline.after(10)
        while b"Server listening" not in (folder / "log").read_bytes():
            assert not deadline.expired, (folder / "log").read_text()
            time.sleep(0.02)
        known = ("-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={folder}/known")
        yield Network(
            address="203.0.113.1",
            ssh=f"ssh://{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1:{port}",
            ssh_options=("-F", "none", "-i", str(folder / "user"), *known),
        )
    finally:
        server.terminate()
        server.wait()
        log.close()


def _with_its_user(folder: Path) -> list[str]:
    """Started by root, sshd wants a user of its own, whom only its package makes: lent to it alone here."""
    known = Path("/etc/passwd").read_text()
    if os.geteuid() != 0 or "\nsshd:" in known:
        return []
    (folder / "passwd").write_text(f"{known}sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin\n")
    return ["unshare", "-m", "sh", "-c", f'mount --bind {folder}/passwd /etc/passwd && exec "$@"', "sh"]


def _sshd() -> str:
    installed, kept = Path("/usr/sbin/sshd"), cache_dir() / "test-sshd"
    if installed.exists():
        return str(installed)
    if not (kept / "usr/sbin/sshd").exists():
        arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
        (deb,) = fetch(["openssh-server"], arch.strip(), kept)
        subprocess.run(["dpkg", "-x", str(deb), str(kept)], check=True)
    return str(kept / "usr/sbin/sshd")


def test_ssh(tmp_path: Path, ssh: Network) -> None:
    with open_bench(tmp_path, mode="ssh", network=ssh) as bench:
        for data in (b"", b"x", prose(100_000), noise(3_000_001)):
            wire = bench.wire
            there_and_back(bench, data)
            assert bench.wire - wire < 40_000
        assert "files go by ssh" in bench.events
        out_of_time(bench)
        there_and_back(bench, noise(40_000))


def test_auto_goes_on_to_ssh(tmp_path: Path, ssh: Network) -> None:
    with board_with(tmp_path, {}, mode="auto", network=ssh) as bench:
        there_and_back(bench, noise(50_000))
        assert bench.events.count("does not go by http any more") == 2
        assert "files go by ssh" in bench.events


def test_ssh_that_does_not_let_us_in(tmp_path: Path, ssh: Network) -> None:
    wrong = Network(ssh=ssh.ssh, ssh_options=(*ssh.ssh_options[:2], *ssh.ssh_options[4:], "-o", "IdentityFile=none"))
    with open_bench(tmp_path, mode="ssh", network=wrong) as bench:
        with pytest.raises(NetworkError, match=r"^ssh ssh://.*: .*Permission denied"):
            bench.files.write_bytes(str(tmp_path / "there"), noise(50_000))
        assert bench.shell.run("echo usable").stdout == "usable\n"


def _kill_curl(stop: threading.Event, path: Path) -> None:
    """Kill the curl that sends this file."""
    while not stop.is_set():
        for process in Path("/proc").iterdir():
            with suppress(OSError):  # it is none, or ends while it is looked at
                if (process / "comm").read_text() == "curl\n" and _has_open(process, path):
                    os.kill(int(process.name), 9)


def _has_open(process: Path, path: Path) -> bool:
    return any(fd.readlink() == path for fd in (process / "fd").iterdir())


def _contents(data: bytes) -> Contents:
    return Contents(BytesIO(data), len(data))

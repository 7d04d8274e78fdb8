"""Fetching: one pass, once, checked, unpacked, gone on with; faults with the right blame and nothing left behind."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.webserver import WebServer, web_server

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, FetchFailed, InfrastructureError, LavaError, NetworkError
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.fetch import Fetched, Fetcher
from pytest_lava.images.housekeeping import Room
from pytest_lava.images.store import Store

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

IMAGE = os.urandom(300_000) + bytes(2_000_000) + os.urandom(70_001)


def _tar(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        entry = tarfile.TarInfo("./folder/disk.img")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("disk.img", data)
    return buffer.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "img": bytes,
    "img.gz": lambda data: gzip.compress(data, 1),
    "img.xz": lambda data: lzma.compress(data, preset=0),
    "img.bz2": lambda data: bz2.compress(data, 1),
    "img.zst": zstd.compress,
    "img.zip": _zip,
    "tar": _tar,
    "tar.gz": lambda data: gzip.compress(_tar(data), 1),
    "tar.xz": lambda data: lzma.compress(_tar(data), preset=0),
    "tar.zst": lambda data: zstd.compress(_tar(data)),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path / "www") as server:
        yield server


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(cache: Path) -> Iterator[Store]:
    store = Store(cache / "objects")
    yield store
    store.close()


@pytest.fixture
def fetch(cache: Path, store: Store, said: list[str]) -> Callable[..., Fetched]:
    def fetch(text: str, *, unpack: bool = True, offline: bool = False, seconds: float = 30) -> Fetched:
        fetcher = Fetcher(cache, store, offline=offline, report=said.append)
        return fetcher.fetch(Artefact.parse(text), unpack=unpack, deadline=Deadline.after(seconds))

    return fetch


def put(server: WebServer, name: str, data: bytes) -> str:
    (server.folder / name).write_bytes(data)
    return server.url(name)


def left_behind(cache: Path) -> list[str]:
    """Whatever is neither an object, nor known of one or of a URL."""
    names = [path.name for path in cache.rglob("*") if path.is_file() and path.parent.name != "facts"]
    return [name for name in names if name.endswith((".tmp", ".part", ".part.json", ".lock"))]


@pytest.mark.parametrize("packing", PACKED)
def test_every_packing_from_a_server_and_from_a_file(
    packing: str, server: WebServer, fetch: Callable[..., Fetched], cache: Path, tmp_path: Path
) -> None:
    data = PACKED[packing](IMAGE)
    url = put(server, f"disk.{packing}", data)
    first = fetch(url)
    assert first.path.read_bytes() == IMAGE
    assert first.sha256 == hashlib.sha256(data).hexdigest()
    assert first.received == len(data)
    assert first.path.stat().st_blocks * 512 < 600_000  # holes where there is nothing
    again = fetch(url)
    assert (again.path, again.received) == (first.path, 0)
    assert fetch(url, unpack=False).path.read_bytes() == data
    local = tmp_path / f"here.{packing}"
    local.write_bytes(data)
    assert fetch(str(local)).path.read_bytes() == IMAGE
    assert fetch(f"file://{local}", unpack=False).path == local
    assert left_behind(cache) == []


def test_a_second_time_nothing_comes_over_the_network(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    data = PACKED["img.gz"](IMAGE)
    url = put(server, "disk.img.gz", data)
    path = fetch(url).path
    sent, asked = server.sent, len(server.requests)
    assert fetch(url).path == path
    assert server.sent == sent
    assert server.requests[-1][1]["if-none-match"]
    assert len(server.requests) == asked + 1
    # with a checksum nobody even asks
    assert fetch(f"{url}#sha256={hashlib.sha256(data).hexdigest()}").path == path
    assert fetch(url, offline=True).path == path
    assert len(server.requests) == asked + 1


@pytest.mark.parametrize("algorithm", ["sha512", "md5"])
def test_other_checksums(server: WebServer, fetch: Callable[..., Fetched], algorithm: str) -> None:
    data = PACKED["img.xz"](IMAGE)
    url = put(server, "disk.img.xz", data) + f"#{algorithm}={hashlib.new(algorithm, data).hexdigest()}"
    assert fetch(url).path.read_bytes() == IMAGE
    asked = len(server.requests)
    assert fetch(url).path.read_bytes() == IMAGE
    assert len(server.requests) == asked


def test_a_checksum_that_stands_beside_the_file(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    data = PACKED["img.gz"](IMAGE)
    url = put(server, "disk.img.gz", data)
    put(server, "SHA256SUMS", f"{'0' * 64}  other\n{hashlib.sha256(data).hexdigest()} *./disk.img.gz\n".encode())
    assert fetch(f"{url}#sums=SHA256SUMS").path.read_bytes() == IMAGE
    put(server, "SHA256SUMS", f"SHA256 (disk.img.gz) = {'1' * 64}\n".encode())
    with pytest.raises(FetchFailed, match=r"^disk.img.gz has sha256 [0-9a-f]{64}, not 1111"):
        fetch(f"{url}#sums=SHA256SUMS")
    put(server, "SHA256SUMS", b"nothing\n")
    with pytest.raises(ConfigurationError, match=r"lists no checksum of disk.img.gz"):
        fetch(f"{url}#sums=SHA256SUMS")


def test_a_file_that_changed_is_fetched_anew(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    url = put(server, "disk.img", b"old" * 1000)
    assert fetch(url).path.read_bytes() == b"old" * 1000
    put(server, "disk.img", b"new" * 1000)
    assert fetch(url).path.read_bytes() == b"new" * 1000


@pytest.mark.parametrize("packing", ["img", "img.gz", "img.zst", "tar.xz"])
def test_goes_on_where_it_was_reset(
    packing: str, server: WebServer, fetch: Callable[..., Fetched], said: list[str], cache: Path
) -> None:
    data = PACKED[packing](IMAGE)
    url = put(server, "disk", data)
    server.cut = [100_000, 50_000, 0]
    found = fetch(url)
    assert found.path.read_bytes() == IMAGE
    assert server.sent == len(data)  # not a byte twice
    assert len([line for line in said if "tried again" in line]) == 3
    assert left_behind(cache) == []


def test_server_that_cannot_go_on_begins_anew(
    server: WebServer, fetch: Callable[..., Fetched], said: list[str]
) -> None:
    url = put(server, "disk.img.gz", PACKED["img.gz"](IMAGE))
    server.ranges = False
    server.cut = [100_000]
    assert fetch(url).path.read_bytes() == IMAGE
    server.validators = False
    (server.folder / "disk.img.gz").write_bytes(PACKED["img.gz"](IMAGE + b"more"))
    server.cut = [100_000]
    assert fetch(url).path.read_bytes() == IMAGE + b"more"
    assert len([line for line in said if "fetched anew" in line]) == 2


def test_passing_statuses(server: WebServer, fetch: Callable[..., Fetched], said: list[str]) -> None:
    url = put(server, "disk.img", IMAGE)
    server.statuses = [503, 429]
    assert fetch(url).path.read_bytes() == IMAGE
    assert any("503" in line for line in said)


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "correct the URL"), (403, "refuses"), (401, "netrc"), (410, "gone"), (400, "400 Bad Request")],
)
def test_what_the_submitter_has_to_correct(
    status: int, message: str, server: WebServer, fetch: Callable[..., Fetched], cache: Path
) -> None:
    url = put(server, "disk.img", IMAGE)
    server.statuses = [status]
    with pytest.raises(FetchFailed, match=message):
        fetch(url)
    assert len(server.requests) == 1
    assert left_behind(cache) == []


def test_a_server_that_takes_the_request_and_says_nothing(fetch: Callable[..., Fetched]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/disk.img"
        with pytest.raises(NetworkError, match=rf"^cannot fetch {url}: no answer within 1 s \(1 try\)$"):
            fetch(url, seconds=1)


def test_a_server_that_is_not_there(fetch: Callable[..., Fetched], server: WebServer) -> None:
    url = put(server, "disk.img", IMAGE)
    server.shutdown()
    server.server_close()
    with pytest.raises(NetworkError, match=r"cannot fetch http://127.0.0.1:\d+/disk.img: .*refused.* \(5 tries\)"):
        fetch(url)


def test_a_file_that_ends_too_early(server: WebServer, fetch: Callable[..., Fetched], cache: Path) -> None:
    """Content-Length promises more: it is fetched to where it stands, again and again."""
    url = put(server, "disk.img", IMAGE)
    server.claims_more = 1000
    with pytest.raises(NetworkError):
        fetch(url)
    server.claims_more = 0
    assert fetch(url).path.read_bytes() == IMAGE
    assert left_behind(cache) == []


@pytest.mark.parametrize("packing", ["img.gz", "img.xz", "img.bz2", "img.zst", "img.zip", "tar.gz"])
def test_damaged_files(packing: str, server: WebServer, fetch: Callable[..., Fetched], cache: Path) -> None:
    data = PACKED[packing](os.urandom(50_000))
    with pytest.raises(FetchFailed, match="disk"):
        fetch(put(server, "disk", data[: len(data) * 2 // 3]))
    assert left_behind(cache) == []
    assert fetch(put(server, "disk", data)).path.stat().st_size == 50_000


def test_wrong_checksum(server: WebServer, fetch: Callable[..., Fetched], store: Store, tmp_path: Path) -> None:
    url = put(server, "disk.img", IMAGE)
    with pytest.raises(FetchFailed, match="correct the checksum, or the file"):
        fetch(f"{url}#sha256={'0' * 64}")
    assert list(store.keys()) == []
    local = tmp_path / "disk.img"
    local.write_bytes(IMAGE)
    with pytest.raises(FetchFailed, match="correct the checksum, or the file"):
        fetch(f"{local}#md5={'0' * 32}")


def test_members_of_archives(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("a.img", "b.img"):
            entry = tarfile.TarInfo(name)
            entry.size = 5
            archive.addfile(entry, io.BytesIO(name.encode()))
    url = put(server, "both.tar.gz", buffer.getvalue())
    with pytest.raises(FetchFailed, match=r"several files \(a.img, b.img\): name one, as #member=NAME"):
        fetch(url)
    assert fetch(f"{url}#member=b.img").path.read_bytes() == b"b.img"
    assert fetch(f"{url}#member=a.img").path.read_bytes() == b"a.img"
    with pytest.raises(FetchFailed, match=r"there is no c.img in this archive, which has a.img, b.img"):
        fetch(f"{url}#member=c.img")
    assert fetch(url, unpack=False).path.read_bytes() == buffer.getvalue()


def test_several_at_once(server: WebServer, cache: Path, store: Store) -> None:
    urls = [put(server, f"{number}.img", os.urandom(100_000)) for number in range(8)]
    fetcher, deadline = Fetcher(cache, store), Deadline.after(30)

    def fetch_one(url: str) -> Fetched:
        return fetcher.fetch(Artefact.parse(url), unpack=True, deadline=deadline)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fetch_one, [*urls, urls[0]]))
    assert [fetched.path.read_bytes() for fetched in found] == [
        (server.folder / f"{number}.img").read_bytes() for number in [*range(8), 0]
    ]
    assert server.sent == 800_000


def test_users_and_proxies_of_the_environment(
    server: WebServer, fetch: Callable[..., Fetched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put(server, "disk.img", IMAGE)
    server.users = {"Basic bWU6c2VjcmV0": "me:secret"}
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    assert fetch(url).path.read_bytes() == IMAGE
    server.users = {}
    monkeypatch.setenv("http_proxy", server.url("").rstrip("/"))
    assert fetch("http://nowhere.invalid/disk.img").path.read_bytes() == IMAGE
    assert server.requests[-1][0] == "http://nowhere.invalid/disk.img"


def test_offline(server: WebServer, fetch: Callable[..., Fetched]) -> None:
    url = put(server, "disk.img", IMAGE)
    with pytest.raises(ConfigurationError, match="is not in the cache: fetch it once without --offline"):
        fetch(url, offline=True)
    assert server.requests == []


def test_damage_in_the_cache_is_noticed(server: WebServer, fetch: Callable[..., Fetched], store: Store) -> None:
    url = put(server, "disk.img.gz", PACKED["img.gz"](IMAGE))
    path = fetch(url).path
    store.close()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"damage")
    assert fetch(url).path.read_bytes() == IMAGE
    store.close()
    os.utime(path)  # another time, the same content
    sent = server.sent
    assert fetch(url).path.read_bytes() == IMAGE
    assert server.sent == sent


def test_disk_full(server: WebServer, cache: Path) -> None:
    """A real one: a tmpfs in a mount namespace of its own, so nothing is left mounted."""
    url = put(server, "disk.img", os.urandom(3_000_000))
    program = f"""
import sys
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.fetch import Fetcher
from pytest_lava.images.store import Store
from pytest_lava.errors import DiskFull
folder = Path(sys.argv[1])
try:
    Fetcher(folder, Store(folder / "objects")).fetch(Artefact.parse({url!r}), unpack=True, deadline=Deadline.after(30))
except DiskFull as error:
    print(error)
    print([path.name for path in folder.rglob("*.tmp")])
"""
    cache.mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=2m none {cache} && exec "$0" -c "$1" {cache}',
         sys.executable, program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "cannot keep disk.img in the cache: No space left on device: free some space" in done.stdout, done.stderr
    assert f"set --lava-cache to another folder than {cache} (" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.3])
def test_kill_and_go_on(moment: float, server: WebServer, cache: Path, tmp_path: Path) -> None:
    """A killed run leaves a part; the next goes on there and sweeps."""
    data = os.urandom(8_000_000)
    url = put(server, "disk.img", data)
    program = (
        "import sys; from pathlib import Path; from pytest_lava.deadline import Deadline;"
        "from pytest_lava.images.artefact import Artefact; from pytest_lava.images.fetch import Fetcher;"
        "from pytest_lava.images.store import Store; folder = Path(sys.argv[1]);"
        "print('begins', flush=True);"
        "Fetcher(folder, Store(folder / 'objects')).fetch(Artefact.parse(sys.argv[2]), unpack=True,"
        " deadline=Deadline.after(30))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(cache), url], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    before = server.sent
    store = Store(cache / "objects")
    found = Fetcher(cache, store).fetch(Artefact.parse(url), unpack=True, deadline=Deadline.after(30))
    assert found.path.read_bytes() == data
    assert before + found.received <= len(data) + 8_000_000
    store.close()
    assert left_behind(cache) == []


def test_how_far_it_is(server: WebServer, cache: Path) -> None:
    """Also when it breaks off and goes on; the last that is told is the end, so nothing is left on a terminal."""
    url = put(server, "disk.img", os.urandom(5_000_000))
    server.cut = [2_000_000]
    announced: list[tuple[str, int]] = []
    told: list[tuple[int, int]] = []

    def announce(what: str, size: int) -> Callable[[int, int], None]:
        announced.append((what, size))
        return lambda done, total: told.append((done, total))

    store = Store(cache / "objects")
    Fetcher(cache, store, announce=announce).fetch(Artefact.parse(url), unpack=True, deadline=Deadline.after(30))
    store.close()
    assert announced == [("fetch disk.img", 5_000_000)]
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1] == (5_000_000, 5_000_000)


def test_room_is_made_before_a_download(server: WebServer, cache: Path) -> None:
    """Within the limit what was not used for longest goes first; never what is in use."""
    old, used = Store(cache / "objects"), Store(cache / "objects")
    for store, name in ((old, "old"), (used, "used"), (old, "newer")):
        store.add(name, [os.urandom(1_000_000)], name.__str__)
        os.utime(cache / "objects" / f".{name}.json", (len(name), len(name)))  # old, used, newer
    old.close()
    url, removed = put(server, "disk.img", os.urandom(500_000)), list[str]()
    room = Room(cache, 3_200_000, lambda gone: removed.append(gone.name))
    Fetcher(cache, used, room=room).fetch(Artefact.parse(url), unpack=True, deadline=Deadline.after(30))
    assert removed == ["old"]
    assert {about.name for key in used.keys() if (about := used.about(key))} == {"used", "newer", "disk.img"}  # noqa: SIM118
    used.close()


def test_what_is_in_use_is_never_removed(server: WebServer, cache: Path) -> None:
    stores = [Store(cache / "objects") for _ in range(2)]
    paths = []
    for number, store in enumerate(stores):
        url = put(server, f"{number}.img", os.urandom(200_000))
        paths.append(Fetcher(cache, store).fetch(Artefact.parse(url), unpack=True, deadline=Deadline.after(30)).path)
    assert stores[0].prune(0) == 0
    stores[1].close()
    assert stores[0].prune(0) >= 200_000
    assert [path.exists() for path in paths] == [True, False]
    stores[0].close()


def test_the_least_recently_used_goes_first(cache: Path) -> None:
    store = Store(cache / "objects")
    for number in range(4):
        store.add("any", [os.urandom(100_000)], f"key{number}".__str__)
        os.utime(cache / "objects" / f".key{number}.json", (number, number))
    store.close()
    store.get("key0")
    store.close()
    store.prune(250_000)
    assert list(store.keys()) == ["key0", "key3"]


def test_many_threads_want_the_same(server: WebServer, cache: Path) -> None:
    url = put(server, "disk.img.gz", PACKED["img.gz"](IMAGE))
    errors: list[LavaError | AssertionError] = []

    def run() -> None:
        store = Store(cache / "objects")
        try:
            fetched = Fetcher(cache, store).fetch(Artefact.parse(url), unpack=True, deadline=Deadline.after(30))
            assert fetched.path.read_bytes() == IMAGE
        except (LavaError, AssertionError) as error:
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert server.sent == (server.folder / "disk.img.gz").stat().st_size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://host/file", "ftp:// is unknown"),
        ("http://host", "names no file"),
        ("http://host/a#sha256=12", "which has 64 hexadecimal digits"),
        ("http://host/a#sha265=12", "did you mean sha256="),
        ("http://host/a#sha256", "is not understood"),
        ("", "give a path or a URL"),
        ("/no/such/file", "there is no such file"),
        ("/tmp", "this is a folder"),
        (f"http://host/a#sha256={'0' * 64}&md5={'0' * 32}", "one checksum is enough"),
        (f"http://host/a#sha256={'0' * 64}&sums=X", "either a checksum or sums="),
    ],
)
def test_what_cannot_be_meant(text: str, message: str, fetch: Callable[..., Fetched]) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fetch(text)


def test_cache_that_cannot_be_written(server: WebServer, store: Store, tmp_path: Path) -> None:
    url = put(server, "disk.img", IMAGE)
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match="cannot be written"):
        Fetcher(tmp_path / "file", store).fetch(Artefact.parse(url), unpack=True, deadline=Deadline.after(5))


def _skippable(data: bytes, number: int) -> bytes:
    return bytes([0x50 + number]) + b"\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


ODD: dict[str, Callable[[bytes], bytes]] = {
    "pzstd.zst": lambda data: _skippable(b"size", 0) + zstd.compress(data[:99]) + _skippable(b"", 15)
    + zstd.compress(data[99:]) + _skippable(b"index", 14),
    "twice.gz.gz": lambda data: gzip.compress(gzip.compress(data)),
    "inside.tar.gz": lambda data: gzip.compress(_tar(lzma.compress(data, preset=0))),
    "inside.zip": lambda data: _zip(bz2.compress(data, 1)),
    "members.gz": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "streams.xz": lambda data: lzma.compress(data[:1000]) + bytes(512) + lzma.compress(data[1000:], preset=0),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_packings(name: str, server: WebServer, fetch: Callable[..., Fetched]) -> None:
    """All are real: pzstd's frames without content, a server that packs what is packed, an archive around an image."""
    (server.folder / name).write_bytes(ODD[name](IMAGE))
    for place in (server.folder / name, server.url(name)):
        assert fetch(f"{place}").path.read_bytes() == IMAGE


def test_a_member_that_is_to_stay_as_it_is(server: WebServer, cache: Path, store: Store) -> None:
    """An initramfs in an archive is not unpacked; an image is."""
    packed = gzip.compress(IMAGE)
    (server.folder / "all.tar.xz").write_bytes(lzma.compress(_tar(packed), preset=0))
    (server.folder / "all.zip").write_bytes(_zip(packed))
    for name, member in (("all.tar.xz", "folder/disk.img"), ("all.zip", "disk.img")):
        for place in (server.folder / name, server.url(name)):
            artefact = Artefact.parse(f"{place}#member={member}")
            for unpack, wanted in ((False, packed), (True, IMAGE), (False, packed)):
                found = Fetcher(cache, store).fetch(artefact, unpack=unpack, deadline=Deadline.after(30))
                assert found.path.read_bytes() == wanted
                assert found.sha256 == hashlib.sha256((server.folder / name).read_bytes()).hexdigest()


SHA, SHA512, MD5 = (getattr(hashlib, kind)(b"wanted").hexdigest() for kind in ("sha256", "sha512", "md5"))
OTHER = hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize(
    ("sums", "wanted"),
    [
        (f"{SHA}  disk.img\n", SHA),
        (f"{OTHER} *other.img\r\n{SHA.upper()} *./disk.img\r\n", SHA),
        (f"SHA256 (disk.img) = {SHA}\n", SHA),
        (f"MD5 (disk.img) = {MD5}\nSHA256 (disk.img) = {SHA}\nSHA512 (disk.img) = {SHA512}\n", SHA512),
        (f"BLAKE2b (disk.img) = {SHA512}\nSHA256 (disk.img) = {SHA}\n", SHA),
        (f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disk.img: 3 bytes\n{SHA}  disk.img\n", SHA),
        (f"{OTHER}  old/disk.img\n{SHA}  ./disk.img\n", SHA),
        (f"{SHA}  images/disk.img\n", SHA),
        (f"{SHA}  disk.img\n{SHA}  disk.img\n", SHA),
        (f"{SHA}\n", SHA),
        (f"{OTHER}  a/disk.img\n{SHA}  b/disk.img\n", "lists several files named disk.img: give the sha256 itself"),
        (f"{OTHER}  disk.img\n{SHA}  disk.img\n", "lists several files named disk.img: give the sha256 itself"),
        (f"{OTHER}  other.img\n", "lists no checksum of disk.img; correct sums=, or leave it"),
        (f"BLAKE2b (disk.img) = {SHA512}\n", "lists no checksum of disk.img"),
        (f"{hashlib.sha1(b'').hexdigest()}\n", "lists no checksum of disk.img"),
    ],
)
def test_files_of_checksums(sums: str, wanted: str) -> None:
    artefact = Artefact.parse("http://me:secret@h/disk.img#sums=SUMS")
    if " " not in wanted:
        assert artefact.checksum_in(sums).value == wanted
        return
    with pytest.raises(ConfigurationError) as caught:
        artefact.checksum_in(sums)
    assert wanted in str(caught.value)
    assert "secret" not in str(caught.value)


def test_where_a_redirection_may_lead(server: WebServer, fetch: Callable[..., Fetched], said: list[str]) -> None:
    """To no file of this machine; nor is that tried again, as a network would be."""
    for place in ("file:///etc/passwd", "ftp://h/disk.img"):
        server.redirections["/moved.img"] = place
        with pytest.raises(FetchFailed, match="it leads to what is not fetched"):
            fetch(server.url("moved.img"))
    server.redirections["/moved.img"] = server.url("moved.img")
    with pytest.raises(FetchFailed, match="Exceeded 30 redirects"):
        fetch(server.url("moved.img"))
    assert said == []
    (server.folder / "disk ü.img").write_bytes(IMAGE)
    server.redirections["/moved.img"] = server.url("disk%20%C3%BC.img")
    assert fetch(server.url("moved.img")).path.read_bytes() == IMAGE


def test_a_password_in_a_url_is_nowhere(
    server: WebServer, fetch: Callable[..., Fetched], said: list[str], cache: Path
) -> None:
    (server.folder / "disk.img").write_bytes(IMAGE)
    server.users = {"Basic bWU6czNjcjN0": "me"}
    server.cut = [1000]
    found = fetch(server.url("disk.img").replace("//", "//me:s3cr3t@"))
    assert found.path.read_bytes() == IMAGE
    server.users = {}
    server.statuses = [503, 404]
    with pytest.raises(FetchFailed) as caught:
        fetch(server.url("other.img").replace("//", "//me:s3cr3t@"))
    told = [repr(found.artefact), str(found.artefact), str(caught.value), *said]
    told += [path.read_text() for path in cache.rglob("*") if path.is_file() and path.stat().st_size < 10_000]
    assert len(said) >= 3
    assert not [line for line in told if "s3cr3t" in line]

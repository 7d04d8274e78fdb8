"""The TFTP server against clients that others wrote, on networks good and bad."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lossy import Fate, lossy

from pytest_lava.deploy.tftp_server import TftpServer
from pytest_lava.errors import InfrastructureError

CLIENTS = {
    "tftp-hpa": ["tftp", "-m", "binary", "127.0.0.1", "{port}", "-c", "get", "{name}", "{to}"],
    "atftp": ["atftp", "--option", "timeout 1", "-g", "-r", "{name}", "-l", "{to}", "127.0.0.1", "{port}"],
    "atftp-options": [
        "atftp", "--option", "timeout 1", "--option", "tsize 0", "--option", "blksize 1428",
        "-g", "-r", "{name}", "-l", "{to}", "127.0.0.1", "{port}",
    ],
    "atftp-window": [
        "atftp", "--option", "timeout 1", "--option", "windowsize 8", "--option", "blksize 700",
        "-g", "-r", "{name}", "-l", "{to}", "127.0.0.1", "{port}",
    ],
    "curl": ["curl", "-sS", "--max-time", "30", "-o", "{to}", "tftp://127.0.0.1:{port}/{name}"],
}  # fmt: skip


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for size in (0, 1, 511, 512, 513, 1428, 100_000, 1_000_000):
        (tmp_path / f"{size}").write_bytes(os.urandom(size))
    (tmp_path / "secret").write_bytes(b"not served")
    return tmp_path


@pytest.fixture
def server(folder: Path, told: list[str]) -> Iterator[TftpServer]:
    files = {f"board/{path.name}": path for path in folder.iterdir() if path.name.isdigit()}
    with TftpServer(files, "127.0.0.1", report=told.append) as server:
        yield server


def get(client: str, port: int, name: str, to: Path) -> subprocess.CompletedProcess[str]:
    words = [word.format(port=port, name=name, to=to) for word in CLIENTS[client]]
    assert shutil.which(words[0]), f"{words[0]} is not installed: scripts/setup-host test"
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1428, 1_000_000])
def test_every_client_gets_every_size(server: TftpServer, folder: Path, client: str, size: int) -> None:
    done = get(client, server.port, f"board/{size}", folder / "got")
    assert done.returncode == 0, done.stderr
    assert (folder / "got").read_bytes() == (folder / f"{size}").read_bytes()


LOSS: dict[str, dict[str, Fate]] = {
    "every-20th-of-ours": {"to_client": lambda n: n % 20 != 0},
    "every-20th-of-theirs": {"to_server": lambda n: n % 20 != 0},
    "the-first-two": {"to_client": lambda n: n > 2},
    "every-acknowledgement-twice": {"to_server": lambda n: 2 if n > 1 else 1},
    "every-block-twice": {"to_client": lambda n: 2 if n > 1 else 1},  # atftp gives up at a second OACK
}


@pytest.mark.parametrize("fates", LOSS.values(), ids=LOSS)
@pytest.mark.parametrize("client", ["atftp", "atftp-options", "atftp-window"])
def test_lost_and_doubled_packets(server: TftpServer, folder: Path, client: str, fates: dict[str, Fate]) -> None:
    """About five losses each, each mended by our time-out of a second or the client's."""
    size = 1_428 if client == "atftp" else 100_000
    with lossy(server.port, **fates) as port:
        done = get(client, port, f"board/{size}", folder / "got")
    assert done.returncode == 0, done.stderr
    assert (folder / "got").read_bytes() == (folder / f"{size}").read_bytes()


def test_a_doubled_acknowledgement_does_not_double_what_follows(server: TftpServer, folder: Path) -> None:
    """The sorcerer's apprentice of RFC 1123, 4.2.3.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.3)
        client.sendto(b"\0\1board/100000\0octet\0", ("127.0.0.1", server.port))
        for block in range(1, 6):
            assert struct.unpack_from(">HH", client.recv(600)) == (3, block)
            with pytest.raises(TimeoutError):
                client.recv(600)
            for _ in range(2):
                client.sendto(struct.pack(">HH", 4, block), ("127.0.0.1", server.port))


def test_more_blocks_than_their_number_can_count(folder: Path) -> None:
    data = os.urandom(8 * 66_000 + 3)
    (folder / "large").write_bytes(data)
    with TftpServer({"large": folder / "large"}, "127.0.0.1") as server:
        words = [
            "atftp",
            "--option",
            "blksize 8",
            "--option",
            "windowsize 16",
            "-g",
            "-r",
            "large",
            "-l",
            str(folder / "got"),
            "127.0.0.1",
        ]
        subprocess.run([*words, str(server.port)], check=True, capture_output=True, timeout=60)
    assert (folder / "got").read_bytes() == data


def test_several_clients_at_a_time(server: TftpServer, folder: Path) -> None:
    def fetch(number: int) -> None:
        get("curl", server.port, "board/1000000", folder / f"got{number}")

    threads = [threading.Thread(target=fetch, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert (folder / f"got{number}").read_bytes() == (folder / "1000000").read_bytes()


@pytest.mark.parametrize("name", ["secret", "../secret", "board/../secret", "/etc/passwd", "", "board"])
def test_only_what_is_served(server: TftpServer, folder: Path, told: list[str], name: str) -> None:
    assert ask(server.port, f"\0\1{name}\0octet\0".encode())[:4] == b"\0\5\0\1"
    assert told == [f"TFTP: 127.0.0.1 asked for {name!r}, which is not served"]


def test_a_leading_slash_is_the_root(server: TftpServer, folder: Path) -> None:
    assert ask(server.port, b"\0\1/board/1\0octet\0") == b"\0\3\0\1" + (folder / "1").read_bytes()


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (b"\0\2board/1\0octet\0", b"\0\5\0\2this server is read only\0"),
        (b"\0\1board/1\0netascii\0", b"\0\5\0\0only binary (octet) transfers are served\0"),
        (b"\0\1board/1\0", b"\0\5\0\0only binary (octet) transfers are served\0"),
        (b"\0\x09board/1\0octet\0", b"\0\5\0\4illegal operation\0"),
        (b"\0\1board/511\0OCTET\0BLKSIZE\x0016\0TSize\x000\0", b"\0\6blksize\x0016\0tsize\x00511\0"),
        (b"\0\1board/511\0octet\0blksize\x0099999\0", b"\0\6blksize\x0065464\0"),
        (b"\0\1board/1\0octet\0blksize\x007\0timeout\x000\0x\0y\0", b"\0\3\0\1"),
        (b"\0\1board/1\0octet\0blksize\0-9\0timeout\0abc\0tsize\0\xff\0", b"\0\3\0\1"),
        (b"\0\1board/1\0octet\0tsize", b"\0\3\0\1"),
    ],
    ids=["write", "text", "no-mode", "nonsense", "options", "too-much", "too-little", "no-numbers", "cut-short"],
)
def test_packets_good_and_bad(server: TftpServer, folder: Path, packet: bytes, answer: bytes) -> None:
    data = (folder / "1").read_bytes() if answer == b"\0\3\0\1" else b""
    assert ask(server.port, packet) == answer + data
    assert get("curl", server.port, "board/513", folder / "got").returncode == 0  # it goes on


def test_what_came_of_it_is_told(server: TftpServer, folder: Path, told: list[str]) -> None:
    get("atftp-options", server.port, "board/100000", folder / "got")
    server.close()
    assert len(told) == 1
    assert told[0].startswith("TFTP: board/100000 to 127.0.0.1: 100000 bytes in ")
    assert told[0].endswith(", blocks of 1428")


def test_a_file_that_went(folder: Path, told: list[str]) -> None:
    with TftpServer({"a": folder / "nothing"}, "127.0.0.1", report=told.append) as server:
        assert ask(server.port, b"\0\1a\0octet\0") == b"\0\5\0\2a cannot be read\0"
    assert told == [f"TFTP: {folder}/nothing cannot be read: No such file or directory"]


def test_closing_ends_thread_socket_and_files_in_the_middle_of_a_transfer(folder: Path) -> None:
    before = open_files()
    server = TftpServer({"a": folder / "100000"}, "127.0.0.1")
    assert ask(server.port, b"\0\1a\0octet\0")[:4] == b"\0\3\0\1"
    server.close()
    server.close()
    assert open_files() == before
    assert "lava-tftp" not in [thread.name for thread in threading.enumerate()]


def test_addresses_that_cannot_be_served_at(folder: Path) -> None:
    with TftpServer({}, "127.0.0.1") as server, pytest.raises(InfrastructureError, match="Address already in use"):
        TftpServer({}, "127.0.0.1", server.port)
    with pytest.raises(InfrastructureError, match=r"cannot serve TFTP at 192\.0\.2\.1 port 0"):
        TftpServer({}, "192.0.2.1")


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def ask(port: int, packet: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(packet, ("127.0.0.1", port))
        return client.recv(70000)

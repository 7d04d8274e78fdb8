"""Servers that are not what the board file says, or go away; all on real sockets."""

from __future__ import annotations

import queue
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.lines import soon

from pytest_lava.console.console import Console
from pytest_lava.console.lines import open_line
from pytest_lava.console.settings import LineSettings
from pytest_lava.errors import ConsoleLost, NetworkError

IAC, SB, SE, BRK, WILL, DO, DONT = 255, 250, 240, 243, 251, 253, 254
GREETING = bytes([IAC, WILL, 3, IAC, WILL, 1, IAC, DO, 0])

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that does this to the one who connects; HOST:PORT."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(talk: Callable[[socket.socket], None]) -> str:
        def run() -> None:
            with suppress(OSError), listener.accept()[0] as line:
                talk(line)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    before = len(list(Path("/proc/self/fd").iterdir()))
    yield start
    listener.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert len(list(Path("/proc/self/fd").iterdir())) < before


def until_closed(line: socket.socket) -> bytes:
    data = b""
    while more := line.recv(4096):
        data += more
    return data


def test_raw_line_to_a_telnet_server_says_what_to_write(serve: Serve, tmp_path: Path) -> None:
    def talk(line: socket.socket) -> None:
        line.sendall(GREETING + b"login: ")
        until_closed(line)

    address = serve(talk)
    console = Console(tmp_path / "console.log")
    console.attach(open_line(f"socket://{address}", LineSettings())[0])
    with pytest.raises(ConsoleLost, match=rf"its server speaks telnet: write telnet://{address} in the board file"):
        console.expect([re.compile(b"login: ")], deadline=soon())
    console.close()


def test_telnet(serve: Serve, tmp_path: Path) -> None:
    heard: queue.Queue[bytes] = queue.Queue()

    def talk(line: socket.socket) -> None:
        line.sendall(GREETING + b"log" + bytes([IAC, 241]) + b"in: \xff\xff.")
        heard.put(until_closed(line))

    console = Console(tmp_path / "console.log")
    console.attach(open_line(f"telnet://{serve(talk)}", LineSettings())[0])
    console.expect([re.compile(rb"^login: \xff\.")], deadline=soon())
    console.write(b"r\xffoot\n", soon())
    console.send_break()
    console.close()
    said = heard.get(timeout=5)
    assert said.endswith(b"r\xff\xffoot\n" + bytes([IAC, BRK]))
    assert bytes([IAC, DO, 1]) in said  # it may echo


@pytest.mark.parametrize(
    ("greeting", "advice"),
    [
        (GREETING + bytes([IAC, DONT, 44]), r"speaks telnet but cannot set a serial port: write telnet://"),
        (b"login: ", "hung up: "),
    ],
)
def test_server_without_rfc2217(serve: Serve, greeting: bytes, advice: str) -> None:
    def talk(line: socket.socket) -> None:
        line.sendall(greeting)
        line.recv(10)

    with pytest.raises((ConsoleLost, NetworkError), match=advice):
        open_line(f"rfc2217://{serve(talk)}", LineSettings())


def test_server_that_sets_another_speed(serve: Serve) -> None:
    def talk(line: socket.socket) -> None:
        line.sendall(bytes([IAC, DO, 44]))
        said = b""
        while said.count(bytes([IAC, SE])) < 7:
            said += line.recv(4096)
        for answer in (b"\x65\x00\x00\x25\x80", b"\x66\x08", b"\x67\x01", b"\x68\x01"):
            line.sendall(bytes([IAC, SB, 44]) + answer + bytes([IAC, SE]))
        until_closed(line)

    with pytest.raises(ConsoleLost, match=r"did not set its port as asked: check \[console\] speed"):
        open_line(f"rfc2217://{serve(talk)}", LineSettings(speed=1_500_000))


def test_what_the_board_says_while_the_port_is_set_is_not_lost(serve: Serve, tmp_path: Path) -> None:
    def talk(line: socket.socket) -> None:
        line.sendall(b"early " + bytes([IAC, DO, 44]) + b"words")
        said = b""
        while said.count(bytes([IAC, SE])) < 7:
            said += line.recv(4096)
        assert bytes([IAC, SB, 44, 3, 3, IAC, SE]) in said  # even parity
        for answer in (b"\x65\x00\x01\xc2\x00", b"\x66\x08", b"\x67\x03", b"\x68\x02"):
            line.sendall(b"." + bytes([IAC, SB, 44]) + answer + bytes([IAC, SE]))
        until_closed(line)

    console = Console(tmp_path / "console.log")
    console.attach(open_line(f"rfc2217://{serve(talk)}", LineSettings(parity="even", stopbits=2))[0])
    console.expect([re.compile(rb"early words\.\.\.\.")], deadline=soon())
    console.close()

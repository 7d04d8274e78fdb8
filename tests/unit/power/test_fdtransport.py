from __future__ import annotations

import os
import pty
import socket
import threading
import time

import pytest

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout


def test_writes_everything_while_the_other_side_reads_slowly() -> None:
    ours, theirs = socket.socketpair()
    line: Transport = FdTransport(ours, "socket")
    data, got = os.urandom(3_000_000), bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(theirs.recv(10_000))

    reader = threading.Thread(target=read)
    reader.start()
    line.write(data, Deadline.after(20))
    reader.join()
    assert bytes(got) == data
    line.close()
    line.close()
    assert line.fileno() == -1
    assert line.why_closed() == "closed by us"
    theirs.close()


def test_line_that_takes_nothing() -> None:
    ours, theirs = socket.socketpair()
    line = FdTransport(ours, "the line")
    start = time.monotonic()
    with pytest.raises(Timeout, match=r"the console the line took only \d+ of 5000000 bytes in time"):
        line.write(bytes(5_000_000), Deadline.after(0.2))
    assert 0.2 <= time.monotonic() - start < 1
    theirs.close()
    line.close()


def test_lost_line_says_why() -> None:
    ours, theirs = socket.socketpair()
    line = FdTransport(ours, "x", why_closed=lambda: "QEMU exited with status 1")
    theirs.close()
    with pytest.raises(ConsoleLost, match="the console x is gone: QEMU exited with status 1"):
        line.write(b"data", Deadline.after(1))
    line.close()
    with pytest.raises(ConsoleLost, match="closed"):
        line.write(b"data", Deadline.after(1))


def test_other_side_goes_while_we_wait() -> None:
    ours, theirs = socket.socketpair()
    line = FdTransport(ours, "x")
    timer = threading.Timer(0.1, theirs.close)
    timer.start()
    with pytest.raises(ConsoleLost):
        line.write(bytes(5_000_000), Deadline.after(10))
    timer.join()
    line.close()


def test_pty_master() -> None:
    master, slave = pty.openpty()
    closed: list[bool] = []
    line = FdTransport(master, "pty", on_close=lambda: closed.append(True))
    line.write(b"hello\n", Deadline.after(1))
    assert os.read(slave, 100) == b"hello\n"
    with pytest.raises(ConsoleLost, match="cannot send a BREAK"):
        line.send_break()
    os.close(slave)
    line.close()
    line.close()
    assert closed == [True]


def test_break_is_passed_on() -> None:
    ours, theirs = socket.socketpair()
    held: list[float] = []
    line = FdTransport(ours, "x", send_break=held.append)
    line.send_break(0.5)
    assert held == [0.5]
    line.close()
    theirs.close()

"""Boards that lose input: a real pty, with a UART behind it that has a FIFO of 16 bytes and a slow processor."""

from __future__ import annotations

import os
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.paced import PacedTransport, paced
from pytest_lava.console.settings import LineSettings
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout

_FIFO = 16


class Weak:
    """Looks at its FIFO every millisecond; what was beyond it is lost."""

    def __init__(self) -> None:
        master, self._port = os.openpty()
        tty.setraw(self._port)
        os.set_blocking(self._port, False)
        self.line = FdTransport(master, "weak")
        self.got = b""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.001):
            try:
                self.got += os.read(self._port, 4096)[:_FIFO]
            except BlockingIOError:
                continue

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._port)
        self.line.close()


@pytest.fixture
def weak() -> Iterator[Weak]:
    board = Weak()
    yield board
    board.close()


TEXT = b"setenv bootargs console=ttyS0,115200 root=/dev/mmcblk0p2 rw rootwait\n"


def sent(weak: Weak, settings: LineSettings) -> bytes:
    line = paced(weak.line, settings)
    for at in range(0, len(TEXT), 20):  # several writes are paced as one is
        line.write(TEXT[at : at + 20], Deadline.after(10))
    deadline = time.monotonic() + 0.3
    while len(weak.got) < len(TEXT) and time.monotonic() < deadline:
        time.sleep(0.01)
    return weak.got


def test_weak_board_loses_what_comes_at_once(weak: Weak) -> None:
    assert sent(weak, LineSettings()) != TEXT


@pytest.mark.parametrize("settings", [LineSettings(txdelay=0.02, txchunk=8), LineSettings(txdelay=0.01)])
def test_paced_it_gets_everything(weak: Weak, settings: LineSettings) -> None:
    assert sent(weak, settings) == TEXT


def test_delay_is_before_the_next_byte_not_behind_the_last(weak: Weak) -> None:
    line = PacedTransport(weak.line, 0.2, 16)
    began = time.monotonic()
    line.write(b"x" * 16, Deadline.after(5))
    assert time.monotonic() - began < 0.1
    line.write(b"x", Deadline.after(5))
    assert time.monotonic() - began >= 0.2


def test_deadline_ends_it_and_names_the_setting(weak: Weak) -> None:
    line = PacedTransport(weak.line, 0.05, 2)
    began = time.monotonic()
    with pytest.raises(Timeout, match=r"took only \d of 1000 bytes in time: \[console\] txdelay lets it take 40 bytes"):
        line.write(b"x" * 1000, Deadline.after(0.12))
    assert time.monotonic() - began < 0.5


def test_closing_ends_a_write(weak: Weak) -> None:
    line = PacedTransport(weak.line, 1, 1)
    threading.Timer(0.05, line.close).start()
    began = time.monotonic()
    with pytest.raises(ConsoleLost, match="weak is closed"):
        line.write(b"xx", Deadline.after(10))
    assert time.monotonic() - began < 0.5

"""A signal that does not wake the thread that waits is acted on soon, whatever that waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.lines import Peer

from pytest_lava.console.console import Console
from pytest_lava.deadline import Deadline
from pytest_lava.images.parallel import Parallel, await_end
from pytest_lava.images.pump import Pump
from pytest_lava.power._process import wait_exit
from pytest_lava.transfer.server import FileServer

LONG = 20.0


class Interrupted(Exception):
    """What the signal raises."""


def for_a_job(folder: Path, over: threading.Event) -> None:
    await_end(Parallel().start("a job", lambda: over.wait(LONG)))


def for_bytes(folder: Path, over: threading.Event) -> None:
    def nothing(size: int) -> bytes:
        over.wait(LONG)
        return b""

    with Pump(nothing, over.set) as pump:
        pump.read(1)


def for_a_console(folder: Path, over: threading.Event) -> None:
    console = Console(folder / "console.log")
    peer = Peer(console)
    try:
        console.wait(lambda: over.is_set() or None, Deadline.after(LONG), what="nothing")
    finally:
        console.close()
        peer.line.close()


def for_a_process(folder: Path, over: threading.Event) -> None:
    process = subprocess.Popen(["sleep", str(LONG)])
    try:
        wait_exit(process, Deadline.after(LONG))
    finally:
        process.kill()
        process.wait()


def for_a_file(folder: Path, over: threading.Event) -> None:
    FileServer(1, 0).await_more(0, Deadline.after(LONG))


@pytest.fixture
def sender() -> Iterator[threading.Event]:
    """Sends the signal when it is told to, to this process as a whole. Its thread is the only one that may take it."""

    def raises(number: int, frame: object) -> None:
        raise Interrupted

    go = threading.Event()
    thread = threading.Thread(target=lambda: go.wait(LONG) and os.kill(os.getpid(), signal.SIGUSR1))
    before = signal.signal(signal.SIGUSR1, raises)
    thread.start()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    yield go
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    go.set()
    thread.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("waits", [for_a_job, for_bytes, for_a_console, for_a_process, for_a_file])
def test_it_is_acted_on_soon(
    tmp_path: Path, sender: threading.Event, waits: Callable[[Path, threading.Event], None]
) -> None:
    over, begin = threading.Event(), time.monotonic()
    threading.Timer(0.2, sender.set).start()
    try:
        with pytest.raises(Interrupted):
            waits(tmp_path, over)
    finally:
        over.set()
    assert time.monotonic() - begin < LONG / 2

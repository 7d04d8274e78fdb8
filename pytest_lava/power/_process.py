"""Starting a process of ours so that it is known of, and waiting for its end without polling."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator

from pytest_lava.deadline import Deadline

__all__ = ["how_it_ended", "kill_group", "undisturbed", "wait_exit"]

_RAISING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Around the start of a process: an interrupt that comes meanwhile is acted on when the process is known.

    Else one would be left that nobody ends: it may be switching a board on.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are acted on in that one
        yield
        return
    came: dict[int, None] = {}
    before = {number: handler for number in _RAISING if callable(handler := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, lambda number, _: came.setdefault(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for sent in came:
            signal.raise_signal(sent)


def wait_exit(process: subprocess.Popen[bytes], deadline: Deadline) -> bool:
    """Whether ``process`` ends (and is reaped) until ``deadline``; wakes at once, unlike ``Popen.wait(timeout)``."""
    if process.poll() is not None:
        return True
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:  # a kernel before 5.3
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(deadline.remaining())
        return process.poll() is not None
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while not poll.poll(math.ceil(deadline.at_one_go() * 1000)) and not deadline.expired:
            pass
    finally:
        os.close(fd)
    return process.poll() is not None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the group that ``process`` leads, and reap it. Only for one started in a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def how_it_ended(status: int) -> str:
    """``exited with status 3`` or ``was killed by SIGKILL``, of ``Popen.returncode``."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"

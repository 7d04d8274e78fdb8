"""One process at a time, in a group of its own; signals that come meanwhile reach it and are remembered."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from pytest_lava.deadline import Deadline

__all__ = ["Ended", "Processes"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its status (negative: the signal that killed it), or that it was over its time."""

    status: int
    timed_out: bool = False


class Processes:
    """Runs processes one after another.

    A terminal sends Ctrl-C to all of its foreground group. Each process has a group of its own, so it gets exactly one
    signal for one Ctrl-C, by us; and one for a ``kill`` that only we got.
    """

    def __init__(self, *, grace: float = 5.0) -> None:
        self._grace = grace  # seconds from TERM to KILL
        #: the last signal that came, 0 if none did
        self.interrupted = 0
        self._running: subprocess.Popen[bytes] | None = None
        self._whole_group = False
        self._woken = os.pipe()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Within, signals do not end this process but the one that runs."""
        before = [(number, signal.signal(number, self._pass_on)) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def build(self, command: str, log: Path, limit: Deadline) -> Ended:
        """Run a shell command, output to ``log``; an interrupt or the end of its time ends its whole group."""
        with log.open("wb") as out:
            process = self._start(["/bin/sh", "-c", command], whole_group=True, out=out)
            in_time = self._wait(process, limit, stop_when_interrupted=True)
            if not in_time or self.interrupted:
                self._end_group(process)
        self._running = None
        return Ended(process.wait(), timed_out=not in_time and not self.interrupted)

    def run(self, argv: Sequence[str]) -> Ended:
        """Run a program that knows its own limits and what to do when it is interrupted."""
        process = self._start(argv, whole_group=False)
        self._wait(process, None)
        self._running = None
        return Ended(process.wait())

    # -- inside -------------------------------------------------------------------------------------------------

    def _start(
        self, argv: Sequence[str], *, whole_group: bool, out: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        setpriv = shutil.which("setpriv")  # if we are killed it is told to end
        argv = [setpriv, "--pdeathsig", "TERM", *argv] if setpriv else argv
        self._whole_group = whole_group
        self._running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0)
        if self.interrupted:  # it came before there was anybody to pass it on to
            self._pass_on(self.interrupted, None)
        return self._running

    def _wait(
        self, process: subprocess.Popen[bytes], limit: Deadline | None, *, stop_when_interrupted: bool = False
    ) -> bool:
        """Whether it ended before ``limit``."""
        poll = select.poll()
        poll.register(self._woken[0], select.POLLIN)
        with _pidfd(process) as fd:
            poll.register(fd, select.POLLIN)
            while process.poll() is None:
                ready = poll.poll(None if limit is None else math.ceil(limit.remaining() * 1000))
                if self._woken[0] in dict(ready):
                    os.read(self._woken[0], 64)
                    if stop_when_interrupted:
                        return False
                if limit is not None and limit.expired:
                    return process.poll() is not None
        return True

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        """TERM, a moment, KILL: compilers remove half an object file when they are asked to end."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            if number == signal.SIGTERM:
                self._wait(process, Deadline.after(self._grace))

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = number
        with contextlib.suppress(ProcessLookupError, AttributeError):
            process = self._running
            if process is not None and process.returncode is None:
                (os.killpg if self._whole_group else os.kill)(process.pid, number)
        os.write(self._woken[1], b"!")


@contextlib.contextmanager
def _pidfd(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """A descriptor that can be read when the process has ended (Linux 5.3)."""
    fd = os.pidfd_open(process.pid)
    try:
        yield fd
    finally:
        os.close(fd)

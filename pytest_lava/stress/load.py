"""The load on the board: in the background, in a session of its own, its output bounded, its end told by a marker.

So the shell stays free for heartbeats. A streamed command would fill the board's memory and its line instead, as its
output is kept and sent. ::

    ~STOKEN;begin;UPTIME;0;0~        when it begins, and
    ~STOKEN;end;UPTIME;ITERATIONS;STATUS~    when the last iteration has ended, each twice, as noise may hit one

Iterations are in a file that the heartbeat reads; for them the load needs no more than a redirection.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.console.console import Console
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.requests import quoted, script_of
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError, LavaError, Timeout

__all__ = ["Load", "Marker"]

_STARTS = 30.0  # seconds in which the board starts it
_STOPS = 30.0
_NUDGE = 1.0
_GIVEN = 'eval "$(cat)"'  # so that reports show this, and not a page of script
_CARRIED = 2048  # bytes looked at again, as a kernel message may tear a marker apart
_LACKS = {
    3: "has no folder that can be written: mount a tmpfs on /run",
    4: "has no tty for its shell, or no /proc: mount it",
}


@dataclass(frozen=True)
class Marker:
    """The begin or end of the load: the board's clock, iterations, status, and its offset in the console log.

    ``stamp`` is the same moment on the clock of the kernel's records, where a begin was told there too.
    """

    uptime: float | None
    iterations: int
    status: int
    offset: int
    stamp: float | None = None


class Load:
    """One load on one board. ``leash``: it ends when the shell does, for a board that is a process of this machine."""

    def __init__(
        self, console: Console, shell: Shell, command: str, *, iterations: int = 0, leash: bool = False
    ) -> None:
        self._console, self._shell, self._command = console, shell, command
        self._iterations, self._leash = iterations, leash
        self._token = secrets.token_hex(4)
        self._marker = re.compile(rb"~S%s;(begin|end);([\d.]*);(\d+);(\d+)~" % self._token.encode())
        self._session = "0"
        self._start = self._seen = 0
        self._wanted = b"begin"
        #: the file that holds iterations, and behind the end also the status
        self.counter = ""

    def start(self) -> Marker:
        """Start it, and wait until it began. ``InfrastructureError`` if the board lacks what it takes."""
        self._start = self._seen = self._console.end
        words = [self._token, str(self._iterations), "y" if self._leash else "", self._command]
        arguments = b" ".join([quoted(_script("run.sh")), *map(quoted, words)]).decode()
        script = f"{_script('start.sh')}\n__start {arguments}"
        done = self._shell.run(f": begin the load; {_GIVEN}", input=script, timeout=_STARTS)
        if done.returncode:
            lacks = _LACKS.get(done.returncode, f"did not start the load (status {done.returncode}: {done.stderr})")
            raise InfrastructureError(f"the board {lacks}")
        self._session, _, self.counter = done.stdout.strip().partition(" ")
        return self._await_begin(Deadline.after(_STARTS))

    def _await_begin(self, deadline: Deadline) -> Marker:
        """Some UARTs keep what a kernel record came between until more is sent: so there is some."""
        while True:
            try:
                return self._console.wait(self.marker, deadline.at_most(_NUDGE), what="begin of the load")
            except Timeout:
                if deadline.expired:
                    raise
            self._shell.run("true", timeout=_STARTS)

    def marker(self) -> Marker | None:
        """The begin if it has come and was not told yet, then the end likewise."""
        base = max(self._start, self._seen - _CARRIED)
        data = self._console.read(base)
        before, self._seen = self._seen, base + len(data)
        for text, exact in ((data, True), (excise(data), False)):
            for found in self._marker.finditer(text):
                if found[1] == self._wanted:
                    self._wanted = b"end"
                    offset = base + found.start() if exact else before
                    record = self._record(data) if found[1] == b"begin" else None
                    if record is not None:
                        offset = min(offset, base + record.start())
                    uptime = float(found[2]) if found[2] else None
                    stamp = float(record[1]) if record else None
                    return Marker(uptime, int(found[3]), int(found[4]), offset, stamp)
        return None

    def _record(self, said: bytes) -> re.Match[bytes] | None:
        """The kernel's own record of the begin."""
        return re.search(rb"\[ *(\d+\.\d+)\][^\n]*pytest-lava: stress %s" % self._token.encode(), said)

    def stop(self, seconds: float = _STOPS) -> tuple[bytes, bool]:
        """End all of it and clean up: the end of what it wrote, and whether the board is rid of it."""
        if not self.counter:
            return b"", True
        script = f"{_script('stop.sh')}\n__stop {self._session} {quoted(self.counter).decode()}"
        try:
            done = self._shell.run(f": end the load; {_GIVEN}", input=script, timeout=seconds)
        except LavaError:
            return b"", False
        return done.stdout_bytes, done.returncode == 0

    def kill(self) -> None:
        """At once, without the shell, if it runs on this very machine; any other board is switched off anyway."""
        if not self._session.isdigit() or self._session == "0":
            return
        with suppress(OSError):
            if self._token.encode() in Path(f"/proc/{self._session}/cmdline").read_bytes():
                os.killpg(int(self._session), signal.SIGKILL)


def _script(name: str) -> str:
    return script_of(name, Path(__file__).parent)

"""The heartbeat of a shell at its prompt: a question of a few bytes that costs the board no process."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_lava.console.asking import Asking
from pytest_lava.console.console import Console
from pytest_lava.console.kernel_records import excise
from pytest_lava.deadline import Deadline

__all__ = ["Beat", "Heartbeat"]

_TAKE = 2.0  # seconds that the line has to take a question


@dataclass(frozen=True)
class Beat:
    """The board's uptime in seconds (None where it cannot tell), and the first line of the file it was asked for."""

    uptime: float | None
    said: str


class Heartbeat:
    """Asks the agent of one console (see ``agent_beat.sh``), and never waits for an answer."""

    def __init__(self, console: Console, asking: Asking, file: str) -> None:
        self._console, self._asking, self._file = console, asking, file
        self._start, self._answered = 0, True
        self._answer = re.compile(rb"(?!)")

    def ask(self) -> None:
        """Ask. ``Timeout`` or ``ConsoleLost`` if the line does not take it."""
        token, self._start = self._asking.token().encode(), self._console.end
        self._answer = re.compile(rb"~H%s;([\d.]*);([\d .]*)\.\r?\n" % token)
        rest = b"" if self._answered else b"\n"  # ends what noise left of the last one
        self._answered = False
        self._console.write(b"%sH %s %s\n" % (rest, token, self._file.encode()), Deadline.after(_TAKE))

    def answer(self) -> Beat | None:
        """What came for the last question, if anything did by now."""
        said = self._console.read(self._start)
        found = self._answer.search(said) or self._answer.search(excise(said))
        if found is None:
            return None
        self._answered = True
        return Beat(float(found[1]) if found[1] else None, found[2].decode())

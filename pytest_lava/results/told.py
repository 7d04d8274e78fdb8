"""What people are told of a run at its end, read from its journals once for all who tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.results.durations import told_durations
from pytest_lava.results.journal import Line, read
from pytest_lava.results.kernel_messages import told_stored
from pytest_lava.results.record import collect
from pytest_lava.results.recoveries import told_attempts, told_recoveries
from pytest_lava.results.summary import root_cause, told_resumes

__all__ = ["Teller", "Told", "told"]


@dataclass(frozen=True)
class Told:
    """``cause`` is what went wrong with a board, in one line, or None; ``lines`` have a title each: which boards were
    resumed and not booted, what was recovered, what dead kernels stored, what took several tries, and where the time
    went."""

    cause: str | None = None
    lines: tuple[tuple[str, str], ...] = ()


def told(lines: Iterable[Line]) -> Told:
    """What is told of a run with this journal. Raises ``ConfigurationError`` for lines of several runs."""
    record = collect(lines)
    found = {
        "resumed": told_resumes(record),
        "recovery": told_recoveries(record),
        "stored": told_stored(record),
        "retried": told_attempts(record),
        "time": told_durations(record),
    }
    return Told(root_cause(record), tuple((title, line) for title, texts in found.items() for line in texts))


class Teller:
    """Tells of the run in a folder; its journals, which have many lines, are read again only if they have grown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size = 0
        self._told = Told()

    def told(self) -> Told:
        """As far as the journals have come. Raises ``ConfigurationError`` for one that cannot be read."""
        size = sum(file.stat().st_size for file in self._folder.glob("journal*.jsonl"))
        if size != self._size:
            self._size, self._told = size, told(read(self._folder))
        return self._told

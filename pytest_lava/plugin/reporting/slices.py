"""The slice of a console log that belongs to one item or failure: a file of its own, and its end for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_lava.console.readable import without_frames
from pytest_lava.results.console_slice import excerpt, write_slice

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.plugin.run import Run

__all__ = ["CRASH_EXCERPT", "EXCERPT", "Slices", "readable", "shows"]

EXCERPT = 25  # console lines in a report; the rest is in the file beside it
CRASH_EXCERPT = 200  # of a board that died


class Slices:
    """Names and writes them; items are counted so that each has a name of its own."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._count = 0

    def next_item(self) -> None:
        """Another item begins."""
        self._count += 1

    def name(self, nodeid: str) -> str:
        """The file of the run folder for a slice of the item that runs now."""
        worker = f"{self._run.worker}-" if self._run.is_worker else ""
        name = re.sub(r"[^\w.-]+", "-", nodeid.rpartition("/")[2]).strip("-")[:80]
        return f"console/{worker}{self._count:04d}-{name}.log"

    def write(self, board: Board, start: int, end: int, name: str) -> None:
        """A range of the board's log to a file of this name."""
        path = self._run.folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            write_slice(board.console.log, start, end, path)
        except OSError as error:  # the disk is full: the whole log has it too, and the journal comes next
            self._run.events.emit(f"no console log of the test alone: {error}", level="warning")


def shows(text: str, evidence: str, most: int) -> bool:
    """Whether a console's end has the evidence from its first line to its last; commands stand between them there.

    Evidence may begin before the test: then its end does, if what the test saw is there as a whole.
    """
    lines = [line for line in evidence.splitlines() if line]
    if not lines or -1 < text.find(lines[0]) <= text.rfind(lines[-1]):
        return True
    return lines[-1] in text and len(text.splitlines()) < most


def readable(board: Board, start: int, most: int = EXCERPT) -> str:
    """The end of the console with the commands that were typed, without what we say and hear for ourselves."""
    console = board.console
    end = console.end
    lines: list[str] = []
    for offset, text in [*console.typed.between(start, end), (end, "")]:
        for begin, finish in console.typed.shown(start, offset):
            said = without_frames(excerpt(console.log, begin, finish, lines=4 * most))
            lines += [line for line in said.splitlines() if line]
        lines += [text] if text else []
        start = offset
    return "\n".join(lines[-most:])

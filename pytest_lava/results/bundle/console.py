"""Serial logs in a bundle: a whole one or the part that belongs to a test run, and the lines where results begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_lava.results.bundle.parts import Bundle, attachment
from pytest_lava.results.journal import Line
from pytest_lava.results.record import Case
from pytest_lava.results.run_files import inside
from pytest_lava.results.slug import Namer, case_id
from pytest_lava.results.text import ascii_only

__all__ = ["ConsoleLogs", "LogPart", "cut_logs", "place"]

_BLOCK = 4096


@dataclass(frozen=True)
class LogPart:
    """Bytes of a serial log, from byte ``begin`` on, under the name that they have as an attachment.

    ``cut`` is how many more there are before them that were to be in it.
    """

    pathname: str
    file: str
    data: bytes
    begin: int
    cut: int = 0

    def lineno(self, offset: int) -> int | None:
        """1-based line in the attachment of a byte of the log, None if that is not in it."""
        at = offset - self.begin
        if not 0 <= at <= len(self.data):
            return None
        block = at // _BLOCK
        return self._lines[block] + self.data.count(b"\n", block * _BLOCK, at) + 1

    @cached_property
    def _lines(self) -> Sequence[int]:
        """How many lines end before each block: thousands of results ask."""
        found = [0]
        for at in range(0, len(self.data), _BLOCK):
            found.append(found[-1] + self.data.count(b"\n", at, at + _BLOCK))
        return found

    def attached(self) -> Bundle:
        """As an attachment of a test run."""
        return attachment(self.pathname, self.data)


class ConsoleLogs:
    """The logs of one run folder. ``limit`` in bytes: of each log, and of what test runs have of them in all."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._left = limit

    def of_run(self, lines: Iterable[Line]) -> list[LogPart]:
        """The end of each log that lines of the journal name, with the board that it is of."""
        boards: dict[str, str] = {}
        for line in lines:
            if line.get("console_log"):
                boards.setdefault(str(line["console_log"]), str(line.get("board") or ""))
        names = Namer(_log_name, 200)
        parts = (self._part(file, names.unique(board), 0, None, self._limit) for file, board in boards.items())
        return [part for part in parts if part is not None]

    def of_cases(self, cases: Iterable[Case]) -> list[LogPart]:
        """For each log the part in which some cases ran: their test run has it, so that results can point into it."""
        found: dict[str, tuple[str, int, int]] = {}
        for case in cases:
            file, extent = case.last("console_log"), case.console
            if file and extent:
                board, begin, end = found.get(str(file), (case.board, *extent))
                found[str(file)] = board, min(begin, extent[0]), max(end, extent[1])
        names, parts = Namer(_log_name, 200), []
        for file, (board, begin, end) in found.items():
            part = self._part(file, names.unique(board), begin, end, self._left)
            if part is not None and part.data:
                self._left -= len(part.data)
                parts.append(part)
        return parts

    def _part(self, file: str, name: str, begin: int, end: int | None, limit: int) -> LogPart | None:
        """At most the last ``limit`` bytes of a range."""
        path = inside(self._folder, file)
        if path is None:
            return None
        with path.open("rb") as log:
            size = log.seek(0, 2)
            begin, end = max(begin, 0), size if end is None else min(end, size)
            start = max(begin, end - limit)
            log.seek(start)
            data = log.read(max(end - start, 0))
        return LogPart(f"console-{name}.log", file, data, start, start - begin)


def place(result: Bundle, line: Line | Case, parts: Iterable[LogPart]) -> None:
    """Tell where in the log of its run a result begins, if that is known."""
    if isinstance(line, Case):
        file, extent = line.last("console_log"), line.console
    else:
        file, extent = line.get("console_log"), line.get("console")
    if not extent or "log_lineno" in result:
        return
    for part in parts:
        if part.file == file and (lineno := part.lineno(int(extent[0]))) is not None:
            result |= {"log_filename": part.pathname, "log_lineno": lineno}


def cut_logs(parts: Iterable[LogPart]) -> dict[str, str]:
    """Attributes of a run that say what of its logs is left out."""
    return {
        ascii_only(f"{part.pathname}.truncated"): f"only the last {len(part.data)} of {part.cut + len(part.data)} bytes"
        for part in parts
        if part.cut
    }


def _log_name(text: str, *, limit: int) -> str:
    return case_id(text or "board", limit=limit).replace("/", "_")

"""The seam between what programs print and cases: a ``LineParser`` gets lines and tells ``ParsedCase``s."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pytest_lava.suites.definition import Pattern
from pytest_lava.suites.signals import BadSignal, outcome

__all__ = ["LineParser", "ParsedCase", "PatternParser", "Told"]

_KEPT = 4096  # characters of output before a match


@dataclass(frozen=True)
class ParsedCase:
    """One result. ``path`` leads from the outermost test to it; ``line`` counts from 1.

    ``result`` is ``pass``, ``fail``, ``skip``, ``unknown`` or ``xfail`` (a failure that is expected).
    """

    path: tuple[str, ...]
    result: str
    reason: str = ""
    directive: str = ""
    output: str = ""
    line: int | None = None
    measurement: float | None = None
    units: str = ""


#: is called with each case, as soon as it is known
Told = Callable[[ParsedCase], None]


class LineParser(Protocol):
    """Reads one program's output. It raises nothing, whatever it reads, and its memory is bounded."""

    #: cases told, and those of them that failed
    cases: int
    failed: int
    #: what a person should know of what was read
    remarks: list[str]
    #: whether there was anything of its format
    said: bool
    #: why nothing more came, if the program said so
    bailed: str | None
    #: why all of it was skipped, if the program said so
    skipped: str | None

    def feed(self, line: str) -> None:
        """The next line, with its end or without."""

    def finish(self, why: str = "") -> None:
        """There are no more lines; ``why`` says what ended them, if the program did not end by itself."""


class PatternParser:
    """Each line that a regular expression matches is a case; its groups are those of a LAVA definition's pattern."""

    def __init__(self, pattern: Pattern, tell: Told) -> None:
        self._pattern, self._tell = pattern, tell
        self._line = 0
        self._output = ""
        self.cases = 0
        self.failed = 0
        self.remarks: list[str] = []
        self.said = False
        self.bailed: str | None = None
        self.skipped: str | None = None

    def feed(self, line: str) -> None:
        """See :class:`LineParser`."""
        self._line += 1
        line = line.rstrip("\r\n")
        found = self._pattern.regex.search(line)
        if found is None:
            self._output = f"{self._output}{line}\n"[-_KEPT:]
            return
        values = {name: value for name, value in found.groupdict().items() if value is not None}
        name = re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f]", " ", values.get("test_case_id", ""))).strip()
        try:
            told = outcome({**values, "test_case_id": name}, self._pattern.fixup)
        except BadSignal as error:
            self._remark(f"line {self._line}: {error}")
            return
        if not name:
            self._remark(f"line {self._line}: it matches, and has no name")
            return
        self.said = True
        self.cases += 1
        self.failed += told.result == "fail"
        path = tuple(part for part in (told.set_name, name) if part)
        output, self._output = self._output, ""
        reason = told.message or told.remark
        self._tell(ParsedCase(path, told.result, reason, "", output.rstrip(), self._line, told.measurement, told.units))

    def finish(self, why: str = "") -> None:
        """See :class:`LineParser`."""

    def _remark(self, text: str) -> None:
        if len(self.remarks) < 20:
            self.remarks.append(text[:300])

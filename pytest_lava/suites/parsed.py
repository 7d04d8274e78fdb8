"""One command whose output holds results: its cases below the test's name, and what the test itself comes to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from pytest_lava.errors import LavaError
from pytest_lava.suites.api import Case, Report
from pytest_lava.suites.kselftest import explained
from pytest_lava.suites.live import LiveReading
from pytest_lava.suites.own_model import SKIP_STATUS, TestModel
from pytest_lava.suites.parsing import LineParser, ParsedCase, Told

__all__ = ["ParsedRun"]

_KSELFTEST_SKIP = 4  # KSFT_SKIP of tools/testing/selftests/kselftest.h
_SHOWN = 4096  # characters of the output of a test without results


class ParsedRun:
    """Reads what a command of ``test`` writes; ``line`` is that of the log before its output.

    ``remarks`` are what a person should know. ``part`` is the path of the case that stands for the whole command, where
    a test has several of them.
    """

    def __init__(
        self, test: TestModel, make: Callable[[Told], LineParser], report: Report, line: int, part: tuple[str, ...] = ()
    ) -> None:
        self._test, self._report, self._line, self._part = test, report, line, part
        self._died: LavaError | None = None
        self._told_part = False
        self._reading = LiveReading(make, self._case)
        self._start = self._last = time.time()
        self._why: list[str] = []
        self._skipped: str | None = None
        self._output = b""

    @property
    def remarks(self) -> list[str]:
        """What does not fit, such as a plan of other tests than came."""
        return self._reading.remarks

    def hear(self, data: bytes) -> None:
        """What comes live."""
        self._reading.feed(data)

    def _case(self, found: ParsedCase) -> None:
        now = time.time()
        expected, whole = found.result == "xfail", found.path == self._part
        found = explained(found) if whole else found
        self._told_part = self._told_part or (whole and self._died is not None)
        self._report(
            Case(
                found.path[-1],
                "skip" if expected else found.result,
                self._last,
                now,
                found.reason,
                found.measurement,
                found.units,
                set_name="::".join((self._test.name, *found.path[:-1])),
                line=self._line + found.line if found.line else self._line,
                output=found.output,
                attributes={"directive": found.directive} if found.directive else {},
                xfail=expected,
                error=self._died if whole else None,
            )
        )
        self._last = now

    def ended(self, status: int, exact: bytes, *, truncated: bool = False) -> None:
        """The command ended by itself, and wrote this, or more than can be kept."""
        if truncated:
            self._why.append(f"it wrote more than {len(exact) >> 20} MB, so its last results are not known")
        self._output = exact
        self._reading.finish(exact)
        parser, test = self._reading.parser, self._test
        skips = {SKIP_STATUS, _KSELFTEST_SKIP} - set(test.status)
        if parser.skipped is not None or (status in skips and not parser.failed):
            self._skipped = parser.skipped or f"it returned {status}"
        elif not parser.said:
            last = exact.decode(errors="replace").rstrip().rpartition("\n")[2].strip()
            self._why.append(f"it wrote no results{': ' + last if last else ''}")
        if status not in test.status and not parser.failed and self._skipped is None:
            self._why.append(f"it returned {status}")
        text = exact.decode(errors="replace")
        self._why += [f"nothing it wrote matches {one!r}" for one in test.expect if not re.search(one, text, re.M)]
        self._why += [f"it wrote what matches {one!r}" for one in test.reject if re.search(one, text, re.M)]

    def cut(self, why: str, died: LavaError | None = None) -> bytes:
        """The command did not end by itself, or the board ``died`` under it; what came of its output until then."""
        self._died = died
        self._reading.abandon(why)
        self._why.append(why)
        self._output = self._reading.kept
        return self._output

    def close(self) -> None:
        """Tell what the test itself comes to."""
        why = self._complaints()
        if why:
            self._tell("fail", "; ".join(why))
        elif self._skipped is not None:
            self._tell("skip", self._skipped or "all of it was skipped")
        else:
            self._tell("pass", "; ".join(self.remarks[:1]))

    def close_part(self) -> bool:
        """Whether this part of a test did well. One that told nothing is a case of its own, and so is a death."""
        why = self._complaints()
        if not self._reading.parser.said or (self._died is not None and not self._told_part):
            self._case(ParsedCase(self._part, "fail" if why else "skip", "; ".join(why) or self._skipped or ""))
        return not why

    def _complaints(self) -> list[str]:
        parser, found = self._reading.parser, list(self._why)
        if parser.bailed is not None:
            found.append(f"Bail out! {parser.bailed}".strip())
        if parser.failed:
            found.append(f"{parser.failed} of {parser.cases} cases failed")
        return found

    def _tell(self, result: str, why: str) -> None:
        shown = "" if self._reading.parser.cases else self._output[-_SHOWN:].decode(errors="replace")
        now = time.time()
        told = Case(
            self._test.name, result, self._start, now, why, line=self._line, output=shown, error=self._died
        )  # fmt: skip
        self._report(told)

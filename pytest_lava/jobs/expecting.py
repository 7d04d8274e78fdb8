"""Cases that had to come, as LAVA has it: another one is a failure, and so is one that never came."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from pytest_lava.errors import LavaError, first_line
from pytest_lava.suites.api import Case, Report

__all__ = ["Expecting"]


class Expecting:
    """Around a suite; with nothing ``expected`` all cases pass through as they are."""

    def __init__(self, expected: Sequence[str], report: Report) -> None:
        self._expected, self._report = expected, report
        self._seen: set[str] = set()

    def report(self, case: Case) -> None:
        """One case."""
        self._seen.add(case.id)
        if self._expected and case.id not in self._expected:
            why = f"it is not among the cases that are expected; it said {case.result}"
            case = replace(case, result="fail", message=why)
        self._report(case)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, LavaError):
            return
        for name in self._expected:
            if name not in self._seen:
                why = "it is expected, and it never came" + (f": {first_line(error)}" if error else "")
                now = time.time()
                self._report(Case(name, "fail", now, now, why))

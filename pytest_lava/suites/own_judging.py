"""What a command of our own suite comes to: by its status, by what it wrote, and by what is measured in that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_lava.suites.own_model import SKIP_STATUS, Measure, TestModel

__all__ = ["Judgement", "Measured", "bounds", "judge"]

_SHOWN = 200  # characters of a line in a message


@dataclass(frozen=True)
class Measured:
    """One number, and whether it may be what it is."""

    name: str
    value: float | None
    units: str
    low: float | None
    high: float | None
    result: str
    reason: str = ""


@dataclass(frozen=True)
class Judgement:
    """``result`` is pass, fail or skip; measurements without a name of their own are the test's."""

    result: str
    reason: str
    measured: tuple[Measured, ...] = ()


def judge(test: TestModel, status: int, output: str) -> Judgement:
    """Of a command that has ended by itself."""
    if status == SKIP_STATUS and status not in test.status:
        last = output.rstrip().rpartition("\n")[2].strip()
        return Judgement("skip", last[:_SHOWN] or f"it returned {status}, and did not say why")
    reasons = list(_complaints(test, status, output))
    measured = tuple(_measured(one, output) for one in test.measures)
    reasons += [one.reason for one in measured if one.reason and not one.name]
    return Judgement("fail" if reasons else "pass", "; ".join(reasons), measured)


def _complaints(test: TestModel, status: int, output: str) -> Iterator[str]:
    if status not in test.status:
        wanted = "" if test.status == (0,) else f", and not {' or '.join(map(str, test.status))}"
        hints = {126: " (a program cannot be run)", 127: " (a program is missing)"}
        yield f"it returned {status}{hints.get(status, '')}{wanted}"
    for pattern in test.expect:
        if not re.search(pattern, output, re.MULTILINE):
            yield f"nothing it wrote matches {pattern!r}"
    for pattern in test.reject:
        lines = [line for line in output.splitlines() if re.search(pattern, line)]
        if lines or re.search(pattern, output, re.MULTILINE):
            more = f" and {len(lines) - 1} lines more" if len(lines) > 1 else ""
            yield f"it wrote what matches {pattern!r}: {lines[0].strip()[:_SHOWN] if lines else ''}{more}"


def _measured(one: Measure, output: str) -> Measured:
    name, value = one.name or "", one.value(output)
    if value is None:
        reason = f"there is no measurement: nothing it wrote matches {one.pattern!r}"
    elif isinstance(value, str):
        reason, value = f"the measurement {value!r} is no number", None
    else:
        reason = bounds(value, one.units, one.min, one.max)
    return Measured(name, value, one.units, one.min, one.max, "fail" if reason else "pass", reason)


def bounds(value: float, units: str, low: float | None, high: float | None) -> str:
    """Why a value is out of its bounds, which belong to them; empty if it is within."""
    unit = f" {units}" if units else ""
    if low is not None and value < low:
        return f"{value:.10g}{unit} is below the least that is allowed, {low:.10g}{unit}"
    if high is not None and value > high:
        return f"{value:.10g}{unit} is above the most that is allowed, {high:.10g}{unit}"
    return ""

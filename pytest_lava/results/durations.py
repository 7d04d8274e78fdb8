"""Where the time of a run went: summed up for every part of it, on each target."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_lava.results.journal import Line
from pytest_lava.results.record import DEFINITION, LAVA, Case, Record, number
from pytest_lava.told_times import told_seconds

__all__ = ["spent", "told_durations"]

#: parts in the order of a run; a phase counts for the first word of its name
_PARTS = ("wait", "fetch", "inject", "deploy", "power", "boot", "tests", "recovery", "collect")
_LEAST = 0.05  # seconds; less is shown as nothing


def told_durations(record: Record) -> list[str]:
    """A line for each target: ``panda: wait 12.0 s, deploy 31.4 s, boot 18.2 s, tests 2 min 03.1 s``."""
    found = []
    for target, parts in spent(record).items():
        texts = [f"{part} {told_seconds(parts[part])}" for part in _PARTS if parts.get(part, 0.0) >= _LEAST]
        if texts:
            found.append(f"{target or 'all boards'}: {', '.join(texts)}")
    return found


def spent(record: Record) -> dict[str, dict[str, float]]:
    """Seconds by target and part; what was done to recover a board counts as recovery, not as boot."""
    found: dict[str, dict[str, float]] = {}
    for target, part, seconds in (*_phases(record), *_tests(record)):
        parts = found.setdefault(target, {})
        parts[part] = parts.get(part, 0.0) + seconds
    return found


def _phases(record: Record) -> Iterator[tuple[str, str, float]]:
    recoveries = [line for line in record.phases if line.get("name") == "recovery"]
    for line in record.phases:
        part = str(line.get("name")).partition(".")[0]
        if part in _PARTS and (part == "recovery" or not any(_within(line, one) for one in recoveries)):
            yield _where(line), part, number(line.get("seconds")) or 0.0


def _tests(record: Record) -> Iterator[tuple[str, str, float]]:
    """What tests took by themselves; a definition's time is that of all its cases."""
    whole = {(case.target, case.suite) for case in record.cases if case.last(DEFINITION)}
    for case in record.cases:
        if case.suite != LAVA and ((case.target, case.suite) not in whole or case.last(DEFINITION)):
            yield case.target, "tests", _called(case)


def _called(case: Case) -> float:
    return sum(number(line.get("seconds")) or 0.0 for line in case.lines if line["when"] == "call")


def _within(line: Line, other: Line) -> bool:
    """Whether it was a part of the other one. Times of a journal have one form, so they compare as text."""
    return (
        line is not other
        and _where(line) == _where(other)
        and str(other.get("start")) <= str(line.get("start"))
        and str(line.get("time")) <= str(other.get("time"))
    )


def _where(line: Line) -> str:
    return str(line.get("target") or line.get("board") or "")

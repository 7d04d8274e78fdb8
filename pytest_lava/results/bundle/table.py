"""A bundle as a table for people: its test runs, and a line for each result."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pytest_lava.results.text import plain
from pytest_lava.told_times import column

__all__ = ["counted", "sizes", "table"]

Bundle = dict[str, Any]
_BAD = ("fail", "unknown")
_NAME, _MESSAGE = 60, 100  # characters: longer names push the rest aside, longer messages are cut
_DURATION = re.compile(r"(\d+)d (\d+)s (\d+)us")


def table(document: Bundle, *, failed: bool = False) -> Iterator[str]:
    """The lines of the table; with ``failed`` only what is neither pass nor skip."""
    runs = document.get("test_runs", [])
    yield f"{document['format']}: {sizes(document)}: {counted(runs)}"
    for run in runs:
        rows = [_row(result) for result in run["test_results"] if not failed or result["result"] in _BAD]
        if rows or not failed:
            yield ""
            yield _about(run)
            yield from _aligned(rows)


def sizes(document: Bundle) -> str:
    """How much there is: ``2 test runs, 7 results``."""
    runs = document.get("test_runs", [])
    return f"{_several(len(runs), 'test run')}, {_several(sum(len(run['test_results']) for run in runs), 'result')}"


def counted(runs: list[Bundle]) -> str:
    """How they ended: ``5 pass, 1 fail, 1 skip``."""
    counts = Counter(str(result["result"]) for run in runs for result in run["test_results"])
    return ", ".join(f"{counts[word]} {word}" for word in ("pass", "fail", "skip", "unknown") if counts[word]) or "none"


def _about(run: Bundle) -> str:
    facts = run.get("attributes", {})
    where = facts.get("target.hostname") or facts.get("target") or ""
    kernel = facts.get("kernel.release") or ""
    files = [*_files(run.get("attachments", []))]
    files += [name for result in run["test_results"] for name in _files(result.get("attachments", []))]
    parts = [
        run["test_id"],
        run["analyzer_assigned_date"],
        f"on {where}" if where else "",
        f"kernel {kernel}" if kernel else "",
        _seconds(run.get("test_duration", "")),
        counted([run]),
        _several(len(files), "attachment") if files else "",
    ]
    return ", ".join(_line(part) for part in parts if part)


def _files(attachments: Any) -> Iterator[str]:
    yield from (one if isinstance(one, str) else one["pathname"] for one in attachments)  # names only before 1.1


def _row(result: Bundle) -> tuple[str, ...]:
    size = result.get("measurement")
    measured = "" if size is None else f"{size:g}" if isinstance(size, float) else str(size)
    message = _line(result.get("message", "").split("\n", 1)[0])
    return (
        result["result"],
        _line(result.get("test_case_id", "(no id)")),
        " ".join(part for part in (measured, _line(result.get("units", ""))) if part),
        _seconds(result.get("duration", "")),
        message if len(message) <= _MESSAGE else message[: _MESSAGE - 3] + "...",
    )


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max((min(len(row[column]), _NAME) for row in rows), default=0) for column in range(4)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True) if width]
        yield f"  {'  '.join([*cells, row[4]])}".rstrip()


def _seconds(duration: str) -> str:
    found = _DURATION.fullmatch(duration)
    if not found:
        return _line(duration)
    days, seconds, micro = (int(group) for group in found.groups())
    return column(days * 86_400 + seconds + micro / 1e6)


def _line(text: str) -> str:
    """On one line, and without what could tell a terminal to do something."""
    return re.sub(r"\s+", " ", plain(text))


def _several(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"

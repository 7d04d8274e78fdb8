"""What was recovered and what took several tries, as sentences and attributes: so that what is flaky shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_lava.errors import first_line
from pytest_lava.results.journal import Line
from pytest_lava.results.record import Case, Record, number

__all__ = ["recovery_attributes", "retry_attributes", "told_attempts", "told_recoveries"]


def told_recoveries(record: Record) -> list[str]:
    """A line for each time that a board was dead: what was done, and how long it took."""
    return [
        f"{_where(line)}: {_by(line)}, after {line.get('after') or 'its start'}: {first_line(line.get('cause') or '')}"
        for line in record.recoveries
    ]


def told_attempts(record: Record) -> list[str]:
    """A line for each phase that did not work at once: ``boot of panda worked on attempt 2 of 3: ...``."""
    return [_told(tries) for tries in _grouped(record.attempts)]


def recovery_attributes(record: Record, case: Case) -> dict[str, object]:
    """How the board came back that died under ``case``."""
    found = [
        line for line in record.recoveries if line.get("after") == case.nodeid and line.get("target") == case.target
    ]
    if not found:
        return {}
    line = found[-1]
    return {
        "recovery": line.get("by") or "none worked",
        "recovery.seconds": f"{number(line.get('seconds')) or 0.0:.3f}",
        "recovery.rungs": "; ".join(map(_rung, line.get("rungs") or ())),
    }


def retry_attributes(record: Record) -> dict[str, object]:
    """All phases of a run that did not work at once, numbered."""
    return {f"retry.{count}": text for count, text in enumerate(told_attempts(record), 1)}


def _grouped(lines: Iterable[Line]) -> list[list[Line]]:
    """The tries of one phase together; the first of each has the number 1. Those to fetch one file belong together:
    what broke off is fetched anew, with numbers of its own."""
    found: list[list[Line]] = []
    open_: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        key = tuple(str(line.get(name)) for name in ("worker", "target", "phase", "what"))
        if (line.get("number") == 1 and line.get("phase") != "fetch") or key not in open_:
            open_[key] = []
            found.append(open_[key])
        open_[key].append(line)
    return found


def _told(tries: Sequence[Line]) -> str:
    last = tries[-1]
    what = last.get("what") or last.get("target") or last.get("board")
    fetched = last.get("phase") == "fetch"
    count = len(tries) if fetched else int(last.get("number") or 1)
    of = max(count + 1, int(last.get("of") or 1)) if fetched else last.get("of")
    how = f"failed {count} times" if last.get("last") else f"worked on attempt {count + 1} of {of}"
    reasons = dict.fromkeys(first_line((line.get("error") or {}).get("message") or "") for line in tries)
    return f"{last.get('phase')} of {what} {how}: {'; '.join(reasons)}"


def _by(line: Line) -> str:
    seconds = number(line.get("seconds")) or 0.0
    failed = [_rung(rung) for rung in line.get("rungs") or () if not rung.get("worked")]
    text = f"back by {line.get('by')}" if line.get("worked") else "not recovered"
    tried = f" ({'; '.join(failed)})" if failed else ""
    return f"{text} in {seconds:.1f} s{tried}"


def _rung(rung: Line) -> str:
    seconds = number(rung.get("seconds")) or 0.0
    return (
        f"{rung.get('name')} {seconds:.1f} s" if rung.get("worked") else f"{rung.get('name')} failed: {rung.get('why')}"
    )


def _where(line: Line) -> str:
    return str(line.get("target") or line.get("board"))

"""What a journal says, put together: the run, its targets, and one case with one verdict for each test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.results.journal import Line

__all__ = ["DEFINITION", "LAVA", "UNFINISHED", "Case", "Record", "Verdict", "collect", "finite", "number", "results_of"]

#: the suite of reports about the run itself: deploy and boot
LAVA = "lava"
#: the field of an item that ran a suite: ``ended``, so its cases say it all, or ``broke``
DEFINITION = "definition"
UNFINISHED = "the run ended while this test was running"

_WHENS = ("setup", "call", "teardown", "???")
_OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case ended.

    ``result`` is the bundle's word (pass, fail, skip, unknown); ``outcome`` is passed, failed, error, skipped, xfail,
    xpass or unfinished; ``line`` is the outcome line that decided, ``also`` are failures that came after it.
    """

    result: str
    outcome: str
    message: str = ""
    line: Line | None = None
    also: tuple[Line, ...] = ()

    @property
    def error(self) -> Line:
        """The classified error, empty if there is none."""
        return _error(self.line)

    @property
    def when(self) -> str:
        """The part of the test that decided: setup, call, teardown or ``???``."""
        return str(self.line["when"]) if self.line else ""


@dataclass(frozen=True, slots=True)
class Case:
    """One test, command or reported case in its last attempt. ``lines`` are its outcomes, at most one for each part."""

    nodeid: str
    suite: str
    name: str
    target: str
    board: str
    worker: str
    attempt: int
    started: str
    command: str
    lines: tuple[Line, ...]
    verdict: Verdict
    #: what was measured so far, where a test told that while it ran
    progress: Line | None = None
    #: what came to light after its end: ``sections`` and ``attachments`` as outcomes have them
    late: tuple[Line, ...] = ()
    #: numbers that it recorded: ``name``, ``value``, ``units``, ``low``, ``high``, ``result``, ``message``
    measured: tuple[Line, ...] = ()

    @property
    def total_seconds(self) -> float:
        """Set-up, call and teardown together."""
        return sum(number(line.get("seconds")) or 0.0 for line in self.lines)

    @property
    def seconds(self) -> float:
        """What the test itself took, or all there is if it was never called."""
        called = [number(line.get("seconds")) or 0.0 for line in self.lines if line["when"] == "call"]
        return called[-1] if called else self.total_seconds

    @property
    def sections(self) -> list[tuple[str, str]]:
        """Captured output by name; pytest repeats what set-up printed in later reports, here it is once."""
        pairs = (pair for line in (*self.lines, *self.late) for pair in line.get("sections") or ())
        return list(dict.fromkeys((str(name), str(text)) for name, text in pairs))

    @property
    def properties(self) -> list[tuple[str, Any]]:
        """Properties of the last report that has some (pytest accumulates them), or else of its progress."""
        found = [line["properties"] for line in (self.progress, *self.lines) if line and line.get("properties")]
        return [(str(name), value) for name, value in found[-1]] if found else []

    @property
    def console(self) -> tuple[int, int] | None:
        """Byte range in the console log, over all parts of the test."""
        ranges = [line["console"] for line in self.lines if line.get("console")]
        return (int(ranges[0][0]), int(ranges[-1][1])) if ranges else None

    def last(self, key: str) -> Any:
        """The newest value of a field of the outcome lines that is not null."""
        for line in reversed(self.lines):  # a loop: asked for a dozen times of each of thousands of cases
            if (value := line.get(key)) is not None:
                return value
        return None


@dataclass(frozen=True)
class Record:
    """A whole run. ``head`` is empty if its line was lost, ``end`` is None if the run never came to it."""

    run: str
    head: Line
    end: Line | None
    targets: dict[str, Line]
    boots: tuple[Line, ...]
    #: where a board was switched on in the state that an earlier boot left, and did not boot
    resumes: tuple[Line, ...]
    phases: tuple[Line, ...]
    recoveries: tuple[Line, ...]
    #: tries that failed, of phases that were tried again
    attempts: tuple[Line, ...]
    notes: tuple[Line, ...]
    cases: tuple[Case, ...]
    #: where suites come from, by the suite of their cases
    sources: dict[str, Line] = field(default_factory=dict)

    @property
    def started(self) -> str:
        """ISO time of the first line."""
        return str(self.head.get("time", ""))

    def target(self, target: str) -> Line:
        """The line that describes a target; empty if the run ended before it was written."""
        return self.targets.get(target, {})

    def kernel_release(self, target: str) -> str:
        """Release of the kernel: as its file says, or as the booted board told."""
        starts = [line for line in (*self.boots, *self.resumes) if line.get("target") == target and line.get("uname")]
        told = [line["uname"].get("release") for line in starts]
        return str((self.target(target).get("kernel") or {}).get("release") or (told[0] if told else "") or "")


def results_of(cases: Iterable[Case]) -> list[Case]:
    """Those that are results: not a suite that ran to its end, as its cases have said it all, unless it has none."""
    every = list(cases)
    told = {(case.target, case.suite) for case in every if not case.last(DEFINITION)}
    return [case for case in every if (case.target, case.suite) not in told or not _said_by_others(case)]


def _said_by_others(case: Case) -> bool:
    return case.last(DEFINITION) == "ended" and case.verdict.outcome in ("passed", "failed")


def number(value: object) -> float | None:
    """``value`` if it is a number (and no bool), else None."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def finite(value: object) -> float | None:
    """``value`` if it is a number, also one in a text, that JSON can have."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def collect(lines: Iterable[Line]) -> Record:
    """Put the lines of one run together. Raises ``ConfigurationError`` if they are of several runs."""
    kinds: dict[str, list[Line]] = {}
    runs: dict[str, None] = {}
    items: list[Line] = []
    for line in lines:
        if line["kind"] in ("phase", "attempt") and "submit" in (line.get("phase"), line.get("name")):
            continue  # how results travelled is none of them, and comes after they were made
        runs[line["run"]] = None
        kinds.setdefault(line["kind"], []).append(line)
        if line["kind"] in ("start", "limit", "outcome", "progress", "evidence", "measurement"):
            items.append(line)
    if len(runs) > 1:
        raise ConfigurationError(f"these journals are of {len(runs)} different runs; give those of one run at a time")
    heads, ends = _of_main(kinds.get("run", [])), _of_main(kinds.get("end", []))
    first: list[Line] = [line for found in kinds.values() for line in found[:1]]
    targets: dict[str, Line] = {}
    for line in kinds.get("target", []):
        targets.setdefault(str(line.get("target")), line)
    return Record(
        run=next(iter(runs), ""),
        head=heads[0] if heads else {"time": min((line["time"] for line in first), default="")},
        end=ends[-1] if ends else None,
        targets=targets,
        boots=tuple(kinds.get("boot", [])),
        resumes=tuple(kinds.get("resume", [])),
        phases=tuple(kinds.get("phase", [])),
        recoveries=tuple(kinds.get("recovery", [])),
        attempts=tuple(kinds.get("attempt", [])),
        notes=tuple(kinds.get("note", [])),
        cases=_cases(items),
        sources={str(line.get("suite")): line for line in reversed(kinds.get("source", []))},
    )


def _of_main(lines: list[Line]) -> list[Line]:
    """Those of the process that controls the run; of its workers if it wrote none."""
    return [line for line in lines if line.get("worker") == "main"] or lines


class _Draft:
    """Lines of one item on one worker in one attempt, while they are read."""

    def __init__(self, line: Line) -> None:
        self.first = line
        self.started = False
        self.target = ""
        self.outcomes: dict[str, Line] = {}
        self.limit: Line | None = None
        self.progress: Line | None = None
        self.late: list[Line] = []
        self.measured: list[Line] = []

    def add(self, line: Line) -> None:
        self.target = self.target or str(line.get("target") or "")
        if line["kind"] == "start":
            # the item runs once more (a rerun plugin): what it did before does not count
            self.first, self.started, self.outcomes, self.limit, self.progress = line, True, {}, None, None
            self.measured = []
        elif line["kind"] == "evidence":
            self.late.append(line)
        elif line["kind"] == "measurement":
            self.measured.append(line)
        elif line["kind"] == "progress":
            self.progress = line
        elif line["kind"] == "limit":
            self.limit = line
        elif line.get("outcome") in _OUTCOMES:
            self.outcomes[str(line.get("when"))] = line

    @property
    def lines(self) -> tuple[Line, ...]:
        """Its outcomes in order. A limit counts if nothing came of the test any more but the death of its process."""
        found = dict(self.outcomes)
        if self.limit is not None and not found.keys() & {"call", "teardown"}:
            found.pop("???", None)
            if all(line["outcome"] != "failed" for line in found.values()):
                when = str(self.limit.get("when") or "call")
                found[when] = {**self.limit, "when": when, "outcome": "failed"}
        return tuple(sorted(found.values(), key=_rank))

    def takes(self, line: Line) -> bool:
        target = str(line.get("target") or "")
        return not target or not self.target or target == self.target


def _cases(items: Sequence[Line]) -> tuple[Case, ...]:
    drafts: dict[tuple[str, str, int], list[_Draft]] = {}
    order: list[_Draft] = []
    for line in items:
        key = (str(line.get("nodeid")), str(line.get("worker")), int(line.get("attempt") or 1))
        known = drafts.setdefault(key, [])
        draft = next((draft for draft in reversed(known) if draft.takes(line)), None)
        if draft is None and line["kind"] == "evidence":
            continue  # of a test that this journal knows nothing else of
        if draft is None:
            draft = _Draft(line)
            known.append(draft)
            order.append(draft)
        draft.add(line)
    cases = [_case(draft) for draft in _join_crashes(order)]
    newest: dict[tuple[str, str], int] = {}
    for case in cases:
        key2 = (case.nodeid, case.target)
        newest[key2] = max(newest.get(key2, 0), case.attempt)
    return tuple(case for case in cases if case.attempt == newest[case.nodeid, case.target])


def _join_crashes(drafts: list[_Draft]) -> list[_Draft]:
    """A crashed xdist worker leaves a start, and the controller tells the crash (``???``): that is one case."""
    begun = [draft for draft in drafts if draft.started and "teardown" not in draft.outcomes]
    unfinished = {str(draft.first.get("nodeid")): draft for draft in begun}
    kept = []
    for draft in drafts:
        other = unfinished.get(str(draft.first.get("nodeid")))
        if other is not None and other is not draft and list(draft.outcomes) == ["???"]:
            other.outcomes.update(draft.outcomes)
        else:
            kept.append(draft)
    return kept


def _case(draft: _Draft) -> Case:
    lines = draft.lines
    first, every = draft.first, (draft.first, *lines)
    nodeid = str(first.get("nodeid"))
    path, _, rest = nodeid.partition("::")
    command = _any(every, "command")
    return Case(
        nodeid=nodeid,
        suite=_any(every, "suite") or command or path,
        name=_any(every, "case") or rest or path,
        target=draft.target,
        board=_any(every, "board"),
        worker=str(first.get("worker")),
        attempt=int(first.get("attempt") or 1),
        started=str(first["time"] if first["kind"] == "start" else first.get("start") or first["time"]),
        command=command,
        lines=lines,
        verdict=_judge(lines, draft.progress),
        progress=draft.progress,
        late=tuple(draft.late),
        measured=tuple(draft.measured),
    )


def _judge(lines: tuple[Line, ...], progress: Line | None) -> Verdict:
    failed = [line for line in lines if line["outcome"] == "failed"]
    if failed:
        return _judge_failed(failed)
    for line in lines:
        if line["outcome"] == "skipped" and line.get("result") == "unknown":
            return Verdict("unknown", "skipped", _message(line), line)
        if line["outcome"] == "skipped":
            return Verdict("skip", "xfail" if line.get("wasxfail") is not None else "skipped", _message(line), line)
    for line in lines:
        if line["when"] == "call":
            xpass = line.get("wasxfail") is not None
            return Verdict("pass", "xpass" if xpass else "passed", _message(line), line)
    if any(line["when"] == "teardown" for line in lines):
        return Verdict("unknown", "error", "this test was set up, but never called", lines[-1])
    message = f"{UNFINISHED}: {progress['text']}" if progress and progress.get("text") else UNFINISHED
    return Verdict("unknown", "unfinished", message, lines[-1] if lines else None)


def _judge_failed(failed: list[Line]) -> Verdict:
    line = failed[0]
    error, when, ours = _error(line), line["when"], line.get("suite") == LAVA
    # without a classified error a failing call is the test's own; a failing fixture says nothing about the test
    result = str(error.get("result") or ("fail" if when == "call" or ours else "unknown"))
    message = _message(line)
    if when in ("setup", "teardown") and not ours:
        message = f"{when}: {message}"
    # a test failed only where something is known of it: a fixture that broke is an error, as pytest calls it
    own = result == "fail" and error.get("blame", "test") in ("test", "job")
    return Verdict(result, "failed" if own else "error", message, line, tuple(failed[1:]))


def _error(line: Line | None) -> Line:
    error = line.get("error") if line else None
    return error if isinstance(error, dict) else {}


def _message(line: Line) -> str:
    return str(line.get("message") or _error(line).get("message") or line.get("wasxfail") or "")


def _any(lines: Sequence[Line], key: str) -> str:
    for line in lines:
        if value := line.get(key):
            return str(value)
    return ""


def _rank(line: Line) -> int:
    when = line.get("when")
    return _WHENS.index(when) if when in _WHENS else len(_WHENS)

"""What SQUAD is told of a run: a testrun for each target, with its tests, metrics, metadata, log and files.

Source of names and forms: ``doc/intro.rst`` ("Submitting results") and ``squad/core/tasks/__init__.py`` of SQUAD 1.98.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pytest_lava.results.bundle.target import target_attributes
from pytest_lava.results.journal import Line
from pytest_lava.results.record import Case, Record, number
from pytest_lava.results.run_files import inside
from pytest_lava.results.slug import shorten
from pytest_lava.results.slug import slug as lower
from pytest_lava.results.text import plain
from pytest_lava.sinks.cases import case_log, log_limit, measured_as_a_whole, shown_cases, sizes
from pytest_lava.sinks.placeholders import facts, fill
from pytest_lava.sinks.squad_names import full_name, names, slug

__all__ = ["LIVE", "Form", "TestRun", "per_target"]

#: the metadata of a testrun that shows a run still going on, and is replaced by the next one
LIVE = "lava.live"
_VALUE = 2048  # characters of a value of metadata; SQUAD's columns for URLs have as many
_UNIT = 30  # characters, as the column has
#: each test has its own time; the others are no work of the board
_NOT_MEASURED = ("case", "submit")


@dataclass(frozen=True)
class Form:
    """How testruns are to look: templates of names, metadata and the job's URL; and how large they may be."""

    build: str
    environment: str
    job_url: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    #: tests of one testrun, as a server may give up on a request with more
    most: int = 5000


@dataclass(frozen=True)
class TestRun:
    """One testrun. ``job_id`` makes it unique within its build; ``files`` are attachments by name."""

    __test__ = False

    job_id: str
    build: str
    environment: str
    tests: dict[str, dict[str, str]]
    metrics: dict[str, dict[str, Any]]
    metadata: dict[str, Any]
    log: Path | None
    files: tuple[tuple[str, Path], ...]


@dataclass(frozen=True)
class _Part:
    """What one testrun is made from: the cases of one target."""

    record: Record
    folder: Path
    target: str
    cases: tuple[Case, ...]
    live: bool

    @property
    def boots(self) -> list[Line]:
        return [line for line in self.record.boots if line.get("target") == self.target]

    @property
    def consoles(self) -> list[Path]:
        """The board's logs: each worker has one of its own instance."""
        lines: list[Line] = [self.record.target(self.target), *self.boots]
        names = dict.fromkeys(str(line["console_log"]) for line in lines if line.get("console_log"))
        return [path for name in names if (path := inside(self.folder, name))]


def per_target(record: Record, form: Form, folder: Path, *, live: bool = False) -> list[TestRun]:
    """The testruns of a run; with ``live`` of what has ended so far, without logs and files of the run folder."""
    shown = shown_cases(record, live=live)
    targets = list(dict.fromkeys([*record.targets, *(case.target for case in shown if case.target)])) or [""]
    found = []
    for at, target in enumerate(targets):
        # what needs no board is told beside the first
        cases = [case for case in shown if case.target == target or (not at and not case.target)]
        part = _Part(record, folder, target, tuple(cases), live)
        if live and not (record.target(target) and record.kernel_release(target)):
            continue  # its build and environment may still become others
        if cases or part.boots:
            found += _testruns(part, form)
    return found


def _testruns(part: _Part, form: Form) -> list[TestRun]:
    """One, or several of a large run: the first one has log and files. A live run shows no more than the first."""
    values = facts(part.record, part.target)
    results = list(_results(part.cases))
    if part.boots and not any(one.wanted == "lava/boot" for one in results):
        results.insert(0, _Result("lava/boot", "pass", lambda _: ""))
    named = list(zip(names([one.wanted for one in results]), results, strict=True))
    limit = log_limit(len(named))
    first = TestRun(
        job_id=_job_id(part.record.run, part.target or "host"),
        build=slug(fill(form.build, values) or values["kernel"] or values["image"]) or "unknown",
        environment=slug(fill(form.environment, values)) or slug(part.target) or "host",
        tests={},
        metrics={},
        metadata=_metadata(part, form, values),
        log=None,
        files=(),
    )
    found = [
        replace(
            first,
            job_id=f"{first.job_id}~{begin // form.most + 1}" if begin else first.job_id,
            tests={name: one.as_test(name, limit) for name, one in named[begin : begin + form.most]},
            metrics={name: one.metric for name, one in named[begin : begin + form.most] if one.metric},
        )
        for begin in range(0, len(named), form.most)
    ]
    head = replace(found[0], metrics=found[0].metrics | _durations(part))
    if part.live:
        return [head]
    return [replace(head, log=next(iter(part.consoles), None), files=tuple(_files(part))), *found[1:]]


def _job_id(run: str, target: str) -> str:
    """At most 120 characters without ``/``, and another one for each target."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", target)[:70]
    if name != target:
        name += f"-{hashlib.sha256(target.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
    return f"{re.sub('[^A-Za-z0-9._-]', '-', run)[:40]}.{name}"


@dataclass(frozen=True)
class _Result:
    """One result, before it has its name. ``log`` gives what is known of it, in at most so many characters."""

    wanted: str
    result: str
    log: Callable[[int], str]
    metric: dict[str, Any] = field(default_factory=dict)

    def as_test(self, name: str, limit: int) -> dict[str, str]:
        """SQUAD knows pass and fail; all else is shown as skip, and the log says what it was."""
        result = self.result if self.result in ("pass", "fail") else "skip"
        log = (f"full name: {self.wanted}\n" if name != self.wanted else "") + self.log(limit)
        return {"result": result, **({"log": log} if log else {})}


def _results(cases: Iterable[Case]) -> Iterator[_Result]:
    for case in cases:
        wanted = full_name("command", lower(case.command)) if case.command else full_name(case.suite, case.name)
        whole = measured_as_a_whole(case)
        log = partial(case_log, case)
        yield _Result(wanted, case.verdict.result, log, _metric(*whole) if whole else {})
        base, bracket, parameters = wanted.partition("[")
        for size in sizes(case):
            name = f"{base}.{size.name.replace('/', '_')}{bracket}{parameters}"
            yield _Result(name, size.result, partial(_cut, size.message), _metric(size.value, size.unit))


def _cut(text: str, limit: int) -> str:
    return text[:limit]


def _metric(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, **({"unit": unit[:_UNIT]} if unit else {})}


def _durations(part: _Part) -> dict[str, dict[str, Any]]:
    """How long the phases took, a value for each time."""
    seconds: dict[str, list[float]] = {}
    for line in (*part.record.phases, *part.boots):
        took = number(line.get("seconds"))
        phase = "boot" if line["kind"] == "boot" else str(line.get("name"))
        if took is None or line.get("error") or line.get("target") != part.target or phase in _NOT_MEASURED:
            continue
        seconds.setdefault(f"duration/{phase}", []).append(round(took, 6))
    return {name: {"value": values, "unit": "s"} for name, values in seconds.items()}


def _metadata(part: _Part, form: Form, values: Mapping[str, str]) -> dict[str, Any]:
    head = part.record.head
    known: dict[str, Any] = {
        **target_attributes(part.record, part.target),
        "lava.host": head.get("host"),
        **{f"version.{name}": version for name, version in (head.get("versions") or {}).items()},
        **{name: fill(text, values) for name, text in form.metadata},
        "lava.run": part.record.run,
        "job_url": fill(form.job_url, values),
        "job_status": "Running" if part.live else _status(part.record),
        "datetime": min([case.started for case in part.cases] or [part.record.started]),
        LIVE: True if part.live else None,
    }
    return {name: _value(value) for name, value in known.items() if value not in (None, "")}


def _status(record: Record) -> str:
    """LAVA's word: a job that did its work is complete, whatever its tests say."""
    status = record.end.get("status") if record.end else None
    if status in (0, 1, 5):
        return "Complete"
    return "Canceled" if status == 2 else "Incomplete"


def _value(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float)) else plain(str(value))[:_VALUE]


def _files(part: _Part) -> Iterator[tuple[str, Path]]:
    """Those of failed tests first, as there may be no room for all."""
    for console in part.consoles:
        yield "console.log", console
    for case in sorted(part.cases, key=lambda case: case.verdict.result == "pass"):
        for line in (*case.lines, *case.late):
            for one in line.get("attachments") or ():
                if path := inside(part.folder, one.get("path")):
                    name = f"{case.name}.{one.get('name') or path.name}"
                    yield shorten(re.sub(r"[^A-Za-z0-9._-]+", "_", name), 200, name), path

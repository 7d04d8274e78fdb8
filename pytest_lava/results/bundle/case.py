"""One case as a result of a test run, and what is attached to it."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_lava.results.bundle.files import Taken
from pytest_lava.results.bundle.parts import (
    Bundle,
    attachment,
    attributes,
    date,
    duration,
    error_attributes,
    exact_measurement,
    measurement,
    message,
)
from pytest_lava.results.bundle.source import Source
from pytest_lava.results.console_slice import excerpt
from pytest_lava.results.kernel_messages import SECTION, kernel_attributes, kernel_messages, kernel_traces
from pytest_lava.results.record import LAVA, Case
from pytest_lava.results.recoveries import recovery_attributes
from pytest_lava.results.text import plain, tail

__all__ = ["case_result"]

#: characters of captured output that one result carries; the journal has all of it
_OUTPUT_LIMIT = 256 * 1024


def case_result(source: Source, case: Case, name: str, *, files: bool = True) -> tuple[Bundle, Taken]:
    """The result of a case under the id ``name``, and what goes with it; ``files`` that it attached among that."""
    verdict, values, own = case.verdict, dict(case.properties), _own_attributes(case)
    own |= recovery_attributes(source.record, case)
    result: Bundle = {"test_case_id": name, "result": verdict.result}
    if verdict.message:
        result["message"] = message(verdict.message)
    size = measurement(values.get("measurement"))
    if size is not None:
        result["measurement"] = size
        values["measurement"] = exact_measurement(values["measurement"], size)
        units = values.pop("units", None)
        if units:
            result["units"] = plain(str(units))
    result["timestamp"] = date(case.started)
    result["duration"] = duration(case.seconds)
    taken = _taken(source, case, files=files)
    result["attributes"] = attributes({**values, **own, **taken.attributes})
    return result, taken


def _own_attributes(case: Case) -> dict[str, object]:
    verdict, status = case.verdict, case.last("status")
    late = [f"{line['when']}: {line.get('message') or ''}" for line in verdict.also]
    bad = verdict.result in ("fail", "unknown")
    facts = {
        "nodeid": None if case.command else case.nodeid,
        "target": case.target if case.suite == LAVA else None,
        "outcome": verdict.outcome,
        "phase": verdict.when if bad else None,
        "returncode": status,
        "attempt": case.attempt if case.attempt > 1 else None,
        "also_failed": message("; ".join(late)),
        "console": "{}-{}".format(*case.console) if case.console else None,
        **error_attributes(verdict.error),
        **kernel_attributes(kernel_messages(case.lines)),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _taken(source: Source, case: Case, *, files: bool) -> Taken:
    taken = Taken()
    for name, key in (("stdout.txt", "stdout_b64"), ("stderr.txt", "stderr_b64")):
        if (content := case.last(key)) is not None:
            taken.add(source.room.output(name, content))
    taken.attachments += [*_output(case), *_evidence(source, case)]
    if files:
        taken.add(source.room.files((*case.lines, *case.late)))
    return taken


def _output(case: Case) -> Iterable[Bundle]:
    shown = [(name, text) for name, text in case.sections if not name.startswith(SECTION)]
    sections = "".join(f"---- {name} ----\n{text.rstrip()}\n" for name, text in shown)
    if sections:
        yield attachment("output.txt", tail(sections, _OUTPUT_LIMIT))
    if traces := kernel_traces(kernel_messages(case.lines)):
        yield attachment("kernel-messages.txt", tail(traces, _OUTPUT_LIMIT))


def _evidence(source: Source, case: Case) -> Iterable[Bundle]:
    if case.verdict.result not in ("fail", "unknown"):
        return
    reports = [str(line.get("longrepr") or "") for line in case.lines if line["outcome"] == "failed"]
    text = "\n\n".join(report for report in reports if report)
    if text:
        yield attachment("failure.txt", tail(text, _OUTPUT_LIMIT))
    if case.verdict.error.get("evidence"):
        yield attachment("evidence.txt", tail(str(case.verdict.error["evidence"]), _OUTPUT_LIMIT))
    span = case.console
    path = source.path(case.last("console_log")) if span else None
    console = excerpt(path, *span) if path and span else ""
    if console:
        yield attachment("console.txt", console)

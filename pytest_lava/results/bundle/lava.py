"""The run ``lava`` of a bundle: phases, deploy and boot reports, the job itself, and the serial logs."""

from __future__ import annotations

from pytest_lava.results.bundle.case import case_result
from pytest_lava.results.bundle.console import LogPart, cut_logs, place
from pytest_lava.results.bundle.parts import (
    Bundle,
    attachment,
    attributes,
    date,
    duration,
    error_attributes,
    measurement,
    message,
)
from pytest_lava.results.bundle.source import Source
from pytest_lava.results.bundle.tests import add, new_run
from pytest_lava.results.journal import Line
from pytest_lava.results.kernel_messages import kernel_attributes, kernel_messages
from pytest_lava.results.record import LAVA, Case, Record, number
from pytest_lava.results.recoveries import retry_attributes
from pytest_lava.results.slug import CASE_ID_LIMIT, Namer, case_id
from pytest_lava.results.summary import fault, first_fault

__all__ = ["lava_run"]

#: each test is a phase of its own name; its time is in its own result
_NOT_SHOWN = ("case",)
#: a board that cannot be leased, prepared or switched on fails its deploy or boot report
_STAGES = {
    "wait": "deploy",
    "fetch": "deploy",
    "inject": "deploy",
    "power": "boot",
    "boot.bootloader": "boot",
    "boot.kernel": "boot",
    "boot.login": "boot",
}


def lava_run(source: Source, test_id: str) -> Bundle:
    """The last run of each bundle."""
    record = source.record
    only = next(iter(record.targets)) if len(record.targets) == 1 else ""
    run = new_run(source, LAVA, test_id, target=only, started=record.started, facts=retry_attributes(record))
    seconds = number(record.end.get("seconds")) if record.end else None
    if source.form.has_duration and seconds is not None:
        run["test_duration"] = duration(seconds)
    logs = _logs(source)
    ids = Namer(case_id, CASE_ID_LIMIT)
    several = len(record.targets) > 1
    phases = [line for line in record.phases if line.get("name") not in _NOT_SHOWN]
    reports = [case for case in record.cases if case.suite == LAVA and not case.command]
    told = [_same_failure(case, phases) for case in reports]
    for line in phases:
        if not any(line in lines for lines in told):
            run["test_results"].append(_phase(line, ids, several))
    for case, lines in zip(reports, told, strict=True):
        result, taken = case_result(source, case, ids.unique(_name(case.name, case.target, several)))
        place(result, case, logs)
        result |= _took({"seconds": case.seconds})
        for line in lines:
            if line.get("name") == case.name:
                result |= _took(line)
            else:
                result["attributes"]["step"] = str(line.get("name"))
        add(source, run, result, taken)
    for line in (*record.boots, *record.resumes):
        result = _boot(line, ids, several)
        place(result, line, logs)
        run["test_results"].append(result)
    run["test_results"].append(_job(record))
    _attach(run, record, logs)
    return run


def _phase(line: Line, ids: Namer, several: bool) -> Bundle:
    error = line.get("error") or {}
    result: Bundle = {
        "test_case_id": ids.unique(_name(str(line.get("name")), str(line.get("target") or ""), several)),
        "result": str(error.get("result") or "unknown") if error else "pass",
        **_took(line),
        "timestamp": date(line.get("start") or line["time"]),
        "attributes": attributes({"target": line.get("target"), **error_attributes(error)}),
    }
    if error:
        result["message"] = message(str(error.get("message") or ""))
    return result


def _boot(line: Line, ids: Namer, several: bool) -> Bundle:
    """The whole way from power-on to a shell, that the phases are parts of; a resumed board claims no boot."""
    return {
        "test_case_id": ids.unique(_name(str(line["kind"]), str(line.get("target") or ""), several)),
        "result": "pass",
        **_took(line),
        "timestamp": date(line["time"]),
        "attributes": attributes(
            {
                "target": line.get("target"),
                "boot_id": line.get("boot_id"),
                "resumed": line.get("resumed"),
                **kernel_attributes(kernel_messages([line])),
            }
        ),
    }


def _took(line: Line) -> Bundle:
    seconds = number(line.get("seconds"))
    size = measurement(seconds)
    if seconds is None or size is None:
        return {}
    return {"measurement": round(size, 6), "units": "seconds", "duration": duration(seconds)}


def _job(record: Record) -> Bundle:
    """LAVA's own result: whether the job could do its work; failed tests do not change it."""
    end, found = record.end, first_fault(record)
    result: Bundle = {"test_case_id": "job", "result": "pass", "timestamp": date((end or record.head).get("time"))}
    facts: dict[str, object] = {"status": end.get("status") if end else None}
    if found:
        result["result"] = "fail" if found.error.get("result") == "fail" else "unknown"
        result["message"] = message(fault(found))
        facts |= error_attributes(found.error)
    elif end is None:
        result |= {"result": "unknown", "message": "the run was killed before its end"}
        facts |= {"error_type": "Canceled", "error_msg": "the run was killed before its end"}
    elif end.get("status") not in (0, 1, 5):
        # 5: no tests collected; the other statuses are an interrupt, a crash of pytest or a usage error
        result |= {"result": "unknown", "message": f"the run ended with exit status {end.get('status')}"}
        facts |= {"error_type": "Canceled" if end.get("status") == 2 else "Bug", "error_msg": result["message"]}
    seconds = number(end.get("seconds")) if end else None
    if seconds is not None:
        result["duration"] = duration(seconds)
    result["attributes"] = attributes(facts)
    return result


def _name(name: str, target: str, several: bool) -> str:
    return f"{name}/{target}" if several and target else name


def _same_failure(case: Case, phases: list[Line]) -> list[Line]:
    """The phase whose failure ``case`` reports, on each worker that met it: one result for one failure."""
    if case.verdict.outcome not in ("failed", "error"):
        return []
    matching = [line for line in phases if line.get("error") and case.name in _reports(line)]
    matching = [line for line in matching if not case.target or line.get("target") == case.target]
    return list({line.get("worker"): line for line in matching}.values())


def _reports(phase: Line) -> tuple[str, str]:
    """The reports that may tell of a phase's failure."""
    name = str(phase.get("name"))
    return name, _STAGES.get(name, name)


def _logs(source: Source) -> list[LogPart]:
    record = source.record
    lines: list[Line] = [
        *record.targets.values(),
        *record.boots,
        *record.resumes,
        *(line for case in record.cases for line in case.lines),
    ]
    boards = {line.get("board") for line in record.targets.values()}
    if len(boards) == 1:  # what a run has that ended before its log was named
        lines.append({"console_log": "console.log", "board": next(iter(boards))})
    return source.logs.of_run(lines)


def _attach(run: Bundle, record: Record, logs: list[LogPart]) -> None:
    attachments = run.get("attachments", [])
    attachments += [log.attached() for log in logs]
    run["attributes"] |= cut_logs(logs)
    notes = "".join(f"{note['time']} {note.get('text') or note.get('message') or ''}\n" for note in record.notes)
    if notes:
        attachments.append(attachment("notes.txt", notes))
    if attachments:
        run["attachments"] = attachments

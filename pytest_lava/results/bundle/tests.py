"""Test runs of a bundle: one for each suite or out-of-tree command on each target."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid5

from pytest_lava.results.bundle.case import case_result
from pytest_lava.results.bundle.console import cut_logs, place
from pytest_lava.results.bundle.context import source_attributes, with_source
from pytest_lava.results.bundle.files import Taken
from pytest_lava.results.bundle.measurements import measured_results
from pytest_lava.results.bundle.parts import Bundle, attributes, date, duration
from pytest_lava.results.bundle.source import Source
from pytest_lava.results.record import DEFINITION, LAVA, Case, Record, results_of
from pytest_lava.results.slug import CASE_ID_LIMIT, TEST_ID_LIMIT, Namer, case_id, slug
from pytest_lava.results.text import plain

__all__ = ["Group", "add", "groups", "new_run", "suite_run"]


@dataclass(frozen=True)
class Group:
    """The cases of one test run. ``key`` is stable, for its uuid; ``name`` is what its test id is made of."""

    key: str
    name: str
    target: str
    command: str
    cases: tuple[Case, ...]


def groups(record: Record) -> list[Group]:
    """The test runs in order of their first case.

    A suite on a further target has the target in its name, and what of a suite needs no board has ``host`` in it.
    """
    found: dict[tuple[str, ...], list[Case]] = {}
    for case in record.cases:
        if case.command:
            found.setdefault(("command", case.suite, case.target, case.nodeid), []).append(case)
        elif case.suite != LAVA:
            found.setdefault(("suite", case.suite, case.target), []).append(case)
    first: dict[tuple[str, ...], str] = {}
    for key, cases in found.items():
        first[key[:2]] = first.get(key[:2]) or cases[0].target
    result = []
    for key, cases in found.items():
        case = cases[0]
        name = key[1] if case.target == first[key[:2]] else f"{key[1]}-{case.target or 'host'}"
        result.append(Group("\0".join(key), name, case.target, case.command, tuple(cases)))
    return result


def suite_run(source: Source, group: Group, names: Namer) -> Bundle:
    """One test run with a result for each of its cases."""
    test_id = names.unique(group.name)
    facts: dict[str, object] = {"suite": None if group.command else group.cases[0].suite, "command": group.command}
    origin = {} if group.command else source.record.sources.get(group.cases[0].suite, {})
    facts |= source_attributes(origin)
    started = min(case.started for case in group.cases)
    run = new_run(source, group.key, test_id, target=group.target, started=started, facts=facts)
    run |= with_source({name: run[name] for name in ("software_context",) if name in run}, origin)
    if source.form.has_duration:
        whole = [case for case in group.cases if case.last(DEFINITION)] or group.cases  # a definition's has all of them
        run["test_duration"] = duration(sum(case.total_seconds for case in whole))
    testdef = next((case.last("testdef") for case in group.cases if case.last("testdef")), None)
    if source.form.has_testdef and isinstance(testdef, dict):
        fields = ("description", "version", "format", "location", "url", "environment", "os", "devices")
        run["testdef_metadata"] = {name: plain(str(testdef.get(name) or "")) for name in fields}
    logs = source.logs.of_cases(group.cases)
    ids = Namer(slug, TEST_ID_LIMIT) if group.command else Namer(case_id, CASE_ID_LIMIT)
    results = {case.nodeid for case in results_of(group.cases)}
    for case in group.cases:
        if case.last(DEFINITION):
            _take_files(source, run, case)
        if case.nodeid not in results:
            continue
        name = ids.unique(case.suite if group.command else case.name)
        result, taken = case_result(source, case, name, files=not case.last(DEFINITION))
        if case.last("log_line") and run.get("attachments"):
            result |= {"log_filename": run["attachments"][0]["pathname"], "log_lineno": int(case.last("log_line"))}
        place(result, case, logs)
        add(source, run, result, taken)
        run["test_results"].extend(measured_results(case, ids))
    if logs:
        run.setdefault("attachments", []).extend(part.attached() for part in logs)
        run["attributes"] |= cut_logs(logs)
    return run


def _take_files(source: Source, run: Bundle, case: Case) -> None:
    """What a definition attaches belongs to the whole run."""
    taken = source.room.files((*case.lines, *case.late))
    run.setdefault("attachments", []).extend([*taken.attachments, *taken.references])
    run["attributes"] |= attributes(taken.attributes)


def new_run(source: Source, key: str, test_id: str, *, target: str, started: str, facts: dict[str, object]) -> Bundle:
    """A test run without results; the same run of the same journal has the same uuid in every format."""
    record, known = source.record, source.targets[target]
    versions = record.head.get("versions") or {}
    return {
        "analyzer_assigned_uuid": str(uuid5(source.namespace, key.encode("utf-8", "backslashreplace").decode())),
        "analyzer_assigned_date": date(started),
        "time_check_performed": False,
        "test_id": test_id,
        "test_results": [],
        "attributes": attributes(
            {
                **facts,
                **known.attributes,
                "lava.run": record.run,
                "lava.host": record.head.get("host"),
                **{f"version.{name}": version for name, version in versions.items()},
            }
        ),
        **({"tags": list(known.tags)} if known.tags else {}),
        **source.contexts(target),
    }


def add(source: Source, run: Bundle, result: Bundle, taken: Taken) -> None:
    """Put a result into a run, its attachments where the format has room for them."""
    run["test_results"].append(result)
    moved = taken.references
    if source.form.has_result_attachments:
        if taken.attachments:
            result["attachments"] = taken.attachments
    else:
        moved = [*taken.attachments, *taken.references]
    if moved:
        prefix = "" if "command" in run["attributes"] else result["test_case_id"] + "/"
        named = ({**one, "pathname": (prefix + one["pathname"])[-256:]} for one in moved)
        run.setdefault("attachments", []).extend(named)

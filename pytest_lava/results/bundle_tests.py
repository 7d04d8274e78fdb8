"""Test runs of a bundle: one for each suite or out-of-tree command on each target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid5

from pytest_lava.results.bundle_parts import (
    Bundle,
    attachment,
    attributes,
    date,
    duration,
    encoded_attachment,
    error_attributes,
    inside,
    measurement,
    message,
)
from pytest_lava.results.bundle_schema import BundleFormat
from pytest_lava.results.bundle_target import TargetFacts
from pytest_lava.results.console_slice import excerpt
from pytest_lava.results.kernel_messages import SECTION, kernel_attributes, kernel_messages, kernel_traces
from pytest_lava.results.record import DEFINITION, LAVA, Case, Record
from pytest_lava.results.recoveries import recovery_attributes
from pytest_lava.results.slug import CASE_ID_LIMIT, TEST_ID_LIMIT, Namer, case_id, slug
from pytest_lava.results.text import plain, tail

__all__ = ["Group", "Source", "case_result", "groups", "new_run", "suite_run"]

#: characters of captured output that one result carries; the journal has all of it
_OUTPUT_LIMIT = 256 * 1024
#: bytes of a text that is attached
_FILE_LIMIT = 8 << 20


@dataclass(frozen=True)
class Source:
    """What a bundle is made from: the record, the format, the run folder, and what is known of each target."""

    record: Record
    form: BundleFormat
    folder: Path
    namespace: UUID
    targets: Mapping[str, TargetFacts]
    #: targets of which a run has told in full
    _told: set[str] = field(default_factory=set)

    def contexts(self, target: str) -> Bundle:
        """Hardware and software of a target: in full, or if that were too much in all only the first time."""
        found = self.targets[target]
        full = target not in self._told
        self._told.add(target)
        return found.contexts if full else found.brief


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
    started = min(case.started for case in group.cases)
    run = new_run(source, group.key, test_id, target=group.target, started=started, facts=facts)
    if source.form.has_duration:
        whole = [case for case in group.cases if case.last(DEFINITION)] or group.cases  # a definition's has all of them
        run["test_duration"] = duration(sum(case.total_seconds for case in whole))
    testdef = next((case.last("testdef") for case in group.cases if case.last("testdef")), None)
    if source.form.has_testdef and isinstance(testdef, dict):
        fields = ("description", "version", "format", "location", "url", "environment", "os", "devices")
        run["testdef_metadata"] = {name: plain(str(testdef.get(name) or "")) for name in fields}
    ids = Namer(slug, TEST_ID_LIMIT) if group.command else Namer(case_id, CASE_ID_LIMIT)
    for case in group.cases:
        if case.last(DEFINITION):
            run.setdefault("attachments", []).extend(_files(source, case))
        if case.last(DEFINITION) == "ended" and case.verdict.outcome in ("passed", "failed"):
            continue  # its cases have said it all
        name = ids.unique(case.suite if group.command else case.name)
        result, attachments = case_result(source, case, name)
        if case.last("log_line") and run.get("attachments"):
            result |= {"log_filename": run["attachments"][0]["pathname"], "log_lineno": int(case.last("log_line"))}
        add(source, run, result, [] if case.last(DEFINITION) else attachments)
    return run


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


def add(source: Source, run: Bundle, result: Bundle, attachments: list[Bundle]) -> None:
    """Put a result into a run, its attachments where the format has room for them."""
    run["test_results"].append(result)
    if not attachments:
        return
    if source.form.has_result_attachments:
        result["attachments"] = attachments
        return
    prefix = "" if "command" in run["attributes"] else result["test_case_id"] + "/"
    moved = ({**one, "pathname": (prefix + one["pathname"])[-256:]} for one in attachments)
    run.setdefault("attachments", []).extend(moved)


def case_result(source: Source, case: Case, name: str) -> tuple[Bundle, list[Bundle]]:
    """The result of a case under the id ``name``, and its attachments."""
    verdict, values, own = case.verdict, dict(case.properties), _own_attributes(case)
    own |= recovery_attributes(source.record, case)
    result: Bundle = {"test_case_id": name, "result": verdict.result}
    if verdict.message:
        result["message"] = message(verdict.message)
    size = measurement(values.get("measurement"))
    if size is not None:
        result["measurement"] = size
        del values["measurement"]
        units = values.pop("units", None)
        if units:
            result["units"] = plain(str(units))
    result["timestamp"] = date(case.started)
    result["duration"] = duration(case.seconds)
    result["attributes"] = attributes({**values, **own})
    return result, [*_output(case), *_evidence(source, case), *_files(source, case)]


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


def _output(case: Case) -> Iterable[Bundle]:
    yield from encoded_attachment("stdout.txt", case.last("stdout_b64"))
    yield from encoded_attachment("stderr.txt", case.last("stderr_b64"))
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
    path = inside(source.folder, case.last("console_log")) if case.console else None
    console = excerpt(path, *case.console) if path and case.console else ""
    if console:
        yield attachment("console.txt", console)


def _files(source: Source, case: Case) -> Iterable[Bundle]:
    for line in (*case.lines, *case.late):
        for one in line.get("attachments") or ():
            path = inside(source.folder, one.get("path"))
            if path:
                mime = str(one.get("mime") or "application/octet-stream")
                yield attachment(str(one.get("name") or path.name), _contents(path, mime), mime=mime)


def _contents(path: Path, mime: str) -> bytes:
    """Of a text without end its beginning, to which line numbers belong; the run folder has all of it."""
    with path.open("rb") as file:
        found = file.read() if not mime.startswith("text/") else file.read(_FILE_LIMIT)
        if file.read(1):
            found += b"\n... the rest is in the run folder only\n"
    return found

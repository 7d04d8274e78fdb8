"""JUnit XML out of the journal: whole also after ``kill -9``, when pytest itself writes none."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET  # only writes here

from pytest_lava.results.journal import Line
from pytest_lava.results.junit_links import Links
from pytest_lava.results.kernel_messages import kernel_attributes, kernel_messages
from pytest_lava.results.record import LAVA, Case, Record, Verdict, collect, number
from pytest_lava.results.recoveries import recovery_attributes, told_attempts, told_recoveries
from pytest_lava.results.run_files import write_atomically
from pytest_lava.results.text import strip_ansi, tail, xml_text
from pytest_lava.results.uncollected import uncollected

__all__ = ["document", "write"]

#: characters of one output, and what is tried next if the file is too large; the run folder has all of it
_OUTPUT_LIMITS = (256 * 1024, 64 * 1024, 16 * 1024, 4 * 1024, 1024)
#: GitLab refuses a file of more than 30 MB
_FILE_LIMIT = 28_000_000
_TAGS = {"failed": "failure", "error": "error", "unfinished": "error", "skipped": "skipped", "xfail": "skipped"}


def write(lines: Iterable[Line], path: Path, *, folder: Path | None = None, links: Links | None = None) -> None:
    """Write the XML to ``path`` whole or not at all; see :func:`document`. Raises ``InfrastructureError``."""
    write_atomically(path, document(lines, folder=folder, links=links))


def document(lines: Iterable[Line], *, folder: Path | None = None, links: Links | None = None) -> bytes:
    """``<testsuites>`` with one ``<testsuite name="pytest-lava">``, in the form of pytest's own ``xunit2``.

    ``folder`` is the run folder, with the files that ``links`` (else those that the run asked for) lead to.
    """
    with uncollected():
        record = collect(lines)
        form = _Form(record, folder, links or Links.of(record.head), _OUTPUT_LIMITS[0])
        # what cannot fit is not built first: it would be several times as much in memory
        likely = [limit for limit in _OUTPUT_LIMITS if _least(record, limit) <= _FILE_LIMIT] or _OUTPUT_LIMITS[-1:]
        for limit in likely:
            text = _document(replace(form, limit=limit))
            if len(text) <= _FILE_LIMIT:
                break
        return text


def _least(record: Record, limit: int) -> int:
    """Characters that outputs will have at least; failures and what XML escapes come on top."""
    sizes = (sum(len(text) for _, text in case.sections) for case in record.cases)
    return sum(min(size, limit) for size in sizes)


@dataclass(frozen=True)
class _Form:
    """What is written, and how: ``limit`` characters of each output."""

    record: Record
    folder: Path | None
    links: Links
    limit: int


def _document(form: _Form) -> bytes:
    record = form.record
    cases = [_testcase(form, case) for case in record.cases]
    tags = Counter(_TAGS.get(case.verdict.outcome, "passed") for case in record.cases)
    ended = number(record.end.get("seconds")) if record.end else None
    seconds = ended if ended is not None else sum(case.total_seconds for case in record.cases)
    root = ET.Element("testsuites", name="pytest-lava")
    suite = ET.SubElement(
        root,
        "testsuite",
        name="pytest-lava",
        tests=str(len(cases)),
        failures=str(tags["failure"]),
        errors=str(tags["error"]),
        skipped=str(tags["skipped"]),
        time=f"{seconds:.3f}",
        timestamp=xml_text(record.started),
        hostname=xml_text(str(record.head.get("host") or "")),
    )
    cut = [("output_limit", form.limit)] if form.limit < _OUTPUT_LIMITS[0] else []
    _properties(suite, [*_run_properties(record, form.folder), *cut])
    suite.extend(cases)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _testcase(form: _Form, case: Case) -> ET.Element:
    record = form.record
    classname, name = _names(case)
    if len(record.targets) > 1 and case.target and case.suite != LAVA:
        name += f"[{case.target}]"  # else two of the same name
    element = ET.Element(
        "testcase", classname=xml_text(classname), name=xml_text(name), time=f"{case.total_seconds:.3f}"
    )
    _properties(element, _case_properties(record, case))
    tag = _TAGS.get(case.verdict.outcome)
    if tag:
        found = ET.SubElement(element, tag, message=xml_text(case.verdict.message))
        if tag == "skipped":
            found.set("type", "pytest.xfail" if case.verdict.outcome == "xfail" else "pytest.skip")
        elif case.verdict.error.get("type"):
            found.set("type", xml_text(str(case.verdict.error["type"])))
        found.text = xml_text(_report(case.verdict, form.limit))
    out = [f"---- {name} ----\n{text}" for name, text in case.sections if "stderr" not in name]
    err = [f"---- {name} ----\n{text}" for name, text in case.sections if "stderr" in name]
    files = form.links.lines(case, form.folder)
    _output(element, "system-out", [_decoded(case.last("stdout_b64")), *out], form.limit, before=files)
    _output(element, "system-err", [_decoded(case.last("stderr_b64")), *err], form.limit)
    return element


def _names(case: Case) -> tuple[str, str]:
    """``classname`` and ``name`` as pytest makes them; ``deploy``, ``boot`` and commands have a class of their own."""
    if case.command:
        again = re.search(r"#\d+\Z", case.name)  # of two equal commands
        return "command", case.suite + (again[0] if again and not case.suite.endswith(again[0]) else "")
    if case.suite == LAVA:
        return case.name, case.target or case.board or case.name
    module = re.sub(r"\.py$", "", case.suite).replace("/", ".")
    base, bracket, parameters = case.name.partition("[")
    *classes, name = base.split("::")
    return ".".join([module, *classes]), name + bracket + parameters


def _report(verdict: Verdict, limit: int) -> str:
    lines = [verdict.line, *verdict.also] if verdict.line else []
    texts = [str(line.get("longrepr") or line.get("message") or "") for line in lines]
    texts.append(str(verdict.error.get("evidence") or ""))
    return _end("\n\n".join(text for text in texts if text) or verdict.message, limit)


def _case_properties(record: Record, case: Case) -> list[tuple[str, object]]:
    error, told = case.verdict.error, {name for name, _ in case.properties}
    ours = [
        ("board", case.board or record.target(case.target).get("board")),
        ("target", case.target),
        ("kernel", record.kernel_release(case.target) or (record.target(case.target).get("kernel") or {}).get("name")),
        ("status", case.last("status")),
        ("console", "{}-{}".format(*case.console) if case.console else None),
        ("console_log", case.last("console_log")),
        ("blame", error.get("blame")),
        *kernel_attributes(kernel_messages(case.lines)).items(),
        *recovery_attributes(record, case).items(),
    ]
    return [*(pair for pair in ours if pair[0] not in told), *case.properties]


def _run_properties(record: Record, folder: Path | None) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = [("run", record.run), ("run_folder", folder)]
    for name, line in record.targets.items():
        kernel, image = line.get("kernel") or {}, line.get("image") or {}
        found += [
            ("board", line.get("board")),
            ("target", name),
            ("kernel", record.kernel_release(name) or kernel.get("name")),
            ("kernel_sha256", kernel.get("sha256")),
            ("image", image.get("name")),
            ("image_sha256", image.get("sha256")),
        ]
    found += [("boot_seconds", boot.get("seconds")) for boot in record.boots]
    found += [("resumed", resume.get("resumed")) for resume in record.resumes]
    found += [("recovered", line) for line in told_recoveries(record)]
    found += [("retried", line) for line in told_attempts(record)]
    # several targets share boards and images: each value once
    return [pair for number, pair in enumerate(found) if pair not in found[:number]]


def _properties(owner: ET.Element, pairs: Iterable[tuple[str, object]]) -> None:
    known = [(name, value) for name, value in pairs if value not in (None, "")]
    if known:
        parent = ET.SubElement(owner, "properties")
        for name, value in known:
            ET.SubElement(parent, "property", name=xml_text(name), value=xml_text(str(value)))


def _output(owner: ET.Element, tag: str, texts: Iterable[str], limit: int, *, before: str = "") -> None:
    text = _end("\n".join(text for text in texts if text), limit)
    if before or text:
        ET.SubElement(owner, tag).text = xml_text(f"{before}\n{text}" if before else text)


def _end(text: str, limit: int) -> str:
    return tail(strip_ansi(text), limit)  # a sequence that was cut in two would not be known for one


def _decoded(content: object) -> str:
    try:
        return base64.b64decode(content).decode("utf-8", "replace") if isinstance(content, str) else ""
    except ValueError:
        return ""

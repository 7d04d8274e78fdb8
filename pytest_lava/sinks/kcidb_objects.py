"""A run as objects of KCIDB's schema 5.3: a checkout and a build for each kernel, a test for each result and boot.

Ids are made of what they name, so the same run, and the same kernel in any run, has the same ids: KCIDB merges what it
gets twice. Source of fields and statuses: the schema itself (``kcidb_io.schema.V5_3``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pytest_lava.errors import Blame
from pytest_lava.results.bundle.context import inventory_of
from pytest_lava.results.journal import Line
from pytest_lava.results.record import Case, Record, number
from pytest_lava.results.text import plain
from pytest_lava.sinks.cases import case_log, log_limit, measured_as_a_whole, shown_cases, sizes
from pytest_lava.sinks.placeholders import facts, fill

__all__ = ["Naming", "objects"]

#: whose fault a test is that says nothing about the kernel: KCIDB's MISS, "failure in the test harness"
_HARNESS = (Blame.INFRASTRUCTURE, Blame.CONFIGURATION, Blame.BUG)
_COMMENT = 1024  # characters
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Naming:
    """Who submits, what of it KCIDB has already (``build``), and what only the lab knows, as templates."""

    origin: str
    build: str = ""
    tree: str = ""
    log_url: str = ""


def objects(record: Record, naming: Naming, *, live: bool = False) -> dict[str, list[dict[str, Any]]]:
    """``checkouts``, ``builds`` and ``tests`` of a run; with ``live`` those tests that have ended.

    A live one leaves out a target whose kernel is not known yet, as its build would get another id.
    """
    cases = shown_cases(record, live=live)
    limit = log_limit(len(cases))
    source = _Source(record, naming)
    targets = {
        target: source.target(target or next(iter(record.targets), ""))  # what needs no board goes beside the first
        for target in [*record.targets, *(case.target for case in cases)]
        if not live or (record.target(target) and record.kernel_release(target))
    }
    boots = [line for line in record.boots if line.get("target") in targets]
    tests = [source.boot(targets[str(line["target"])], line) for line in boots]
    for case in cases:
        if case.target in targets:
            tests += source.tests(targets[case.target], case, limit)
    own = [] if naming.build else list(targets.values())
    return {
        "checkouts": _each_once(one.checkout for one in own),
        "builds": _each_once(one.build for one in own),
        "tests": tests,
    }


@dataclass(frozen=True)
class _Target:
    """What all tests on one target have in common."""

    build_id: str
    checkout: dict[str, Any]
    build: dict[str, Any]
    environment: dict[str, Any]
    log_url: str


@dataclass(frozen=True)
class _Source:
    """Makes objects, and counts how often a test of one name came."""

    record: Record
    naming: Naming
    seen: dict[str, int] = field(default_factory=dict)

    def target(self, target: str) -> _Target:
        record, naming, values = self.record, self.naming, facts(self.record, target)
        line = record.target(target)
        kernel = line.get("kernel") or {}
        origin = kernel.get("origin") or {}
        commit = values["commit"] if _COMMIT.fullmatch(values["commit"]) else ""
        sha256 = str(kernel.get("sha256") or "")
        key = f"kernel-{sha256}" if sha256 else f"{record.run}-{target}"
        checkout = self._object(f"commit-{commit}" if commit else key)
        url = str(origin.get("url") or "")
        checkout |= _known(
            git_commit_hash=commit,
            git_repository_url=url if url.startswith("https://") else "",
            tree_name=naming.tree,
            comment="" if commit else values["kernel"],  # one commit may be built as several releases
            valid=True,
        )
        build = {**self._object(key), "checkout_id": checkout["id"]} | _known(
            architecture=re.sub(r"[^a-z0-9_]", "_", values["arch"].lower()),
            comment=kernel.get("build") or values["kernel"],
            status="PASS",
            misc=_known(
                name=kernel.get("name"), release=values["kernel"], sha256=sha256, kind=kernel.get("kind"),
                source=origin.get("text"), package=origin.get("package"),
            ),
        )  # fmt: skip
        return _Target(
            naming.build or build["id"],
            checkout,
            build,
            self._environment(target, values),
            fill(naming.log_url, values),
        )

    def boot(self, target: _Target, line: Line) -> dict[str, Any]:
        """A boot that came to a shell; one that failed is a case."""
        key = f"boot\0{line.get('target')}\0{line.get('worker')}\0{line.get('boot_id')}"
        return self._test(key, target) | _known(
            path="boot",
            status="PASS",
            start_time=_time(line.get("time"), -(number(line.get("seconds")) or 0.0)),
            duration=number(line.get("seconds")),
            misc=_known(run=self.record.run, target=line.get("target")),
        )

    def tests(self, target: _Target, case: Case, limit: int) -> list[dict[str, Any]]:
        """One result, and one for each number that it recorded."""
        status, whole = _status(case), measured_as_a_whole(case)
        told = status != "PASS"
        about = _known(
            comment=f"{case.suite}: {case.name}" if case.name != case.suite else case.name,
            start_time=_time(case.started),
        )
        misc = _known(run=self.record.run, target=case.target, nodeid=case.nodeid, command=case.command)
        more = _known(
            outcome=case.verdict.outcome, returncode=case.last("status"), message=case.verdict.message if told else "",
            error=case.verdict.error.get("type"), blame=case.verdict.error.get("blame"),
        )  # fmt: skip
        path, key = _path(case), f"{case.target}\0{case.nodeid}"
        found = self._test(f"test\0{key}", target) | about | _known(
            path=path,
            status=status,
            duration=round(case.seconds, 6),
            log_excerpt=case_log(case, limit) if told else "",
            number=_number(*whole) if whole and status not in ("SKIP", "MISS") else None,
            misc=misc | more,
        )  # fmt: skip
        return [found] + [
            self._test(f"number\0{key}\0{size.name}", target) | about | _known(
                path=f"{path}.{_part(size.name) or 'number'}",
                status={"fail": "FAIL"}.get(size.result, "PASS" if size.bounded else "DONE"),
                number=_number(size.value, size.unit),
                misc=misc | _known(measurement=size.name, message=size.message),
            )
            for size in sizes(case)
        ]  # fmt: skip

    def _test(self, key: str, target: _Target) -> dict[str, Any]:
        self.seen[key] = count = self.seen.get(key, 0) + 1
        name = uuid5(_namespace(self.record.run), f"{key}\0{count}".encode("utf-8", "backslashreplace").decode())
        about = {"build_id": target.build_id, "environment": target.environment}
        return {**self._object(str(name)), **about, **_known(log_url=target.log_url)}

    def _object(self, key: str) -> dict[str, Any]:
        return {"id": f"{self.naming.origin}:{plain(key)}", "origin": self.naming.origin}

    def _environment(self, target: str, values: dict[str, str]) -> dict[str, Any]:
        told = inventory_of(self.record, target)
        names = [one for one in told.get("compatible") or () if re.fullmatch(r"[^ \0]+", str(one))]
        comment = f"{values['board']} ({values['device_type']})" if values["board"] else values["host"]
        misc = _known(
            board=values["board"], device_type=values["device_type"], arch=values["arch"], image=values["image"],
            lab=values["host"], model=told.get("model"), memory=told.get("memory"),
            emulated=self.record.target(target).get("emulated"),
        )  # fmt: skip
        return _known(comment=comment, compatible=names, misc=misc)


def _status(case: Case) -> str:
    verdict = case.verdict
    if verdict.outcome in ("passed", "xpass"):
        return "PASS"
    if verdict.outcome == "failed":
        return "FAIL"
    if verdict.outcome in ("skipped", "xfail"):
        # a skip that carries an error, or is unknown, was one because its board or kernel had ended
        return "MISS" if verdict.error or verdict.result == "unknown" else "SKIP"
    if verdict.outcome == "unfinished" or verdict.error.get("blame") in _HARNESS:
        return "MISS"
    return "ERROR"


def _number(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, **_known(unit=unit)}


def _path(case: Case) -> str:
    """Dots between what is between ``/`` and ``::``; of parameters and all else only what a path may have.

    >>> # tests/test_mm.py::TestMm::test_huge[2 MB] -> tests.test_mm.TestMm.test_huge_2_MB
    """
    if case.command:
        return f"command.{_part(case.command)}"
    base, bracket, parameters = case.name.partition("[")
    parts = [*re.sub(r"\.py$", "", case.suite).split("/"), *re.split(r"::|/", base)]
    if bracket:
        parts[-1] += f"_{parameters}"
    return ".".join(part for one in parts if (part := _part(one))) or "unnamed"


def _part(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", text).strip("_")


def _time(moment: object, later: float = 0.0) -> str:
    """RFC 3339; empty if it cannot be read."""
    try:
        found = datetime.fromisoformat(str(moment))
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.fromtimestamp(found.timestamp() + later, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _known(**values: object) -> dict[str, Any]:
    """What is known: KCIDB takes no nulls. Texts without control characters, and not without end."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or value in ("", [], {}):
            continue
        found[name] = plain(value) if isinstance(value, str) else value
        if isinstance(value, str) and name not in ("log_excerpt", "path"):
            found[name] = found[name][:_COMMENT]
    return found


def _each_once(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({one["id"]: one for one in found}.values())


def _namespace(run: str) -> UUID:
    try:
        return UUID(run)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"pytest-lava:{run}".encode("utf-8", "backslashreplace").decode())

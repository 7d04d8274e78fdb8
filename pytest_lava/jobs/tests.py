"""The ``test`` actions of a LAVA v2 job: definitions, monitors and scripts, as suites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from pytest_lava.jobs.checkouts import Wanted
from pytest_lava.jobs.keys import PLACES
from pytest_lava.jobs.monitor import Monitor, MonitorSuite
from pytest_lava.jobs.runs import INSTALLED, Changes, SourcedDefinition
from pytest_lava.jobs.table import Table
from pytest_lava.jobs.talk import EXCEPTIONS, Failure, Line, Talk, TalkSuite
from pytest_lava.suites.api import RESULTS, Suite
from pytest_lava.suites.definition import take_definition

__all__ = ["read_test"]

_NAME = re.compile(r"[-\w.]+", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_KINDS = ("definitions", "monitors", "interactive")


def read_test(table: Table, *, bootloader: bool) -> list[Suite]:
    """What one action runs, in order; ``bootloader``: it runs at a boot loader's prompt. ``ConfigurationError``."""
    table.known("test", PLACES["test"])
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        raise table.wrong(f"a test has one of {', '.join(map(repr, _KINDS))}")
    suites = list({"definitions": _definitions, "monitors": _monitors, "interactive": _talks}[kinds[0]](table))
    if kinds[0] == "interactive" and bootloader:
        suites = [TalkSuite(replace(one.talk, bootloader=True), one.source) for one in suites]  # type: ignore[attr-defined]
    return suites


def _name(table: Table) -> str:
    name = table.needed("name")
    if not _NAME.fullmatch(name) or name == "lava":
        what = "is that of results about the run" if name == "lava" else "has other characters than A-Z a-z 0-9 - _ ."
        raise table.wrong(f"the name {name!r} {what}: choose another", "name")
    return name


# -- definitions ------------------------------------------------------------------------------------------------------


def _definitions(table: Table) -> Iterator[Suite]:
    for entry in table.tables("definitions"):
        entry.known("definition", PLACES["definition"])
        kind = entry.needed("from")
        if kind not in ("inline", "git", "url"):
            raise entry.wrong(f"definitions from {kind!r} are not supported: put it into a git repository", "from")
        entry.needed("path")
        yield _inline(entry) if kind == "inline" else _sourced(entry, kind)


def _changes(entry: Table) -> Changes:
    params: dict[str, str] = {}
    for key in ("parameters", "params"):
        for name, value in entry.strings(key).items():
            if not _VARIABLE.match(name):
                raise entry.wrong(f"the parameter {name!r} is no name of a shell variable", key, name)
            params[name] = value
    skip = entry.texts("skip_install")
    for number, word in enumerate(skip):
        if word not in (*INSTALLED, "all"):
            raise entry.wrong(f"{word!r} is none of {', '.join(INSTALLED)}, all", "skip_install", number)
    signal = entry.text("lava-signal", "stdout")
    if signal not in ("kmsg", "stdout"):
        raise entry.wrong(f"signals go by kmsg or stdout, not {signal!r}", "lava-signal")
    return Changes(_name(entry), params, entry.texts("expected"), frozenset(skip), signal == "kmsg")


def _inline(entry: Table) -> Suite:
    table, changes = entry.table("repository"), _changes(entry)
    if "run" not in table:
        raise entry.wrong("an inline definition has to have 'metadata' and 'run: steps:'", "repository")
    definition = take_definition(table.file.inside(*table.keys))
    text: Any = yaml.safe_dump(dict(table.data), sort_keys=False, allow_unicode=True)
    return changes.applied(replace(definition, text=text))


def _sourced(entry: Table, kind: Any) -> Suite:
    wanted = Wanted(
        kind, entry.needed("repository"), entry.needed("path"), entry.text("branch"), entry.text("revision")
    )
    if wanted.url.startswith("-"):
        raise entry.wrong(f"{wanted.url!r} is no repository", "repository")
    if wanted.path.startswith("/") or ".." in wanted.path.split("/"):
        raise entry.wrong(f"the path {wanted.path!r} leads out of the repository", "path")
    return SourcedDefinition(entry.file.path, entry.line("repository"), wanted, _changes(entry))


# -- monitors ---------------------------------------------------------------------------------------------------------


def _monitors(table: Table) -> Iterator[Suite]:
    for entry in table.tables("monitors"):
        entry.known("monitor", PLACES["monitor"])
        pattern = entry.regex("pattern")
        groups = set(re.compile(pattern).groupindex)
        if "test_case_id" not in groups or not groups & {"result", "measurement"}:
            raise entry.wrong(
                "the pattern has to have the groups (?P<test_case_id>...) and (?P<result>...), or (?P<measurement>...)",
                "pattern",
            )
        fixup = entry.strings("fixupdict")
        for word, result in fixup.items():
            if result not in RESULTS:
                raise entry.wrong(f"{result!r} is no result: it is one of {', '.join(RESULTS)}", "fixupdict", word)
        monitor = Monitor(
            _name(entry), entry.regex("start"), entry.regex("end"), pattern, fixup, entry.texts("expected")
        )
        yield MonitorSuite(monitor, table.file.path)


# -- scripts ----------------------------------------------------------------------------------------------------------


def _talks(table: Table) -> Iterator[Suite]:
    for entry in table.tables("interactive"):
        entry.known("interactive", PLACES["interactive"])
        if not (prompts := entry.regexes("prompts")):
            raise entry.wrong("'prompts' is missing: what shows that a command has ended?")
        if entry.text("echo", "discard") != "discard":
            raise entry.wrong("'echo' is 'discard', or left out", "echo")
        lines = tuple(_line(one) for one in entry.tables("script"))
        talk = Talk(_name(entry), prompts, lines, "echo" in entry, entry.texts("expected"))
        yield TalkSuite(talk, table.file.path)


def _line(table: Table) -> Line:
    table.known("command", PLACES["command"])
    if "delay" in table:
        return Line(delay=float(table.number("delay", least=0) or 0))
    if "command" not in table.data:
        raise table.wrong("a line of a script has a 'command', which may be null, or a 'delay'")
    successes = tuple(one.regex("message") for one in table.tables("successes")) if "successes" in table else ()
    failures = tuple(_failure(one) for one in table.tables("failures")) if "failures" in table else ()
    command = None if table.data["command"] is None else table.text("command")
    name = _name(table) if "name" in table else ""
    return Line(command, name, successes, failures, table.flag("wait_for_prompt", default=True))


def _failure(table: Table) -> Failure:
    exception = table.text("exception")
    if exception and exception not in EXCEPTIONS:
        raise table.wrong(f"the exception is one of {', '.join(EXCEPTIONS)}, not {exception!r}", "exception")
    return Failure(table.regex("message"), exception, table.text("error"))

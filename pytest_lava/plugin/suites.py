"""The face of suites: a YAML file becomes an item, and each of its cases a report of its own, live."""

from __future__ import annotations

import re
import types
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_lava.errors import ConfigurationError, LavaError, TestError
from pytest_lava.plan import Target
from pytest_lava.plugin.child import emit_child
from pytest_lava.plugin.collection import target_of
from pytest_lava.plugin.facts import FACTS, release_of
from pytest_lava.plugin.functions import made_function
from pytest_lava.plugin.job_targets import job_body
from pytest_lava.plugin.named_cases import take_cases
from pytest_lava.results.record import DEFINITION
from pytest_lava.suites.api import STDOUT, Attachment, Case, Suite, Surroundings

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.lab.guardian import Guardian
    from pytest_lava.plugin.jobs import Jobs
    from pytest_lava.plugin.session import Run

__all__ = ["SuiteFile", "Suites", "suite_of"]

_FACE = pytest.StashKey["Suites"]()
_RUNNING = pytest.StashKey["_Cases"]()
_SUFFIXES = (".yaml", ".yml")
_OUTCOMES: Mapping[str, Any] = {"pass": "passed", "fail": "failed", "skip": "skipped", "unknown": "skipped"}
_TOLD = 5  # names of cases in the one line that says which failed


def suite_of(item: pytest.Item) -> Suite | None:
    """The suite that an item runs, if it runs one."""
    return getattr(getattr(item, "function", None), "lava_suite", None)


class Suites:
    """Collects files named on the command line or by ``lava_files``, and runs what they hold."""

    def __init__(self, run: Run, guardian: Guardian, jobs: Jobs) -> None:
        self._run, self._guardian, self._jobs = run, guardian, jobs
        self._patterns = [str(one) for one in run.config.getini("lava_files")]
        self._names: dict[str, Path] = {}
        self._loaded: dict[Path, tuple[Suite, ...]] = dict(jobs.suites)
        self._count = 0
        #: cases asked for by node id, of each file; nothing if all of it was
        self._chosen: dict[Path, set[str]] = {}
        run.config.stash[_FACE] = self
        self._take_arguments(run.config)

    def _take_arguments(self, config: pytest.Config) -> None:
        """A case's node id runs its definition: pytest knows only the file. What is wrong in a file is told now."""
        targets = [target.id for target in self._run.plan.targets]
        try:
            config.args[:], self._chosen = take_cases(config.args, self._items_of, targets)
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from None

    def _items_of(self, name: str) -> tuple[Path, list[str]] | None:
        path = (self._run.config.invocation_params.dir / name).resolve()
        if (path.suffix not in _SUFFIXES and path not in self._loaded) or not path.is_file():
            return None
        return path, [_slug(suite.name) for suite in self.load(path)]

    def load(self, path: Path) -> tuple[Suite, ...]:
        """What a file holds; read when it is needed first. ``ConfigurationError`` with its line for what is wrong."""
        key = path.resolve()
        if key not in self._loaded:
            from pytest_lava.suites.load import load

            self._loaded[key] = load(path)
        return self._loaded[key]

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """No other YAML: a kernel tree has thousands of files."""
        if file_path.suffix not in _SUFFIXES and file_path.resolve() not in self._jobs.suites:
            return None
        relative = str(file_path.relative_to(self._run.config.rootpath)) if self._is_below(file_path) else ""
        if parent.session.isinitpath(file_path) or any(fnmatch(relative, pattern) for pattern in self._patterns):
            return SuiteFile.from_parent(parent, path=file_path)
        return None

    def _is_below(self, path: Path) -> bool:
        return path.is_relative_to(self._run.config.rootpath)

    def named(self, suite: Suite) -> str:
        """The name of its results: another file's of the same name gets that file's too."""
        owner = self._names.setdefault(suite.name, suite.source)
        return suite.name if owner == suite.source else f"{suite.name}-{suite.source.stem}"

    # -- running ------------------------------------------------------------------------------------------------

    def execute(self, item: pytest.Item, suite: Suite, shell: Any) -> None:
        """Run it on the item's board; a failing case fails the item, as ``--lf`` selects by that."""
        __tracebackhide__ = True
        run, target = self._run, target_of(item)
        assert run.boards is not None
        assert target is not None
        board = run.boards.ready(target)
        self._count += 1
        number = f"{run.worker}-{self._count:04d}" if run.is_worker else f"{self._count:04d}"
        folder = run.folder / "suites" / f"{number}-{_slug(suite.name)[:60]}"
        folder.mkdir(parents=True, exist_ok=True)
        chosen = self._chosen.get(suite.source.resolve(), set())
        cases = item.stash[_RUNNING] = _Cases(run, item, target, board, folder=folder, chosen=chosen)
        surroundings = Surroundings(
            shell=shell,
            folder=folder,
            timeout=run.plan.suite_timeout,
            environment=_environment(board, run.uuid, release_of(target)),
            params=dict(run.plan.params),
            skip_install=run.plan.skip_install,
            local=board.config.model.console.url.startswith("exec:"),
            tell=board.events.emit,
            attach=cases.attach,
            guard=self._guardian.command,
            arch=board.config.arch,
            features=board.config.model.features,
        )
        try:
            with self._jobs.running(suite, target, board, surroundings) as around:
                suite.run(around, cases.report)
        except LavaError as error:
            cases.broke, cases.died = True, error.recovers
            raise
        cases.judge()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The definition's own facts: what it is made of, and what it wrote."""
        report = yield
        suite, facts = suite_of(item), getattr(report, FACTS, None)
        if suite is None or facts is None:
            return report
        cases = item.stash.get(_RUNNING, None)
        facts["testdef"] = {**suite.metadata, "location": str(suite.source)}
        if cases is not None and report.when == "call":
            facts[DEFINITION] = "broke" if cases.broke else "ended"
            facts["attachments"] = [*(facts.get("attachments") or ()), *cases.files()]
            if call.excinfo and isinstance(call.excinfo.value, LavaError):
                report.longrepr = str(call.excinfo.value)
            if not cases.died:  # its message has the end of its output, and its files all of it
                report.sections = [pair for pair in report.sections if not pair[0].startswith("Console")]
        return report


class _Cases:
    """Reports the cases of one item."""

    def __init__(
        self, run: Run, item: pytest.Item, target: Target, board: Board, *, folder: Path, chosen: set[str]
    ) -> None:
        self._run, self._item, self._target, self._board, self._folder = run, item, target, board, folder
        self._chosen = chosen
        self._begin = board.console.end
        self._taken: Counter[str] = Counter()
        self._failed: list[str] = []
        self._count = 0
        self._came: set[str] = set()
        #: node ids of cases by their plain id, and files of the whole run
        self._ids: dict[str, str] = {}
        self._files: list[dict[str, str]] = []
        self.broke = self.died = False
        suite = suite_of(item)
        assert suite is not None
        self._suite = item.config.stash[_FACE].named(suite)
        #: definitions of one job may have cases of the same name
        self._within = f"{suite.name}::" if target.job else ""
        if self._within:
            self._chosen = {name.removeprefix(self._within) for name in chosen if name.startswith(self._within)}
        several = len(run.plan.targets) > 1
        self._where = f"[{target.id}]" if several else ""

    def report(self, case: Case) -> None:
        """One case, now."""
        name = "::".join(part for part in (case.set_name, case.id) if part)
        self._taken[name] += 1
        if self._taken[name] > 1:
            name = f"{name}#{self._taken[name]}"
        begin, self._begin = self._begin, self._board.console.end
        if self._chosen and name not in self._chosen:
            return
        self._came.add(name)
        self._count += 1
        if case.result == "fail":
            self._failed.append(name)
        file, shown = self._item.nodeid.partition("::")[0], f"{self._within}{name}{self._where}"
        nodeid = self._ids[case.id] = f"{file}::{shown}"
        emit_child(
            self._item,
            name=nodeid,
            title=f"{shown} ({self._item.path.name})",
            when="call",
            outcome=_OUTCOMES[case.result],
            reason=self._reason(case),
            seconds=max(0.0, case.stop - case.start),
            stop=case.stop,
            facts=self._facts(case, name, begin),
            sections=[("Output", case.output)] if case.output and case.result == "fail" else [],
            properties=_properties(case),
            xfail=case.xfail,
        )

    def _facts(self, case: Case, name: str, begin: int) -> dict[str, Any]:
        board, log = self._board, self._folder / STDOUT
        return {
            "suite": self._suite,
            "case": name.replace("::", "."),
            "target": self._target.id,
            "board": board.name,
            "release": board.last_boot.release if board.last_boot else None,
            "console": [begin, self._begin],
            "console_log": self._run.log_name(board.console.log),
            "result": case.result,
            "log_line": case.line if case.line and log.exists() else None,
            "said": case.message,
            "parent": self._item.nodeid,
            "attachments": [self._file(one) for one in case.attachments],
        }

    @staticmethod
    def _reason(case: Case) -> str:
        """Why it did not pass, in one line."""
        said = case.message or {"fail": "the test says so", "unknown": "the result is unknown"}.get(case.result, "")
        if case.measurement is not None and case.result == "fail" and f"{case.measurement:g}" not in said:
            said += f" (measured {case.measurement:g} {case.units})".replace(" )", ")")
        return said or "skipped by the test"

    def judge(self) -> None:
        """Fail the item by its cases."""
        if missing := self._chosen - self._came:
            raise TestError(f"the definition reported no case {', '.join(sorted(missing))}")
        if self._failed:
            names = ", ".join(self._failed[:_TOLD]) + (", ..." if len(self._failed) > _TOLD else "")
            raise TestError(f"{len(self._failed)} of {self._count} cases failed: {names}")

    def attach(self, case: str, file: Attachment) -> None:
        """A file that came from the board after the outcome of its case."""
        about, journal = self._file(file), self._run.journal
        if case and case in self._ids and journal is not None:
            journal.write(
                "evidence",
                by="test",
                board=self._board.name,
                nodeid=self._ids[case],
                target=self._target.id,
                sections=[],
                attachments=[about],
            )
        elif not case or not self._chosen:
            self._files.append(about)

    def _file(self, file: Attachment) -> dict[str, str]:
        return {"name": file.name, "path": str(file.path.relative_to(self._run.folder)), "mime": file.mime}

    def files(self) -> list[dict[str, str]]:
        """What belongs to the whole test run: its logs first, as results point into the one of its steps."""
        logs = sorted(self._folder.glob("*.log"), key=lambda log: log.name != STDOUT)
        return [*(self._file(Attachment(log.name, log)) for log in logs), *self._files]


class SuiteFile(pytest.Module):
    """A file with a function for each suite in it: so parametrisation and grouping are pytest's own."""

    def _getobj(self) -> types.ModuleType:
        face = self.config.stash[_FACE]
        try:
            suites = face.load(self.path)
        except ConfigurationError as error:
            raise self.CollectError(str(error)) from None
        module = types.ModuleType(self.path.stem)
        module.__file__ = str(self.path)
        for suite in suites:
            name = _slug(suite.name)
            setattr(module, name, _function(face, name, suite))
        return module


def _function(face: Suites, name: str, suite: Suite) -> Callable[..., None]:
    def body(request: pytest.FixtureRequest, shell: Any) -> None:
        __tracebackhide__ = True
        face.execute(request.node, suite, shell)

    function = made_function(job_body(face.execute, suite) or body, name, str(suite.source))
    function.lava_suite = suite
    function.lava_names = {"suite": face.named(suite), "case": name}
    return cast("Callable[..., None]", function)


def _slug(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-") or "definition"


def _properties(case: Case) -> list[tuple[str, Any]]:
    """What a result has beside its outcome."""
    told = {
        "measurement": case.measurement,
        "units": case.units or None,
        "low": case.low,
        "high": case.high,
        "set": case.set_name or None,
        **case.attributes,
    }
    return [(name, value) for name, value in told.items() if value is not None]


def _environment(board: Board, run: str, release: str | None) -> dict[str, str]:
    """What LAVA's tests find (a job's id is a number there), and what only this side knows of kernel and boot."""
    boot = board.last_boot
    return {
        "LAVA_KERNEL_RELEASE": release or "",
        "LAVA_BOOT_SECONDS": f"{boot.seconds:.3f}" if boot and not boot.resumed else "",
        "LAVA_JOB_ID": str(int(run.replace("-", "")[:7], 16)),
        "LAVA_DEVICE_HOSTNAME": board.name,
        "LAVA_DEVICE_TYPE": board.config.device_type,
    }

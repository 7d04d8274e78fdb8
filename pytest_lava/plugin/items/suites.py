"""The face of suites: a YAML file becomes an item, and each of its cases a report of its own, live."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Generator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_lava.errors import ConfigurationError, LavaError
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.collecting.functions import made_function
from pytest_lava.plugin.collecting.job_targets import job_body
from pytest_lava.plugin.collecting.named_cases import take_cases
from pytest_lava.plugin.items.suite_cases import Cases
from pytest_lava.plugin.reporting.facts import FACTS, release_of
from pytest_lava.results.record import DEFINITION
from pytest_lava.suites.api import Suite, Surroundings

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.lab.guardian import Guardian
    from pytest_lava.plugin.items.jobs import Jobs
    from pytest_lava.plugin.run import Run

__all__ = ["SuiteFile", "Suites", "suite_of"]

_FACE = pytest.StashKey["Suites"]()
_RUNNING = pytest.StashKey[Cases]()
_SUFFIXES = (".yaml", ".yml")


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

    def _items_of(self, name: str) -> tuple[Path, list[str], bool] | None:
        path = (self._run.config.invocation_params.dir / name).resolve()
        if (path.suffix not in _SUFFIXES and path not in self._loaded) or not path.is_file():
            return None
        return path, [_slug(suite.name) for suite in self.load(path)], path in self._jobs.suites

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
            # pytest itself leaves the node id of a file outside of the root folder empty
            node: dict[str, Any] = {} if relative else {"nodeid": f"{file_path.parent.name}/{file_path.name}"}
            return SuiteFile.from_parent(parent, path=file_path, **node)
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
        number = run.numbered(self._count)
        folder = run.folder / "suites" / f"{number}-{_slug(suite.name)[:60]}"
        folder.mkdir(parents=True, exist_ok=True)
        chosen = self._chosen.get(suite.source.resolve(), set())
        cases = item.stash[_RUNNING] = Cases(
            run, item, target, board, suite, named=self.named(suite), folder=folder, chosen=chosen
        )

        def revived(death: LavaError) -> Surroundings:
            assert run.boards is not None
            anew = run.boards.revived(target, death)
            cases.go_on()
            return replace(surroundings, shell=anew.shell, environment=_environment(anew, run.uuid, release_of(target)))

        surroundings = Surroundings(
            shell=shell,
            folder=folder,
            timeout=run.plan.suite_timeout,
            environment=_environment(board, run.uuid, release_of(target)),
            params=dict(run.plan.params),
            skip_install=run.plan.skip_install,
            local=board.config.model.console.url.startswith("exec:"),
            tell=cases.tell,
            attach=cases.attach,
            guard=self._guardian.command,
            arch=board.config.arch,
            features=board.config.model.features,
            revive=None if run.plan.recovery == "none" else revived,
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
            if cases.remarks:
                report.sections.append(("Remarks", "\n".join(cases.remarks)))
            if call.excinfo and isinstance(call.excinfo.value, LavaError):
                report.longrepr = str(call.excinfo.value)
            if not cases.died:  # its message has the end of its output, and its files all of it
                report.sections = [pair for pair in report.sections if not pair[0].startswith("Console")]
        return report


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

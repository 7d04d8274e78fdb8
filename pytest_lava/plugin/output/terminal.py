"""What the terminal says beside pytest's own lines: the plan before, the root cause first, the files after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.errors import Blame
from pytest_lava.plugin.reporting.child import ChildReport
from pytest_lava.plugin.reporting.facts import FACTS

if TYPE_CHECKING:
    from pytest_lava.plan import RunPlan, Target
    from pytest_lava.plugin.run import Run

__all__ = ["Terminal"]

_NOT_THE_TESTS = (Blame.INFRASTRUCTURE, Blame.CONFIGURATION, Blame.BUG)


class Terminal:
    """Header and summary."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def pytest_report_header(self) -> list[str]:
        """One line a target."""
        plan = self._run.plan
        lines = [f"board: {_describe(target)}" for target in plan.targets]
        if plan.snapshots:
            lines += [f"snapshots: {line}" for line in _kept(plan)]
        return [*lines, *(f"note: {remark}" for remark in plan.remarks)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """A test that a broken lab cut short has not failed: that is an error. What was only measured is no skip."""
        facts = getattr(report, FACTS, {})
        error = facts.get("error") or {}
        if report.when == "call" and report.skipped and facts.get("result") == "unknown":
            return "unknown", "u", "UNKNOWN"
        if report.when == "call" and report.failed and error.get("blame") in _NOT_THE_TESTS:
            return "error", "E", "ERROR"
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Ends of cases are not kept: pytest goes through all ends for each failure, and 6,000 cases took 2 minutes."""
        reporter = self._run.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and isinstance(report, ChildReport) and report.when == "teardown":
            ends = reporter.stats.get("", [])
            if ends and ends[-1] is report:
                ends.pop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Iterator[None]:
        """The root cause before pytest's own sections, the files behind them."""
        run = self._run
        if run.journal is None:
            yield
            return
        if cause := run.teller.told().cause:
            terminalreporter.write_sep("=", "root cause", red=True, bold=True)
            terminalreporter.write_line(cause, red=True)
        yield
        self._results(terminalreporter)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """pytest has no summary for a run that SIGTERM ended; where its results are is told all the same."""
        yield
        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        if terminal and self._run.journal is not None and int(session.exitstatus) > 128:
            with suppress(OSError):  # SIGHUP: there is no terminal any more
                self._results(terminal)

    def _results(self, terminalreporter: Any) -> None:
        run = self._run
        if terminalreporter.verbosity >= 0:
            terminalreporter.write_sep("=", "board results")
            for title, line in run.teller.told().lines:
                terminalreporter.write_line(f"{title:<8} {line}", yellow=title != "time")
            for title, path in self._files():
                terminalreporter.write_line(f"{title:<8} {_short(path)}")
            for title, line in run.submitted():
                terminalreporter.write_line(f"{title:<8} {line}", yellow=title != "sent")
        else:
            terminalreporter.write_line(f"board results: {_short(run.folder)}")
            for title, line in run.submitted():
                if title != "sent":
                    terminalreporter.write_line(f"{title}: {line}", yellow=True)
        for problem in run.problems:
            terminalreporter.write_line(problem, red=True)

    def _files(self) -> Iterator[tuple[str, Path]]:
        run, option = self._run, self._run.config.option
        named = {
            "report": Path(getattr(option, "htmlpath", None) or run.folder / "report.html"),
            "junit": Path(getattr(option, "xmlpath", None) or run.folder / "junit.xml"),
            "bundle": run.plan.bundle,
        }
        yield from ((title, path.absolute()) for title, path in named.items() if path.exists())
        # of this run and its workers: with --lava-dir, folders of other runs may be below it
        logs = (log for folder in ("", "gw*/") for log in run.folder.glob(f"{folder}console*.log"))
        yield from (("console", log) for log in sorted(logs))
        yield "events", run.folder / "events.jsonl"


def _describe(target: Target) -> str:
    request, kernel = target.request, target.kernel
    board = request.candidates[0]
    text = f"{target.id} ({board.model.description or request.arch})"
    if len(request.candidates) > 1:
        text += f", first free of {', '.join(config.name for config in request.candidates)}"
    if kernel:
        name = "its default kernel" if kernel.name == "default" else f"kernel {kernel.name}"
        release = "" if kernel.release == kernel.name else kernel.release
        text += f", {name} {release}".rstrip()
    if target.image:
        text += f", image {target.image.name}"
    return text


def _kept(plan: RunPlan) -> Iterator[str]:
    """What may be resumed; whether it fits is known only when all is prepared."""
    from pytest_lava.board.snapshots import newest
    from pytest_lava.results.summary import moment

    for board in dict.fromkeys(board.name for target in plan.targets for board in target.request.candidates):
        if when := newest(plan.cache.folder, board):
            yield f"{board} resumes a kept state if one fits, the newest is of {moment(when)} (--no-snapshot: boots)"
        else:
            yield f"{board} boots, and its state is kept for later runs (--no-snapshot: is not)"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

"""``--until-failure``: all items in rounds until one fails or a limit is met, and the pass rate at the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.told_times import told_seconds

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["UntilFailure"]

_NAMES = ("runs", "passes", "pass_rate")


class UntilFailure:
    """Runs the loop in pytest's place; each item keeps its node id, so its last run is its result."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rounds = 0
        self._runs: Counter[str] = Counter()
        self._passes: Counter[str] = Counter()
        self._begun = monotonic()
        self._end = ""
        self._failed = self._called = False
        if getattr(run.config.option, "numprocesses", None) or getattr(run.config.option, "tx", None):
            raise pytest.UsageError("--until-failure runs in one process: leave out -n, or --until-failure")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """As pytest's own, but once more from the first item on behind the last one."""
        config = session.config
        if config.option.collectonly or not session.items:
            return None
        if session.testsfailed and not config.option.continue_on_collection_errors:
            return None  # pytest's own words on that
        limits = self._run.plan.stress.limits
        self._begun = monotonic()
        limit = Deadline(self._begun + limits.seconds)
        while not self._end:
            self._rounds += 1
            for number, item in enumerate(session.items):
                # none behind the last one: a round is like a run of its own, with new fixtures of every scope
                following = session.items[number + 1] if number + 1 < len(session.items) else None
                if self._rounds > 1:
                    self._run.reporting.forget(item)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                self._obey(session)
                if self._failed or limit.expired:
                    break
            if self._failed:
                self._end = "a test failed"
            elif not self._called:
                self._end = "all tests were skipped"
            elif limit.expired:
                self._end = f"the limit of {told_seconds(limits.seconds)} was met"
            elif self._rounds == limits.iterations:
                self._end = f"the limit of {limits.iterations} rounds was met"
        return True

    @staticmethod
    def _obey(session: pytest.Session) -> None:
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Count, and put the counts on the report: those of the last run are in the results."""
        report = yield
        name, runs, passes = item.nodeid, self._runs, self._passes
        ran = report.when == "call" and not report.skipped
        self._called |= ran
        runs[name] += ran or (report.when == "setup" and report.failed)
        passes[name] = min(passes[name], runs[name] - 1) if report.failed else passes[name] + ran
        if report.when == "call" or report.failed:
            item.user_properties[:] = [pair for pair in item.user_properties if pair[0] not in _NAMES]
            item.user_properties += zip(_NAMES, self._rate(item.nodeid), strict=True)
            report.user_properties = list(item.user_properties)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also the one failing report of a board that cannot be had, whose items are skipped."""
        self._failed |= report.failed

    def _rate(self, nodeid: str) -> tuple[int, int, str]:
        runs, passes = self._runs[nodeid], self._passes[nodeid]
        return runs, passes, f"{100 * passes / max(runs, 1):.2f} %"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """How often each test passed."""
        if not self._runs:
            return
        terminalreporter.write_sep("=", "until failure")
        for nodeid in self._runs:
            runs, passes, rate = self._rate(nodeid)
            terminalreporter.write_line(f"{nodeid}: {f'passed {passes} of {runs} ({rate})' if runs else 'skipped'}")
        seconds = told_seconds(monotonic() - self._begun)
        rounds = f"{self._rounds} round{'' if self._rounds == 1 else 's'}"
        terminalreporter.write_line(f"ran {seconds}, {rounds}, until: {self._end or 'interrupted'}")

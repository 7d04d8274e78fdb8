"""The face of stress runs: ``--stress`` as items of their own, and the mark ``stress`` on tests."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pytest_timeout import SESSION_EXPIRE_KEY

from pytest_lava.plugin.collecting.collection import COMMAND, CommandRun, made_items, target_of
from pytest_lava.results.journal import read
from pytest_lava.stress.outcome import Outcome
from pytest_lava.stress.plan import Limits, parse_limits
from pytest_lava.stress.rounds import repeated
from pytest_lava.stress.run import Pace, stress

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Stress"]

_OUTCOME = pytest.StashKey[Outcome]()
_FACE = pytest.StashKey["Stress"]()


class Stress:
    """Collects, runs and tells. Registered behind ``Reporting``, whose facts it adds to."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._plan = run.plan.stress
        run.config.stash[_FACE] = self

    # -- collection ---------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
    def pytest_lava_add_stress(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """One item for each ``--stress``; no limit of pytest-timeout holds for what has no set duration."""
        for item in made_items(session, "stress", self._plan.commands, _body):
            item.add_marker(pytest.mark.timeout(0))
            items.append(item)

    def _limits(self, mark: pytest.Mark) -> Limits:
        """Those of the mark, or else those of the options. ``wishes`` has checked the mark."""
        if not mark.kwargs:
            return self._plan.limits
        return parse_limits(mark.kwargs.get("limit"), mark.kwargs.get("iterations"))

    def _in_session(self, limits: Limits) -> Limits:
        """What has no set duration ends with the time of the session too, which is looked at between tests only."""
        end = self._run.config.stash.get(SESSION_EXPIRE_KEY, 0)
        return replace(limits, seconds=min(limits.seconds, max(0.0, end - time.time()))) if end else limits

    # -- running ------------------------------------------------------------------------------------------------

    def load(self, item: pytest.Item, command: str, limits: Limits | None = None) -> Outcome:
        """Run a load on the item's board. Raises what broke it, with the time in its message."""
        __tracebackhide__ = True
        target = target_of(item)
        assert self._run.boards is not None
        assert target is not None
        board = self._run.boards.ready(target)
        outcome = stress(
            board.console,
            board.shell,
            command,
            limits=self._in_session(limits or self._plan.limits),
            pace=Pace(report=self._plan.report),
            on_progress=functools.partial(self._tell, item),
            leash=board.config.model.console.url.startswith("exec:"),
        )
        if not outcome.stopped and outcome.error is None:
            board.lose("the load of a stress run could not be stopped")
        if outcome.error is not None:
            outcome.error.args = (str(outcome),)
            raise outcome.error
        return outcome

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """A test with the mark is called again and again within its one item."""
        __tracebackhide__ = True
        mark = pyfuncitem.get_closest_marker("stress")
        if mark is None:
            return (yield)
        test = pyfuncitem.obj
        board = self._run.boards.board(target_of(pyfuncitem)) if self._run.boards else None

        @functools.wraps(test)
        def rounds(**arguments: Any) -> None:
            __tracebackhide__ = True
            repeated(
                lambda: test(**arguments),
                pyfuncitem.name,
                limits=self._in_session(self._limits(mark)),
                report=self._plan.report,
                tell=functools.partial(self._tell, pyfuncitem),
                console=board.console if board else None,
            )

        pyfuncitem.obj = rounds
        try:
            return (yield)
        finally:
            pyfuncitem.obj = test

    def _tell(self, item: pytest.Item, outcome: Outcome) -> None:
        """What is known so far, into the journal; the last one is the result of the item too."""
        item.stash[_OUTCOME] = outcome
        target, run = target_of(item), self._run
        board = run.boards.board(target) if run.boards else None
        if run.journal is not None:
            run.journal.write(
                "progress",
                board=board.name if board else "",
                durable=True,
                nodeid=item.nodeid,
                target=target.id if target else "",
                text=str(outcome),
                properties=[list(pair) for pair in outcome.facts.items()],
            )
        if board is not None:
            board.events.emit(f"stress: {outcome}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Time, cause and heartbeat as properties and as a section."""
        outcome = item.stash.get(_OUTCOME, None) if call.when == "call" else None
        if outcome is not None:
            item.user_properties += list(outcome.facts.items())
        report = yield
        if outcome is not None:
            report.sections.append(("Stress", f"{outcome.command}\n{outcome}"))
        return report

    # -- telling ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Iterator[None]:
        """One line for each stress run, whatever became of it."""
        yield
        run = self._run
        if run.journal is None or run.is_worker:
            return
        told = {
            (str(line.get("nodeid")), str(line.get("target"))): str(line.get("text"))
            for line in read(run.folder)
            if line["kind"] == "progress"
        }
        if told:
            terminalreporter.write_sep("=", "stress")
        for (nodeid, _), text in told.items():
            terminalreporter.write_line(f"{nodeid}: {text}")


def _body(command: str) -> Callable[..., None]:
    def body(request: pytest.FixtureRequest, shell: Any) -> None:
        __tracebackhide__ = True
        item = request.node
        run = item.stash[COMMAND] = CommandRun(command)
        try:
            item.config.stash[_FACE].load(item, command)
        finally:
            outcome = item.stash.get(_OUTCOME, None)
            if outcome is not None:
                run.status, run.stdout = outcome.status, outcome.output

    return body

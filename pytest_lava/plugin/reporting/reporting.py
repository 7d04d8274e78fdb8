"""Each report gets its facts (board, kernel, console range, error) and is in the journal before pytest goes on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.errors import Hang, KernelCrash, LavaError
from pytest_lava.lab.failure import Failure
from pytest_lava.plan import Target
from pytest_lava.plugin.collecting.collection import COMMAND, target_of
from pytest_lava.plugin.reporting.child import ChildReport
from pytest_lava.plugin.reporting.crash import readable_evidence
from pytest_lava.plugin.reporting.facts import (
    FACTS,
    blamed,
    command_facts,
    error_facts,
    iso,
    message,
    names,
    release_of,
    shorten_report,
    shorten_traceback,
)
from pytest_lava.plugin.reporting.slices import CRASH_EXCERPT, EXCERPT, readable, shows
from pytest_lava.results.record import LAVA
from pytest_lava.results.text import both_ends, plain

if TYPE_CHECKING:
    from pytest_lava.board.board import Board, BootRecord
    from pytest_lava.plugin.run import Run
from pytest_lava.results.kernel_messages import KERNEL_MESSAGES

__all__ = ["Reporting"]

_LINES, _EVIDENCE = 100, 8192  # lines and characters of each end of a trace or an output; a panic has 3000
_WHOLE = "the bundle has it whole"
_SLICE = pytest.StashKey[str]()
_EARLIER = pytest.StashKey[str]()


class Reporting:
    """Watches items run and reports go by."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._session: pytest.Session | None = None
        self._item: pytest.Item | None = None
        self._begin = 0
        #: items that were skipped because their target is out, and the failing reports that stand for it
        self.unserved: set[str] = set()
        self.failures: set[str] = set()

    @property
    def current_item(self) -> pytest.Item | None:
        """The item that runs now."""
        return self._item

    @property
    def current_target(self) -> Target | None:
        """The target of the item that runs now."""
        return target_of(self._item) if self._item else None

    @property
    def items(self) -> list[pytest.Item]:
        """All that this session is to run."""
        return self._session.items if self._session else []

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Child reports are counted as items of the session."""
        self._session = session

    # -- items --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note that an item began: one that never ends leaves no report."""
        run = self._run
        run.session.open()
        if run.journal is None:
            return (yield)
        self._item = item
        run.slices.next_item()
        target = target_of(item)
        board = self._board(target)
        self._begin = board.console.end if board else 0
        run.journal.write("start", nodeid=item.nodeid, target=target.id if target else "", **names(item))
        (board.events if board else run.events).emit(f"{item.nodeid} begins")
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """An item that has a target needs it, also if it asks only for the kernel; one so marked needs it fresh."""
        __tracebackhide__ = True
        target = target_of(item)
        if target is not None and self._run.boards is not None:
            self._run.boards.want_pristine(target, self._run.marks.wants_reset(item))
        yield
        if target is not None and self._run.boards is not None:
            self._run.boards.skip_if_unavailable(target)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """A crash while the test did something else is the test's failure too."""
        __tracebackhide__ = True
        yield
        self._raise_crash_nobody_saw(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """So is one while its fixtures were torn down."""
        __tracebackhide__ = True
        yield
        self._raise_crash_nobody_saw(item)

    def _raise_crash_nobody_saw(self, item: pytest.Item) -> None:
        target = target_of(item)
        if target is not None and self._run.boards is not None:
            self._run.boards.raise_crash_nobody_saw(target)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the facts on the report."""
        if self._run.journal is None:
            return (yield)
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, LavaError) and not item.config.option.fulltrace:
            shorten_traceback(error)
        report = yield
        target = target_of(item)
        setattr(report, FACTS, self._facts(item, report, target, error))
        self._tell_end(item, report, target)
        if self._failure_behind(target, error):
            # not the line in our package that says so
            report.longrepr = (str(item.path), (item.location[1] or 0) + 1, f"Skipped: {error}")
        else:
            self._add_sections(item, report, error)
            self._attach_console(item, report, target, error if isinstance(error, LavaError) else None)
        if target is not None and self._run.boards is not None and not isinstance(error, pytest.skip.Exception):
            self._run.boards.note_end(target, error)
        return report

    def _tell_end(self, item: pytest.Item, report: pytest.TestReport, target: Target | None) -> None:
        """In the event log, beside its begin."""
        if report.when == "call" or not report.passed:
            board, why = self._board(target), message(report, getattr(report, FACTS))
            said = f"{report.outcome}: {why}" if why else report.outcome
            (board.events if board else self._run.events).emit(
                f"{item.nodeid} {said}", seconds=round(report.duration, 3)
            )

    def _facts(
        self, item: pytest.Item, report: pytest.TestReport, target: Target | None, error: BaseException | None
    ) -> dict[str, Any]:
        board = self._board(target)
        facts: dict[str, Any] = {"target": "", "board": "", **names(item)}
        if target is not None:
            facts |= {"target": target.id, "board": target.request.name, "release": release_of(target)}
        if board is not None:
            facts |= {"board": board.name, "console": [self._begin, board.console.end]}
            facts["console_log"] = self._run.log_name(board.console.log)
            if board.last_boot is not None:
                facts |= _boot_facts(board.last_boot)
                facts["release"] = board.last_boot.release
        command = item.stash.get(COMMAND, None)
        if command is not None and report.when == "call":
            facts |= command_facts(command)
        if failure := self._failure_behind(target, error):
            facts["error"] = error_facts(failure.error)
        elif report.outcome == "failed" and error is not None:
            facts["error"] = error_facts(blamed(error, str(report.when)))
        return facts

    def _failure_behind(self, target: Target | None, error: BaseException | None) -> Failure | None:
        return self._run.boards.failure_behind(target, error) if self._run.boards else None

    def _add_sections(self, item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> None:
        command = item.stash.get(COMMAND, None)
        if isinstance(error, LavaError) and report.failed:
            shorten_report(report, error, whole=command is not None)
        if command is not None and report.when == "call":
            report.sections += [
                (f"Command {name}", plain(both_ends(text.decode(errors="replace"), _LINES, _EVIDENCE, _WHOLE)))
                for name, text in (("stdout", command.stdout), ("stderr", command.stderr))
                if text
            ]

    def forget(self, item: pytest.Item) -> None:
        """It runs once more: what its last run left on it goes. The slice of its console will be overwritten."""
        item.user_properties.clear()
        if name := item.stash.get(_SLICE, None):
            item.stash[_EARLIER] = name
            del item.stash[_SLICE]
        vars(item).get("_report_sections", []).clear()  # else each report has the output of all runs before

    # -- the console of an item ---------------------------------------------------------------------------------

    def _attach_console(
        self, item: pytest.Item, report: pytest.TestReport, target: Target | None, error: LavaError | None
    ) -> None:
        """Link the slice of the console log and show its end, or what the error brought if that says more.

        A set-up that passed has nothing to show yet.
        """
        board = self._board(target)
        if board is None:
            return
        if report.when == "setup":
            item.user_properties += self._properties(board, target)
        name = item.stash.get(_SLICE, None)
        if name is None and (report.failed or report.when == "call"):
            name = item.stash[_SLICE] = item.stash.get(_EARLIER, None) or self._run.slices.name(item.nodeid)
            getattr(report, FACTS)["slice"] = name
            died = isinstance(error, (Hang, KernelCrash))
            most = CRASH_EXCERPT if died else EXCERPT
            text, evidence = readable(board, self._begin, most), readable_evidence(error)
            if not shows(text, evidence, most):
                text = both_ends(evidence, _LINES, _EVIDENCE, "see the console log")
            if text:
                report.sections.append((f"Console of {board.name}", plain(text)))
        if name is not None:
            self._run.slices.write(board, self._begin, board.console.end, name)

    def _properties(self, board: Board, target: Target | None) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = [("board", board.name)]
        if board.last_boot:
            found += [("kernel", board.last_boot.release), *_boot_facts(board.last_boot).items()]
        if image := board.deployment.image:
            found.append(("image", f"{image.name} sha256:{image.sha256}"))
        return [*found, ("run_folder", str(self._run.folder)), ("console_log", str(board.console.log))]

    def _board(self, target: Target | None) -> Board | None:
        return self._run.boards.board(target) if self._run.boards else None

    # -- reports ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Into the journal of the process that saw it; a controller adds only the crash of a worker."""
        run = self._run
        if run.journal is None:
            return
        if not run.is_worker:
            self._count_in(report)
        if hasattr(report, "node") and str(report.when) != "???":
            return
        facts = dict(getattr(report, FACTS, {}))
        run.journal.write(
            "outcome",
            board=facts.pop("board", ""),
            # a case of a suite waits a second at most: a disk takes 10 ms for each, and its item follows
            durable=report.outcome == "failed" and not facts.get("parent"),
            nodeid=facts.pop("nodeid", report.nodeid),
            when=report.when,
            outcome=report.outcome,
            seconds=round(report.duration, 6),
            start=iso(getattr(report, "start", None)),
            stop=iso(getattr(report, "stop", None)),
            message=message(report, facts),
            longrepr="{}:{}: {}".format(*report.longrepr)
            if isinstance(report.longrepr, tuple)
            else report.longreprtext,
            sections=report.sections,
            properties=report.user_properties,
            **({"wasxfail": report.wasxfail} if hasattr(report, "wasxfail") else {}),
            **facts,
        )
        if not run.is_worker:
            _forget_texts(report)

    def _count_in(self, report: pytest.TestReport) -> None:
        if isinstance(report, ChildReport) and report.when != "teardown" and self._session is not None:
            self._session.testscollected += 1  # else progress ends above 100 %
            if getattr(report, FACTS)["suite"] == LAVA:
                self.failures.add(report.nodeid)
        elif report.skipped and getattr(report, FACTS, {}).get("error"):
            self.unserved.add(report.nodeid)


def _forget_texts(report: pytest.TestReport) -> None:
    """pytest keeps each report to its end; the longest that we put on it stands in the journal by now."""
    facts = getattr(report, FACTS, {})
    if facts.get("error"):
        facts["error"]["evidence"] = ""
    for incident in facts.get(KERNEL_MESSAGES, ()):
        incident["trace"] = ""


def _boot_facts(boot: BootRecord) -> dict[str, object]:
    """How long the boot took; or that there was none."""
    return {"resumed": boot.resumed} if boot.resumed else {"boot_seconds": round(boot.seconds, 3)}

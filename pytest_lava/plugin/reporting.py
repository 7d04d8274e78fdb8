"""Each report gets its facts (board, kernel, console range, error) and is in the journal before pytest goes on."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.console.readable import without_frames
from pytest_lava.errors import Blame, Hang, KernelCrash, LavaError
from pytest_lava.lab.manager import Failure
from pytest_lava.plan import Target
from pytest_lava.plugin.child import ChildReport, emit_child
from pytest_lava.plugin.collection import COMMAND, target_of
from pytest_lava.plugin.crash import readable_evidence
from pytest_lava.plugin.facts import (
    FACTS,
    blamed,
    command_facts,
    error_facts,
    iso,
    message,
    names,
    shorten_report,
    shorten_traceback,
)
from pytest_lava.results.console_slice import excerpt, write_slice
from pytest_lava.results.record import LAVA
from pytest_lava.results.text import both_ends, plain

if TYPE_CHECKING:
    from pytest_lava.board.board import Board, BootRecord
    from pytest_lava.plugin.session import Run

__all__ = ["Reporting"]

_EXCERPT = 25  # console lines in a report; the rest is in the file beside it
_CRASH_EXCERPT = 200  # of a board that died
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
        self._count = 0
        #: items that were skipped because their target is out, and the failing reports that stand for it
        self.unserved: set[str] = set()
        self.failures: set[str] = set()

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
        run.open()
        if run.journal is None:
            return (yield)
        self._item = item
        self._count += 1
        target = target_of(item)
        board = self._board(target)
        self._begin = board.console.end if board else 0
        run.journal.write("start", nodeid=item.nodeid, target=target.id if target else "", **names(item))
        if board:
            board.events.emit(f"{item.nodeid} begins")
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
        if self._failure_behind(target, error):
            # not the line in our package that says so
            report.longrepr = (str(item.path), (item.location[1] or 0) + 1, f"Skipped: {error}")
        else:
            self._add_sections(item, report, error)
            self._attach_console(item, report, target, error if isinstance(error, LavaError) else None)
        if target is not None and self._run.boards is not None and not isinstance(error, pytest.skip.Exception):
            self._run.boards.note_end(target, error)
        return report

    def _facts(
        self, item: pytest.Item, report: pytest.TestReport, target: Target | None, error: BaseException | None
    ) -> dict[str, Any]:
        board = self._board(target)
        facts: dict[str, Any] = {"target": "", "board": "", **names(item)}
        if target is not None:
            facts |= {"target": target.id, "board": target.request.name, "release": _release(target)}
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
            name = item.stash[_SLICE] = item.stash.get(_EARLIER, None) or self._slice_name(item.nodeid)
            getattr(report, FACTS)["slice"] = name
            died = isinstance(error, (Hang, KernelCrash))
            text = _readable(board, self._begin, _CRASH_EXCERPT if died else _EXCERPT)
            evidence = readable_evidence(error)
            if not _shows(text, evidence):
                text = both_ends(evidence, _LINES, _EVIDENCE, "see the console log")
            if text:
                report.sections.append((f"Console of {board.name}", plain(text)))
        if name is not None:
            self._write_slice(board, self._begin, board.console.end, name)

    def _properties(self, board: Board, target: Target | None) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = [("board", board.name)]
        if board.last_boot:
            found += [("kernel", board.last_boot.release), *_boot_facts(board.last_boot).items()]
        if image := board.deployment.image:
            found.append(("image", f"{image.name} sha256:{image.sha256}"))
        return [*found, ("run_folder", str(self._run.folder)), ("console_log", str(board.console.log))]

    def _slice_name(self, nodeid: str) -> str:
        worker = f"{self._run.worker}-" if self._run.is_worker else ""
        name = re.sub(r"[^\w.-]+", "-", nodeid.rpartition("/")[2]).strip("-")[:80]
        return f"console/{worker}{self._count:04d}-{name}.log"

    def _write_slice(self, board: Board, start: int, end: int, name: str) -> None:
        path = self._run.folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            write_slice(board.console.log, start, end, path)
        except OSError as error:  # the disk is full: the whole log has it too, and the journal comes next
            self._run.events.emit(f"no console log of the test alone: {error}", level="warning")

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
            durable=report.outcome == "failed",
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

    def _count_in(self, report: pytest.TestReport) -> None:
        if isinstance(report, ChildReport) and report.when != "teardown" and self._session is not None:
            self._session.testscollected += 1  # else progress ends above 100 %
            if getattr(report, FACTS)["suite"] == LAVA:
                self.failures.add(report.nodeid)
        elif report.skipped and getattr(report, FACTS, {}).get("error"):
            self.unserved.add(report.nodeid)

    def report_failure(self, failure: Failure) -> None:
        """The one failing report of a target that cannot be deployed or booted; its items are skipped."""
        run, item = self._run, self._item
        if item is None or not self._first(failure):
            return
        error, name = failure.error, f"{failure.stage}::{failure.target.id}"
        facts: dict[str, Any] = {
            "suite": LAVA,
            "case": failure.stage,
            "target": failure.target.id,
            "board": failure.target.request.name,
            "release": _release(failure.target),
            "error": error_facts(error),
            "parent": item.nodeid,
        }
        if board := self._board(failure.target):
            self._write_slice(board, *failure.console, slice_name := self._slice_name(name))
            facts |= {
                "board": board.name,
                "console": list(failure.console),
                "console_log": run.log_name(board.console.log),
                "slice": slice_name,
            }
        text = error.message
        said = readable_evidence(error)
        lines = _CRASH_EXCERPT if error.blame is Blame.JOB else _EXCERPT
        if tail := said.splitlines()[-lines:]:
            text += "\n\nlast lines of the console:\n  " + "\n  ".join(tail)
        if board and (sourced := run.crash.sourced(board, failure.target, said, slice_name, failure.console[0])):
            text += f"\n\ncall traces with lines of source:\n{sourced.text}"
            facts["attachments"] = list(sourced.attachments)
        emit_child(
            item,
            name=name,
            # a broken lab is an error, what the submitter supplied is a failure
            when="call" if error.blame is Blame.JOB else "setup",
            reason=text,
            seconds=failure.seconds,
            facts=facts,
        )
        run.events.emit(failure.reason, level="error")

    def _first(self, failure: Failure) -> bool:
        """Whether this process is the first to report it: two workers may meet the same failure."""
        if not self._run.is_worker:
            return True  # the manager tells each failure once
        name = re.sub(r"[^\w.-]", "_", f".{failure.stage}-{failure.target.id}.failed")
        try:
            (self._run.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def forget_marks(self) -> None:
        """Remove the files by which workers knew what was reported."""
        for mark in self._run.folder.glob(".*.failed"):
            mark.unlink(missing_ok=True)


def _boot_facts(boot: BootRecord) -> dict[str, object]:
    """How long the boot took; or that there was none."""
    return {"resumed": boot.resumed} if boot.resumed else {"boot_seconds": round(boot.seconds, 3)}


def _release(target: Target) -> str | None:
    """Of the kernel that is to boot, as its file tells."""
    return target.kernel.release or None if target.kernel else None


def _shows(text: str, evidence: str) -> bool:
    """Whether a console's end has the evidence from its first line to its last; commands stand between them there."""
    lines = [line for line in evidence.splitlines() if line]
    return not lines or -1 < text.find(lines[0]) <= text.rfind(lines[-1])


def _readable(board: Board, start: int, most: int = _EXCERPT) -> str:
    """The end of the console with the commands that were typed, without what we say and hear for ourselves."""
    console = board.console
    end = console.end
    lines: list[str] = []
    for offset, text in [*console.typed.between(start, end), (end, "")]:
        for begin, finish in console.typed.shown(start, offset):
            said = without_frames(excerpt(console.log, begin, finish, lines=4 * most))
            lines += [line for line in said.splitlines() if line]
        lines += [text] if text else []
        start = offset
    return "\n".join(lines[-most:])

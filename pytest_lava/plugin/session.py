"""A run that uses boards: opened at its first item, closed and told whatever happens."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.deadline import monotonic
from pytest_lava.errors import LavaError, describe
from pytest_lava.events import EventLog
from pytest_lava.lab.guardian import Guardian
from pytest_lava.lab.manager import LabContext, Reports
from pytest_lava.lab.telling import told_content, told_run
from pytest_lava.plan import RunPlan, Target
from pytest_lava.plugin import run_folder
from pytest_lava.plugin.boards.boards import Boards
from pytest_lava.plugin.boards.marks import Marks
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.output.progress import ProgressLine
from pytest_lava.plugin.reporting.crash import CrashEvidence
from pytest_lava.plugin.reporting.failures import Failures
from pytest_lava.plugin.reporting.kernel_messages import KernelMessages
from pytest_lava.plugin.reporting.record_keeping import RunJournal
from pytest_lava.plugin.reporting.recoveries import Recoveries
from pytest_lava.plugin.reporting.reporting import Reporting
from pytest_lava.plugin.reporting.slices import Slices
from pytest_lava.plugin.reporting.telling import Telling
from pytest_lava.preparation import Preparation
from pytest_lava.results.journal import Journal
from pytest_lava.results.told import Teller
from pytest_lava.transfer.api import TransferPolicy

if TYPE_CHECKING:
    from pytest_lava.plugin.boards.timeouts import TimeLimits
    from pytest_lava.plugin.output.html import Html
    from pytest_lava.plugin.output.submit import Submission
    from pytest_lava.plugin.output.submit_live import LiveSubmission

__all__ = ["Run"]


class Run:
    """The run in this process: the main one, an xdist worker, or the controller of workers.

    ``given``: the id of the run, as a controller gave it to this worker.
    """

    key = pytest.StashKey["Run"]()

    def __init__(self, config: pytest.Config, plan: RunPlan, guardian: Guardian, given: str = "") -> None:
        self.config = config
        self.plan = plan
        self.is_worker = bool(given)
        self.worker = os.environ.get("PYTEST_XDIST_WORKER", "main") if given else "main"
        self.uuid = given or str(uuid.uuid4())
        self.reporting = Reporting(self)
        self.failures = Failures(self)
        self.slices = Slices(self)
        self.recoveries = Recoveries(self)
        self.kernel_messages = KernelMessages(self)
        self.crash = CrashEvidence(self)
        self.marks = Marks(self)
        #: only where pytest-html or pytest-timeout is there
        self.html: Html | None = None
        self.limits: TimeLimits | None = None
        self.problems: list[str] = []
        self.boards: Boards | None = None
        self.journal: Journal | None = None
        self.events = EventLog()
        self.closed = False
        self.ending = False
        #: whether bundle and JUnit are those of this run
        self.written = False
        self._finished = False
        self._telling = Telling(self)
        #: what people are told of the run at its end
        self.teller = Teller(self.folder)
        self._guardian = guardian
        self._started = monotonic()
        self._restore_signals = ExitStack()
        self._forget_cache: Callable[[], None] = lambda: None
        #: where results go; a worker leaves that to its controller
        self.submission: Submission | None = None
        #: with ``--submit-live``
        self.live: LiveSubmission | None = None

    # -- beginning ----------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.plan.run_folder

    @property
    def runs_tests(self) -> bool:
        """Whether this is more than a look at what there is."""
        return run_folder.runs_tests(self.config)

    def submitted(self) -> list[tuple[str, str]]:
        """What became of the results: a title and a line for each sink."""
        told = list(self.submission.told(self)) if self.submission else []
        return [*told, *(self.live.told() if self.live else ())]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """SIGTERM and a terminal that closes become an orderly exit: without a handler nothing at all would run.

        A worker that leaves in order is an internal error to xdist, and one that dies is replaced: so its SIGTERM is
        left alone, the guardian cleans up. Its own controller sends SIGHUP (:class:`pytest_lava.plugin.xdist.Xdist`).
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGHUP,) if self.is_worker else (signal.SIGTERM, signal.SIGHUP):
                if self.is_worker or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                    self._restore_signals.callback(signal.signal, number, signal.signal(number, self._terminate))

    def open(self) -> None:
        """Make the run folder and its files: not before the first item, so that without one there is no trace."""
        if self.journal is not None or not self.runs_tests:
            return
        if not self.is_worker:
            run_folder.begin(self.folder, named=bool(self.config.option.lava_dir))
            if self.plan.cache.passing:
                self._forget_cache = self._guardian.command(f"rm -rf -- {shlex.quote(str(self.plan.cache.folder))}")
        suffix = f"-{self.worker}" if self.is_worker else ""
        self.journal = RunJournal(self.folder / f"journal{suffix}.jsonl", run=self.uuid, worker=self.worker)
        self.events = EventLog(self.folder / f"events{suffix}.jsonl", on_phase=self._telling.phase)
        folder = self.folder / self.worker if self.is_worker else self.folder
        folder.mkdir(exist_ok=True)
        told, recoveries = self._telling, self.recoveries
        reports = Reports(told.target, told.boot, self.failures.report, recoveries.recovery, recoveries.attempt)
        only_board = len({target.request.name for target in self.plan.targets}) == 1
        announce = None if self.is_worker else ProgressLine(self.config)
        transfer = TransferPolicy(self.plan.transfer, announce)
        preparation = Preparation(
            self._wanted(),
            self.plan.cache,
            self.events,
            self.plan.additions,
            self.recoveries.fetching,
            announce=announce,
        )
        context = LabContext(
            folder, only_board, self._guardian, self.events, self.plan.board_wait, reports, preparation, transfer,
            self.plan.snapshots, self.plan.recovery,
        )  # fmt: skip
        self.boards = self.config.stash[Boards.key] = Boards(
            context, self.limits.stopped if self.limits else nullcontext
        )
        if self.is_worker:
            self.journal.write("worker", pid=os.getpid())
        else:
            self.journal.write("run", durable=True, **self._about())
        if self.html is not None:
            self.html.begin()
        if self.submission is not None:
            self.submission.begin(self)

    def _wanted(self) -> tuple[Target, ...]:
        """The targets that selected items run on, in their order."""
        found = {target.id: target for item in self.reporting.items if (target := target_of(item))}
        return tuple(found.values())

    def log_name(self, log: Path | None) -> str | None:
        """A file of the run folder as the journal names it."""
        return str(log.relative_to(self.folder)) if log else None

    def _about(self) -> dict[str, Any]:
        config, plan = self.config, self.plan
        boards = list(dict.fromkeys(target.request.name for target in plan.targets))
        shown = self.submission.shown if self.submission else str
        argv = [shown(word) for word in config.invocation_params.args]
        told = told_run(argv, config.rootpath, boards, pytest=pytest.__version__)
        told |= {"format": plan.bundle_format, **plan.junit_links.told(), **told_content(plan.bundle_content)}
        return {**told, **self._sinks()}

    def _sinks(self) -> dict[str, Any]:
        return {"sinks": self.submission.stored} if self.submission and self.submission.choices else {}

    # -- the end ------------------------------------------------------------------------------------------------

    def close_boards(self) -> None:
        """Power off and release; trouble with it is told, not raised."""
        if self.closed or self.boards is None or self.journal is None:
            return
        errors = self.boards.close()
        self.closed = True  # not before: what an interrupt cut short is done again
        for error in errors:
            self.events.emit(f"could not switch off: {error}", level="error")
            self.journal.write("note", text=f"could not switch off: {error}", error=asdict(describe(error)))

    @pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
    def pytest_lava_switch_off_first(self, session: pytest.Session) -> None:
        """Power goes off before anything else is done: on an interrupt time is short."""
        self._collect_last_words(session)
        self.ending = True
        self.close_boards()

    def _collect_last_words(self, session: pytest.Session) -> None:
        """A board that died under the last test boots once more if its kernel stored something, unless time is up."""
        in_order = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        over_time = str(session.shouldfail).startswith("session-timeout")  # pytest-timeout
        if self.boards is None or self.ending or over_time or not in_order:
            return
        self.recoveries.ending()
        try:
            self.boards.boot_once_more(self.crash.awaits_boot)
        except KeyboardInterrupt:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        except pytest.exit.Exception as ended:
            session.exitstatus = ended.returncode or pytest.ExitCode.INTERRUPTED

    def pytest_keyboard_interrupt(self) -> None:
        """The end has begun."""
        self.ending = True

    def _terminate(self, number: int, frame: object) -> None:
        if not self.ending:
            pytest.exit(signal.Signals(number).name, returncode=128 + number)
        if self.submission is not None:
            self.submission.hurry()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Build the results, now that all processes have written theirs."""
        session.exitstatus = self._finish(int(session.exitstatus))

    def _finish(self, status: int) -> int:
        if self.journal is None or self.is_worker or self._finished:
            return status
        from pytest_lava.plugin.output.results import finish

        status = finish(self, status, monotonic() - self._started)
        self._finished = True
        if self.submission is not None:
            status = self.submission.finish(self, status)
        self._tidy_cache()
        return status

    def write_results(self) -> None:
        """Bundle and JUnit of a run that ends here and now, in the middle of a test; a worker leaves them to others."""
        if self.journal is None or self.is_worker:
            return
        from pytest_lava.plugin.output.results import write

        try:
            write(self)
        except (LavaError, OSError) as error:
            self.events.emit(f"the results could not be written: {error}", level="error")
        else:
            if self.submission is not None:
                self.submission.keep(self)

    def _tidy_cache(self) -> None:
        """A cache that goes with the run goes, another one is kept within its limit."""
        from pytest_lava.images.housekeeping import prune

        cache = self.plan.cache
        if cache.passing:
            shutil.rmtree(cache.folder, ignore_errors=True)
        elif cache.limit:
            with suppress(OSError):  # it costs space, not the run
                prune(cache.folder, cache.limit)
        self._forget_cache()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """After everything: nothing of ours is left. A second interrupt may have cut short what should be done."""
        self.close_boards()
        self._finish(pytest.ExitCode.INTERRUPTED)
        if self.journal is not None:
            self.journal.close()
        self.events.close()
        self._guardian.close()
        if self.submission is not None:
            self.submission.close()
        if not self.is_worker and self.journal is None:
            run_folder.remove_empty(self.folder)
        self._restore_signals.close()

"""A run that uses boards: opened at its first item, closed and told whatever happens."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict
from typing import Any

import pytest

from pytest_lava.deadline import monotonic
from pytest_lava.errors import LavaError, describe
from pytest_lava.events import EventLog
from pytest_lava.lab.guardian import Guardian
from pytest_lava.lab.manager import LabContext, Reports
from pytest_lava.lab.telling import told_content, told_run
from pytest_lava.plan import Target
from pytest_lava.plugin import run_folder
from pytest_lava.plugin.boards.boards import Boards
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.output.progress import ProgressLine
from pytest_lava.plugin.reporting.record_keeping import RunJournal
from pytest_lava.plugin.reporting.telling import Telling
from pytest_lava.plugin.run import Run
from pytest_lava.preparation import Preparation
from pytest_lava.transfer.api import TransferPolicy

__all__ = ["Session"]


class Session:
    """Hooks of a run from its beginning to its end."""

    def __init__(self, run: Run, guardian: Guardian) -> None:
        self._run = run
        self._guardian = guardian
        self._telling = Telling(run)
        self._closed = False
        self._finished = False
        self._started = monotonic()
        self._restore_signals = ExitStack()
        self._forget_cache: Callable[[], None] = lambda: None
        self._leave_folder: Callable[[], None] = lambda: None

    # -- beginning ----------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """SIGTERM and a terminal that closes become an orderly exit: without a handler nothing at all would run.

        A worker that leaves in order is an internal error to xdist, and one that dies is replaced: so its SIGTERM is
        left alone, the guardian cleans up. Its own controller sends SIGHUP (:class:`pytest_lava.plugin.xdist.Xdist`).
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGHUP,) if self._run.is_worker else (signal.SIGTERM, signal.SIGHUP):
                if self._run.is_worker or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                    self._restore_signals.callback(signal.signal, number, signal.signal(number, self._terminate))

    def open(self) -> None:
        """Make the run folder and its files: not before the first item, so that without one there is no trace."""
        run = self._run
        if run.journal is not None or not run.runs_tests:
            return
        if not run.is_worker:
            self._leave_folder = run_folder.begin(run.folder, named=bool(run.config.option.lava_dir))
            if run.plan.cache.passing:
                self._forget_cache = self._guardian.command(f"rm -rf -- {shlex.quote(str(run.plan.cache.folder))}")
        suffix = f"-{run.worker}" if run.is_worker else ""
        run.journal = RunJournal(run.folder / f"journal{suffix}.jsonl", run=run.uuid, worker=run.worker)
        run.events = EventLog(run.folder / f"events{suffix}.jsonl", on_phase=self._telling.phase)
        uncounted = run.limits.stopped if run.limits else nullcontext
        run.boards = run.config.stash[Boards.key] = Boards(self._lab_context(), uncounted)
        if run.is_worker:
            run.journal.write("worker", pid=os.getpid())
        else:
            run.journal.write("run", durable=True, **self._about())
        if run.html is not None:
            run.html.begin()
        if run.submission is not None:
            run.submission.begin(run)

    def _lab_context(self) -> LabContext:
        """What managers of boards get: where to write, whom to tell, and what targets ask for, made ready."""
        run, plan = self._run, self._run.plan
        folder = run.folder / run.worker if run.is_worker else run.folder
        folder.mkdir(exist_ok=True)
        told, recoveries = self._telling, run.recoveries
        reports = Reports(told.target, told.boot, run.failures.report, recoveries.recovery, recoveries.attempt)
        only_board = len({target.request.name for target in plan.targets}) == 1
        announce = None if run.is_worker else ProgressLine(run.config)
        preparation = Preparation(
            self._wanted(), plan.cache, run.events, plan.additions, recoveries.fetching, announce=announce
        )
        return LabContext(
            folder, only_board, self._guardian, run.events, plan.board_wait, reports, preparation,
            TransferPolicy(plan.transfer, announce), plan.snapshots, plan.recovery,
        )  # fmt: skip

    def _wanted(self) -> tuple[Target, ...]:
        """The targets that selected items run on, in their order."""
        found = {target.id: target for item in self._run.reporting.items if (target := target_of(item))}
        return tuple(found.values())

    def _about(self) -> dict[str, Any]:
        config, plan = self._run.config, self._run.plan
        boards = list(dict.fromkeys(target.request.name for target in plan.targets))
        shown = self._run.submission.shown if self._run.submission else str
        argv = [shown(word) for word in config.invocation_params.args]
        told = told_run(argv, config.rootpath, boards, pytest=pytest.__version__)
        told |= {"format": plan.bundle_format, **plan.junit_links.told(), **told_content(plan.bundle_content)}
        if self._run.submission and self._run.submission.choices:
            told["sinks"] = self._run.submission.stored
        return told

    # -- the end ------------------------------------------------------------------------------------------------

    def close_boards(self) -> None:
        """Power off and release; trouble with it is told, not raised."""
        if self._closed or self._run.boards is None or self._run.journal is None:
            return
        errors = self._run.boards.close()
        self._closed = True  # not before: what an interrupt cut short is done again
        for error in errors:
            self._run.events.emit(f"could not switch off: {error}", level="error")
            self._run.journal.write("note", text=f"could not switch off: {error}", error=asdict(describe(error)))

    @pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
    def pytest_lava_switch_off_first(self, session: pytest.Session) -> None:
        """Power goes off before anything else is done: on an interrupt time is short."""
        self._collect_last_words(session)
        self._run.ending = True
        self.close_boards()

    def _collect_last_words(self, session: pytest.Session) -> None:
        """A board that died under the last test boots once more if its kernel stored something, unless time is up."""
        in_order = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        over_time = str(session.shouldfail).startswith("session-timeout")  # pytest-timeout
        if self._run.boards is None or self._run.ending or over_time or not in_order:
            return
        self._run.recoveries.ending()
        try:
            self._run.boards.boot_once_more(self._run.crash.awaits_boot)
        except KeyboardInterrupt:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        except pytest.exit.Exception as ended:
            session.exitstatus = ended.returncode or pytest.ExitCode.INTERRUPTED

    def pytest_keyboard_interrupt(self) -> None:
        """The end has begun."""
        self._run.ending = True

    def _terminate(self, number: int, frame: object) -> None:
        if not self._run.ending:
            pytest.exit(signal.Signals(number).name, returncode=128 + number)
        if self._run.submission is not None:
            self._run.submission.hurry()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Build the results, now that all processes have written theirs."""
        session.exitstatus = self._finish(int(session.exitstatus))

    def _finish(self, status: int) -> int:
        if self._run.journal is None or self._run.is_worker or self._finished:
            return status
        from pytest_lava.plugin.output.results import finish

        status = finish(self._run, status, monotonic() - self._started)
        self._finished = True
        if self._run.submission is not None:
            status = self._run.submission.finish(self._run, status)
        self._tidy_cache()
        return status

    def write_results(self) -> None:
        """Bundle and JUnit of a run that ends here and now, in the middle of a test; a worker leaves them to others."""
        if self._run.journal is None or self._run.is_worker:
            return
        from pytest_lava.plugin.output.results import write

        try:
            write(self._run)
        except (LavaError, OSError) as error:
            self._run.events.emit(f"the results could not be written: {error}", level="error")
        else:
            if self._run.submission is not None:
                self._run.submission.keep(self._run)

    def _tidy_cache(self) -> None:
        """A cache that goes with the run goes, another one is kept within its limit."""
        from pytest_lava.images.housekeeping import prune

        cache = self._run.plan.cache
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
        if self._run.journal is not None:
            self._run.journal.close()
        self._run.events.close()
        self._guardian.close()
        if self._run.submission is not None:
            self._run.submission.close()
        if not self._run.is_worker and self._run.journal is None:
            run_folder.remove_empty(self._run.folder)
        self._leave_folder()
        self._restore_signals.close()

"""pytest-timeout's limits for tests on boards: board time does not count, and the console call is ended first.

``--timeout``, the mark and the ini are pytest-timeout's own; only its timers are ours, by its hooks. At the end of a
limit the journal has it, then the console call in progress ends with a ``TestTimeout``. Only where there is none, or
it does not end, the method of pytest-timeout acts: ``signal`` raises in the test, ``thread`` ends the process, for
which the guardian then switches the board off.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pytest_timeout import is_debugging, timeout_sigalrm, timeout_timer

from pytest_lava.console.cut import Cut
from pytest_lava.console.ladder import RUNGS
from pytest_lava.console.readable import without_frames
from pytest_lava.errors import LavaError, TestTimeout, describe
from pytest_lava.plugin.boards.limit import Limit
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.reporting.facts import names

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.plugin.run import Run

__all__ = ["TimeLimits"]

_IDLE = 0.5  # seconds without any console call after which the test is busy elsewhere
_PATIENCE = 20.0 + RUNGS.seconds  # that a call may take to end: a frame to its end, or the whole hang ladder
_LAST = 2000  # bytes of the console in the journal


class _Timer:
    """The limit of one item, and the thread that waits for its end."""

    def __init__(self, item: pytest.Item, settings: Any, begin: int) -> None:
        self.item = item
        self.settings = settings
        #: where its console begins
        self.begin = begin
        self.limit = Limit(settings.timeout)
        in_main = threading.current_thread() is threading.main_thread()
        self.by_signal = settings.method == "signal" and in_main
        #: why calls on this console are ended, once they are
        self.why = ""
        self.cut: Cut | None = None
        #: the method of pytest-timeout came while the clock stood
        self.pending = False

    def fail(self) -> None:
        """pytest-timeout's own failure, in the thread of the test."""
        __tracebackhide__ = True
        timeout_sigalrm(self.item, self.settings)


class TimeLimits:
    """Hooks of pytest-timeout."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._timer: _Timer | None = None
        self._thread: threading.Thread | None = None

    # -- pytest-timeout's hooks ---------------------------------------------------------------------------------

    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool | None:
        """Start a timer of ours for an item that runs on a board."""
        if target_of(item) is None or self._run.boards is None:
            return None
        self._cancel()
        board = self._run.boards.board(target_of(item))
        timer = self._timer = _Timer(item, settings, board.console.end if board else 0)
        if timer.by_signal:
            signal.signal(signal.SIGALRM, partial(_alarm, timer))
        self._thread = threading.Thread(
            target=self._watch, args=(timer,), name=f"lava limit {item.nodeid}", daemon=True
        )
        self._thread.start()
        return True

    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool | None:
        """Its test ended, or is looked at by a debugger."""
        if self._timer is None or self._timer.item is not item:
            return None
        self._cancel()
        return True

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        thread, self._thread = self._thread, None
        if timer is None or thread is None:
            return
        timer.limit.cancel()
        if timer.by_signal:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        thread.join()
        if timer.cut is not None:
            timer.cut.end()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        """A limit that ended its test has done what it can; the report may take its time, and so may teardown."""
        timer = self._timer
        if timer is not None and timer.item is item and timer.why and call.excinfo is not None:
            self._cancel()
        return (yield)

    # -- what does not count ------------------------------------------------------------------------------------

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Around what the board needs for itself: deploy, boot, fetch, recovery. It is never cut short."""
        timer = self._timer
        if timer is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        timer.limit.stop()
        if timer.cut is not None:
            timer.cut.end()
        try:
            yield
        finally:
            timer.limit.go_on()
            if timer.cut is not None and not timer.limit.cancelled and not timer.limit.stopped:
                timer.cut.begin(timer.why)
        if timer.pending and not timer.limit.cancelled and not timer.limit.stopped:
            timer.fail()

    # -- the end of a limit -------------------------------------------------------------------------------------

    def _watch(self, timer: _Timer) -> None:
        if not timer.limit.expires():
            return
        if not timer.settings.disable_debugger_detection and is_debugging():
            return
        board = self._run.boards.board(target_of(timer.item)) if self._run.boards else None
        timer.limit.while_it_runs(lambda: self._expire(timer, board))
        cut = timer.cut
        if not timer.limit.settles(_IDLE, lambda: cut is not None and cut.busy, at_most=_PATIENCE):
            timer.limit.while_it_runs(lambda: self._act(timer))

    def _expire(self, timer: _Timer, board: Board | None) -> None:
        """Into the journal first; then no console call goes on."""
        timer.why = f"the test is over its time limit of {timer.settings.timeout:g} s (--timeout, or its mark)"
        self._tell(timer, board)
        if board is not None:
            timer.cut = board.console.cut
            timer.cut.begin(timer.why)

    def _tell(self, timer: _Timer, board: Board | None) -> None:
        run, item = self._run, timer.item
        doing, last = _doing(timer, board) if board else ("", "")
        target = target_of(item)
        error = TestTimeout(f"{timer.why}{doing}", evidence=last)
        (board.events if board else run.events).emit(f"{item.nodeid}: {error}", level="warning")
        if run.journal is not None:
            with suppress(LavaError):  # a full disk: the next line says so in the thread of the test
                run.journal.write(
                    "limit",
                    board=board.name if board else "",
                    durable=True,
                    nodeid=item.nodeid,
                    target=target.id if target else "",
                    limit=timer.settings.timeout,
                    method=timer.settings.method,
                    when=os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("(")[2].rstrip(")"),
                    message=str(error),
                    error=asdict(describe(error)),
                    console_log=run.log_name(board.console.log) if board else None,
                    **names(item),
                )

    def _act(self, timer: _Timer) -> None:
        """pytest-timeout's own method: the test is busy elsewhere."""
        if timer.by_signal:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
            return
        self._run.session.write_results()  # nobody can do it after this
        timeout_timer(timer.item, timer.settings)


def _doing(timer: _Timer, board: Board) -> tuple[str, str]:
    """What the test was about, for its sentence, and the last output of its board."""
    console = board.console
    end, begin = console.end, max(console.boundary, timer.begin)
    commands = console.typed.between(begin, end)
    doing = f": {commands[-1][1].removeprefix('$ ')}" if commands else ""
    said = without_frames(console.text(max(begin, end - _LAST), end))
    return f"; it was waiting for the board{doing}" if console.cut.busy else "; it was busy without the board", said


def _alarm(timer: _Timer, *_: object) -> None:
    """pytest-timeout's method ``signal``, in the thread of the test."""
    __tracebackhide__ = True
    if timer.limit.stopped:
        timer.pending = True
    elif not timer.limit.cancelled:
        timer.fail()

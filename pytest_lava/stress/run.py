"""A stress run: start the load, watch console and heartbeat until something ends it, and judge what that was."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.bytelog import moment
from pytest_lava.console.console import Console
from pytest_lava.console.heartbeat import Beat
from pytest_lava.console.kernel_records import stamp_of
from pytest_lava.console.ladder import RUNGS, Ladder
from pytest_lava.console.shell import Shell
from pytest_lava.console.watch import Finding
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import (
    ConsoleLost,
    Hang,
    KernelCrash,
    LavaError,
    OperationFailed,
    TestTimeout,
    Timeout,
    UnexpectedReset,
)
from pytest_lava.responsiveness import Responsiveness, Verdict
from pytest_lava.stress.load import Load, Marker
from pytest_lava.stress.outcome import Cause, Outcome, Pulse
from pytest_lava.stress.plan import Limits
from pytest_lava.stress.pulse import CommandPulse, Pulses
from pytest_lava.told_times import told_seconds

__all__ = ["Pace", "stress"]

T = TypeVar("T")

_DEFINE = 10.0


@dataclass(frozen=True)
class Pace:
    """Seconds of the heartbeat.

    A question comes ``shortest`` after the last answer, and later on a board that answers slowly: ``thrift`` times
    what the answer took, at most ``longest``. An answer that takes longer than ``patience`` is asked of the kernel; if
    that lives, user space has ``silence`` in all. ``report``: so often the result so far is told.
    """

    shortest: float = 2.0
    longest: float = 30.0
    thrift: float = 20.0
    patience: float = 10.0
    silence: float = 120.0
    report: float = 60.0

    def rest(self, latency: float) -> float:
        """Seconds to the next question."""
        return min(max(self.shortest, self.thrift * latency), self.longest)


def stress(
    console: Console,
    shell: Shell,
    command: str,
    *,
    limits: Limits | None = None,
    pace: Pace | None = None,
    on_progress: Callable[[Outcome], None] = lambda outcome: None,
    leash: bool = False,
) -> Outcome:
    """Run ``command`` on the board, again and again if it ends by itself, until something breaks or a limit is met.

    ``on_progress`` gets the result so far at the begin, at every ``pace.report``, and the last one; also what an
    interrupt leaves. ``leash``: the load is to end with its shell, as the board is a process of this machine.
    Raises what keeps the load from starting; what happens to it afterwards is in the outcome.
    """
    return _Run(console, shell, command, limits or Limits(), pace or Pace(), tell=on_progress, leash=leash).run()


class _Run:
    def __init__(
        self,
        console: Console,
        shell: Shell,
        command: str,
        limits: Limits,
        pace: Pace,
        *,
        tell: Callable[[Outcome], None],
        leash: bool,
    ) -> None:
        self._console, self._shell, self._command = console, shell, command
        self._limits, self._pace, self._tell, self._leash = limits, pace, tell, leash
        self._load = Load(console, shell, command, iterations=limits.iterations, leash=leash)
        self._so_far = Outcome(command, Cause.RUNNING, 0.0)
        self._begin = Marker(None, 0, 0, 0)
        self._begun = self._began_at = 0.0
        self._pulses: Pulses

    def run(self) -> Outcome:
        self._console.mark(f"stress: {self._command}")
        self._begun, self._began_at = monotonic(), time.time()
        self._begin = replace(self._begin, offset=self._console.end)
        started = False
        try:
            if isinstance(self._shell, AgentShell):  # before, as a load may leave no time for it
                self._shell.heartbeat("", Deadline.after(_DEFINE))
            self._note_begin(self._load.start())
            started = True
            self._pulses = self._pulse()
            self._tell(self._so_far)
            outcome = self._until_end()
        except LavaError as error:
            finding = None if isinstance(error, KernelCrash) else self._console.finding
            found = self._console.crash(finding) if finding else error  # some waits do not look for one
            if not started:
                if not isinstance(found, KernelCrash):
                    raise
                self._note_begin(self._load.marker())  # it died at once
            outcome = self._broken(found)
        except BaseException:
            self._interrupted()
            raise
        self._tell(outcome)
        return outcome

    def _pulse(self) -> Pulses:
        if isinstance(self._shell, AgentShell):
            return self._shell.heartbeat(self._load.counter, Deadline.after(_DEFINE))
        return CommandPulse(self._shell, self._load.counter, self._pace.silence)

    def _note_begin(self, begin: Marker | None) -> None:
        """From here on it runs, on both clocks."""
        if begin is not None:
            self._begin = begin
            self._began_at = moment(self._console.log, begin.offset) / 1e9
            self._begun = monotonic() - max(0.0, time.time() - self._began_at)

    # -- until it ends ------------------------------------------------------------------------------------------

    def _until_end(self) -> Outcome:
        limit = Deadline(self._begun + self._limits.seconds)
        report = Deadline.after(self._pace.report)
        beat = Deadline.after(min(self._pace.shortest, self._pace.report / 2))
        while True:
            end = self._await(self._load.marker, Deadline(min(limit.at, report.at, beat.at)))
            if end is not None:
                return self._ended(end)
            if limit.expired:
                return self._limit_met()
            if beat.expired:
                end = self._beat()
                if end is not None:
                    return self._ended(end)
                beat = Deadline.after(self._pace.rest(self._so_far.pulse.latency))
            if report.expired:
                report = Deadline.after(self._pace.report)
                self._so_far = replace(self._so_far, seconds=monotonic() - self._begun)
                self._tell(self._so_far)

    def _await(self, look: Callable[[], T | None], deadline: Deadline) -> T | None:
        """What comes by the deadline, or None. A crash is raised, a lost line too."""
        try:
            return self._console.wait(look, deadline, what="end of the load")
        except Timeout:
            return None

    def _beat(self) -> Marker | None:
        """Ask for a sign of life and wait for it; the end of the load if that is what came. ``Hang`` if none comes."""
        asked, gave_up = monotonic(), Deadline.after(self._pace.silence)
        self._pulses.ask()
        patience = self._pace.patience
        while True:
            found = self._await(self._marker_or_answer, gave_up.at_most(patience))
            if isinstance(found, Marker):
                return found
            if isinstance(found, Beat):
                return self._note(found, monotonic() - asked)
            self._judge_silence(asked, last=gave_up.expired)
            patience = 2 * patience  # each question to the kernel costs it a line

    def _marker_or_answer(self) -> Marker | Beat | None:
        return self._load.marker() or self._pulses.answer()

    def _note(self, beat: Beat, latency: float) -> Marker | None:
        """An answer, and the iterations with it; also the end, if its marker was lost."""
        words, pulse, seconds = beat.said.split(), self._so_far.pulse, monotonic() - self._begun
        iterations = int(words[0]) if words else self._so_far.iterations
        self._so_far = replace(
            self._so_far,
            seconds=seconds,
            iterations=iterations,
            board_seconds=self._on_board(beat.uptime),
            pulse=Pulse(pulse.count + 1, seconds, latency, max(pulse.slowest, latency), beat.uptime),
        )
        if len(words) < 2:
            return None
        uptime = float(words[2]) if len(words) > 2 else None
        return Marker(uptime, iterations, int(words[1]), self._console.end)

    def _judge_silence(self, asked: float, *, last: bool) -> None:
        """No heartbeat: the load may only be heavy. ``Hang`` if the kernel is dead too, or if this was ``last``."""
        ladder = Ladder(self._console, RUNGS if last else replace(RUNGS, dumps=()))
        ladder.ask_kernel()
        if (finding := self._console.finding) is not None:
            raise self._console.crash(finding)
        if not last and ladder.verdict is not Verdict.DEAD:
            return
        self._console.hang = found = ladder.result
        raise Hang(
            f"no heartbeat for {monotonic() - asked:.0f} s; {_what(found)}",
            evidence=f"{found}\n{found.sysrq}",
            responsiveness=found,
        )

    # -- what ended it ------------------------------------------------------------------------------------------

    def _stop(self) -> tuple[bytes, bool]:
        """End the load. A board that dies of it, or just now, has crashed."""
        output, stopped = self._load.stop()
        if not stopped and (finding := self._console.finding) is not None:
            raise self._console.crash(finding)
        return output, stopped

    def _ended(self, end: Marker) -> Outcome:
        output, stopped = self._stop()
        outcome = replace(
            self._so_far,
            cause=Cause.FAILED if end.status else Cause.LIMIT,
            seconds=self._at(end.offset),
            board_seconds=self._on_board(end.uptime),
            iterations=end.iterations,
            status=end.status,
            output=output,
            stopped=stopped,
        )
        if not end.status:
            return replace(outcome, reason=f"the limit of {end.iterations} iterations was met")
        reason = f"the command returned {end.status}: {self._command}"
        return replace(outcome, reason=reason, error=OperationFailed(reason))

    def _limit_met(self) -> Outcome:
        seconds = monotonic() - self._begun
        with suppress(LavaError):  # the last word on iterations
            self._beat()
        output, stopped = self._stop()
        reason = f"the limit of {told_seconds(self._limits.seconds)} was met"
        return replace(self._so_far, cause=Cause.LIMIT, seconds=seconds, reason=reason, output=output, stopped=stopped)

    def _broken(self, error: LavaError) -> Outcome:
        """The board crashed, hangs, or its line is gone; none of its processes matter any more."""
        seconds, board = self._so_far.pulse.last, self._so_far.board_seconds
        if isinstance(error, KernelCrash):
            cause = Cause.RESET if isinstance(error, UnexpectedReset) else Cause.CRASH
            if (finding := self._console.told) is not None:
                seconds, board = self._at(finding.offset), self._crash_on_board(finding)
        elif isinstance(error, (Hang, Timeout)):
            cause = Cause.HANG
        elif isinstance(error, TestTimeout):
            cause, seconds = Cause.INTERRUPTED, monotonic() - self._begun
            self._load.stop()
        else:
            cause = Cause.LOST
            if isinstance(error, ConsoleLost):
                seconds = self._at(max(self._begin.offset, self._console.end - 1))
        return replace(
            self._so_far,
            cause=cause,
            seconds=seconds,
            board_seconds=board,
            reason=str(error),
            error=error,
            stopped=False,
        )

    def _interrupted(self) -> None:
        """Whatever ends this process, what was measured so far is told first."""
        self._so_far = replace(self._so_far, cause=Cause.INTERRUPTED, seconds=monotonic() - self._begun)
        self._tell(self._so_far)
        if self._leash:
            self._load.kill()

    # -- clocks -------------------------------------------------------------------------------------------------

    def _at(self, offset: int) -> float:
        """Seconds from the begin to what stands at this offset of the log, on this machine's clock."""
        return moment(self._console.log, offset) / 1e9 - self._began_at

    def _on_board(self, uptime: float | None) -> float | None:
        return None if uptime is None or self._begin.uptime is None else uptime - self._begin.uptime

    def _crash_on_board(self, finding: Finding) -> float | None:
        """By the time stamps of the kernel's own records; those of the last heartbeat, if it has none."""
        end, begin = stamp_of(finding.record), self._begin.stamp
        return self._so_far.board_seconds if end is None or begin is None else end - begin


def _what(found: Responsiveness) -> str:
    if found.verdict is Verdict.KERNEL_ALIVE:
        return "the kernel is alive, but no shell answers"
    if found.verdict is Verdict.DEAD:
        return "nothing answers any more, not even the kernel to SysRq"
    last = found.steps[-1]
    return f"whether the kernel lives is not known: {last.skipped or last.answer}"

"""The recovery ladder: what brings a dead board back, the cheapest first, and what became of each try.

resync -> snapshot, or a restart (of the board's own, or by the kernel) -> power cycle -> redeploy. Each rung has a
limit of its own. The kernel is asked before the first, as each ends it. What follows the last is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from pytest_lava.board.board import Board, State
from pytest_lava.console.ladder import Ladder
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import (
    Blame,
    BoardLost,
    ConsoleLost,
    DiskFull,
    Hang,
    KernelCrash,
    LavaError,
    NotRecovered,
    first_line,
)
from pytest_lava.events import utc_now
from pytest_lava.plan import RecoveryMode
from pytest_lava.responsiveness import Verdict

__all__ = ["Death", "Recovery", "Rescue", "Rung", "death_of", "not_tried"]

_RESYNC = 8.0  # seconds; another shell at its prompt is found in one, and else each costs the next rung
_PATIENCE = 30.0  # seconds until a restart of its own that is worth it: a power cycle loses what memory holds
_FIRST_LINE = 300  # characters of a reason


class Death(StrEnum):
    """What is known to be dead: that decides which rungs can help."""

    SHELL = "shell"
    KERNEL = "kernel"
    LINE = "line"


def death_of(error: BaseException) -> Death:
    """By the error that a test ended with."""
    if isinstance(error, KernelCrash):
        return Death.KERNEL
    if isinstance(error, ConsoleLost):
        return Death.LINE
    dead = isinstance(error, Hang) and error.responsiveness and error.responsiveness.verdict is Verdict.DEAD
    return Death.KERNEL if dead else Death.SHELL


@dataclass(frozen=True)
class Rung:
    """One thing that was tried; ``why`` it did not work, in one line."""

    name: str
    seconds: float
    worked: bool
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.seconds:.1f} s)" if self.worked else f"{self.name} failed: {self.why}"


@dataclass(frozen=True)
class Recovery:
    """One climb: the ``cause``, what was tried, and the seconds from its ``start`` (ISO time) until the board was back.

    ``evidence`` is what the kernel told before anything was tried, if it had not told before.
    """

    cause: str
    death: Death
    rungs: tuple[Rung, ...]
    seconds: float
    start: str
    evidence: str = ""

    @property
    def worked(self) -> bool:
        """Whether the board is back."""
        return bool(self.rungs) and self.rungs[-1].worked

    @property
    def by(self) -> str:
        """The rung that worked; empty if none did."""
        return self.rungs[-1].name if self.worked else ""

    def __str__(self) -> str:
        tried = "; ".join(map(str, reversed(self.rungs)))
        return f"recovered by {tried}" if self.worked else f"not recovered: {tried or 'nothing was tried'}"


@dataclass(frozen=True)
class _Try:
    """A rung to be tried; ``run`` returns the name it deserves, or raises a ``LavaError``."""

    name: str
    run: Callable[[], str]


class Rescue:
    """Climbs the ladder with one board. ``redeploy`` brings to it once more what it is to boot.

    ``by_boot``: no snapshot will do, as what the kernel stored is told at its next boot.

    ::

        recovery = Rescue(board, "redeploy", lambda: board.deploy(kernel, image)).climb(Death.KERNEL, "it panicked")
        recovery.worked, recovery.by       # True, 'power cycle'
    """

    def __init__(
        self, board: Board, mode: RecoveryMode, redeploy: Callable[[], None], *, by_boot: bool = False
    ) -> None:
        self._board = board
        self._mode = mode
        self._redeploy = redeploy
        self._by_boot = by_boot
        #: why the board did not come back
        self.error: LavaError | None = None

    def climb(self, death: Death, cause: str, goal: State = State.SHELL) -> Recovery:
        """Try one rung after the other until the board is at ``goal``, its shell or its boot loader.

        What did not work is not raised: ``error`` holds it.
        """
        board, start, t0 = self._board, utc_now(), monotonic()
        rungs: list[Rung] = []
        evidence = ""
        with suppress(LavaError), board.events.phase("recovery"):
            evidence = self._ask_kernel(death)
            for step in self._ladder(death, goal):
                rungs.append(self._try(step))
                if rungs[-1].worked or isinstance(self.error, DiskFull):
                    break
            if self.error is not None or not rungs:
                self.error = not_recovered(board.name, cause, rungs, self.error)
                raise self.error
        recovery = Recovery(cause, death, tuple(rungs), monotonic() - t0, start, evidence)
        board.events.emit(
            str(recovery), level="info" if recovery.worked else "error", seconds=round(recovery.seconds, 6)
        )
        return recovery

    def _try(self, step: _Try) -> Rung:
        begun = monotonic()
        try:
            name = step.run()
        except LavaError as error:
            self.error = error
            rung = Rung(step.name, monotonic() - begun, worked=False, why=_line(error))
            self._board.events.emit(f"recovery: {rung}", level="warning")
            return rung
        self.error = None
        return Rung(name, monotonic() - begun, worked=True)

    # -- rungs --------------------------------------------------------------------------------------------------

    def _ladder(self, death: Death, goal: State) -> Iterator[_Try]:
        board = self._board
        if death is Death.SHELL and goal is State.SHELL and board.had_shell:
            yield _Try("resync", self._resync)
        if goal is State.SHELL and (board.snapshots is None or self._by_boot):
            seconds = board.restarts_in
            if seconds is not None and seconds <= _PATIENCE:
                yield _Try("restart of its own", self._await_restart)
            elif seconds is None and board.may_reset:  # a panicked kernel that counts down does nothing else
                yield _Try("restart by SysRq", self._reset)
        yield _Try("power cycle" if board.switched else "attach again", lambda: self._power_cycle(goal))
        if self._mode == "redeploy" and board.switched:
            yield _Try("redeploy", lambda: self._deploy_again(goal))

    def _resync(self) -> str:
        self._board.resync(Deadline.after(_RESYNC))
        return "resync"

    def _await_restart(self) -> str:
        self._board.await_restart()
        return "restart of its own"

    def _reset(self) -> str:
        self._board.reset()
        return "restart by SysRq"

    def _power_cycle(self, goal: State) -> str:
        board = self._board
        board.power_off()
        board.anew |= self._by_boot
        board.reach(goal)
        if goal is State.SHELL and board.last_boot and board.last_boot.resumed:
            return "snapshot"
        return "power cycle" if board.switched else "attach again"

    def _deploy_again(self, goal: State) -> str:
        self._board.anew = True  # else a snapshot might hide what was deployed
        self._redeploy()
        self._board.reach(goal)
        return "redeploy"

    # -- evidence -----------------------------------------------------------------------------------------------

    def _ask_kernel(self, death: Death) -> str:
        """What the kernel tells of a board whose death has left no word yet: no trace, no dumps."""
        board, told = self._board, ""
        if death is Death.SHELL and board.console.attached and board.console.hang is None and board.may_reset:
            ladder = Ladder(board.console)
            with suppress(LavaError):
                ladder.ask_kernel()
            told = f"{ladder.result}\n{ladder.result.sysrq}".strip()
        return told


def not_recovered(board: str, cause: str, rungs: Sequence[Rung], error: LavaError | None) -> LavaError:
    """What ends a board that did not come back: its kernel's fault if that no longer boots, else the lab's."""
    if error is not None and (error.blame is Blame.JOB or isinstance(error, DiskFull)):
        return error
    why = str(rungs[-1]) if rungs else "nothing could be tried"
    evidence = error.evidence if error else ""
    return BoardLost(
        f"board {board} does not come back, see to it: it died ({_line(cause)}), and {why}", evidence=evidence
    )


def not_tried(board: str, cause: str) -> LavaError:
    """With ``--recovery=none``."""
    return NotRecovered(f"board {board} died ({_line(cause)}) and is left so: --recovery=none")


def _line(said: object) -> str:
    return first_line(said, type(said).__name__)[:_FIRST_LINE]

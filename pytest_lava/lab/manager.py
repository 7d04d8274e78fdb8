"""One board for the length of a run: leased once, deployed per kernel and image, recovered when it died.

What is expensive lives here, outside pytest's fixture cache, which can neither retry nor recover.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pytest_lava.board.board import Board, State
from pytest_lava.config.model import Retry
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import (
    BoardBusy,
    BoardLost,
    BoardQuarantined,
    Effect,
    InfrastructureError,
    KernelCrash,
    LavaError,
    describe,
)
from pytest_lava.events import utc_now
from pytest_lava.lab.context import LabContext, Reports
from pytest_lava.lab.failure import BoardUnavailable, Failure
from pytest_lava.lab.lease import Lease
from pytest_lava.lab.quarantine import quarantine
from pytest_lava.lab.recovery import Death, Rescue, death_of, not_tried
from pytest_lava.lab.retry import Attempt, RetryPhase, again
from pytest_lava.lab.taking import take
from pytest_lava.plan import BoardRequest, Prepared, RecoveryMode, Target

__all__ = ["BoardManager", "BoardUnavailable", "Failure", "LabContext", "Reports"]

T = TypeVar("T")

_RESYNC = 1.0  # seconds that the line has to take a Ctrl-C


class BoardManager:
    """Keeps the board of one ``--board`` alive from the first item that needs it to the end of the run."""

    def __init__(self, request: BoardRequest, context: LabContext) -> None:
        self.request = request
        self._context = context
        self._lease: Lease | None = None
        self._board: Board | None = None
        self._deployed: Target | None = None
        self._prepared = Prepared()
        self._failures: dict[str, Failure] = {}
        self._suspect = False
        self._used = False
        self._died: tuple[Death, str] | None = None
        #: whether the next shell has to be one that nobody has used since its boot
        self.pristine = False

    # -- for tests ----------------------------------------------------------------------------------------------

    @property
    def current(self) -> Board | None:
        """The board, if it is leased by now."""
        return self._board

    def failure(self, target: Target) -> Failure | None:
        """Why this target is out, if it is."""
        return self._failures.get(target.id) or self._failures.get("")

    def prepared(self, target: Target) -> Prepared:
        """What the target asks for, on this machine; no board is needed for it. ``BoardUnavailable``."""
        return self._try("deploy", target, lambda: self._context.preparation.of(target), alone=True)

    def ready(self, target: Target) -> Board:
        """The leased board with the target's kernel and image deployed. ``BoardUnavailable``."""
        prepared = self.prepared(target)
        self._describe(target.request)
        if self._board is None:
            self._try("deploy", target, lambda: self._again("lease", target, self._take))
        return self._try("deploy", target, lambda: self._deploy(target, prepared))

    def with_shell(self, target: Target) -> Board:
        """The same, booted to a shell that answers; recovered first if it died. ``BoardUnavailable``."""
        board = self.ready(target)
        self._look_at(board)
        self._recover(target, board, State.SHELL)
        return self._try("boot", target, lambda: self._boot(target, board))

    def with_bootloader(self, target: Target) -> Board:
        """The same at the boot loader's prompt. ``BoardUnavailable``."""
        return self._with(target, State.BOOTLOADER)

    def with_kernel(self, target: Target) -> Board:
        """The same with its kernel started, which may never offer a shell. ``BoardUnavailable``."""
        return self._with(target, State.KERNEL)

    def _with(self, target: Target, state: State) -> Board:
        board = self.ready(target)
        self._recover(target, board, state)
        self._try("boot", target, lambda: self._again("boot", target, lambda _: board.reach(state)))
        return board

    def suspect(self) -> None:
        """A test ended badly: make sure that the shell answers before the next one gets it."""
        self._suspect = True

    def lost(self, error: LavaError) -> None:
        """The board died under a test: recover it before the next one."""
        if self._board is not None:
            self._lose(self._board, death_of(error), str(error))

    def crash_nobody_saw(self) -> KernelCrash | None:
        """A finding of the watch that no console call met, unless the board proves that it lives."""
        board = self._board
        if board is None or board.state is not State.SHELL:
            return None
        finding = board.console.finding
        if finding is None:
            return None
        if finding is board.console.told:
            self._lose(board, Death.KERNEL, "its crash was expected by the test")
            return None
        return None if board.answers() else board.console.crash(finding)

    # -- the end ------------------------------------------------------------------------------------------------

    def boot_once_more(self, wanted: Callable[[Board], bool]) -> None:
        """Bring back a board that is dead at the end of the run, if its next boot is ``wanted`` for what it tells.

        Once, within the limits of one boot, and not with ``--recovery=none``. What goes wrong is told, not raised.
        """
        board, target, context = self._board, self._deployed, self._context
        if board is None or target is None or board.state is not State.LOST or context.recovery == "none":
            return
        if self.failure(target) or not wanted(board):
            return
        limits = board.config.model.timeouts
        board.total = Deadline.after(limits.power + limits.bootloader + limits.kernel + limits.login)
        try:
            self._rescue(target, board, State.SHELL, by_boot=True)
        except LavaError as error:
            context.events.emit(f"nothing could be collected after the last test: {error}", level="warning")
        finally:
            board.total = None

    def close(self) -> None:
        """Power off and give the board back. The lease goes even if the power does not.

        When an interrupt cuts this short, board and lease stay ours: call it again, or leave it to the guardian.
        """
        try:
            if self._board is not None:
                self._board.close()
        except LavaError:
            self._give_back()
            raise
        self._give_back()

    def _give_back(self) -> None:
        self._board = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    # -- failing ------------------------------------------------------------------------------------------------

    def _try(self, stage: str, target: Target, step: Callable[[], T], *, alone: bool = False) -> T:
        """Do a step; a failure is remembered and told. It is the target's ``alone``, or as its error says."""
        if known := self.failure(target):
            raise BoardUnavailable(known)
        start, t0 = utc_now(), monotonic()
        offset = self._board.console.end if self._board else 0
        try:
            return step()
        except LavaError as error:
            board = self._board
            failure = Failure(
                stage="wait" if isinstance(error, (BoardBusy, BoardQuarantined)) else stage,
                target=target,
                error=describe(error),
                start=start,
                seconds=monotonic() - t0,
                console=(offset, board.console.end) if board else (0, 0),
            )
            # a broken lab takes the board away from every kernel, a bad kernel only from itself
            alone = alone or (error.effect is Effect.BOARD and describe(error).blame.value == "job")
            self._failures[target.id if alone else ""] = failure
            if board is not None:
                with suppress(LavaError):
                    board.power_off()
            self._context.reports.failure(failure)
            raise BoardUnavailable(failure) from error

    def _again(self, phase: RetryPhase, target: Target, step: Callable[[Deadline], T]) -> T:
        """As often as the board file has it; each failure but that of an only try is told."""

        def told(attempt: Attempt) -> None:
            if attempt.number > 1 or not attempt.last:
                self._context.events.emit(str(attempt), level="warning", attempt=attempt.number)
                self._context.reports.attempt(target, self._board.name if self._board else "", attempt)

        def within(limit: Deadline) -> T:
            if self._board is None:
                return step(limit)
            self._board.total = limit
            try:
                return step(limit)
            finally:
                if self._board is not None:
                    self._board.total = None

        return again(self._policy, phase, within, told)

    @property
    def _policy(self) -> Retry:
        config = self._board.config if self._board else self.request.candidates[0]
        return config.model.retry

    # -- recovering ---------------------------------------------------------------------------------------------

    def _lose(self, board: Board, death: Death, why: str) -> None:
        if board.state is not State.LOST:
            self._died = death, why
        board.lose(why)

    def _look_at(self, board: Board) -> None:
        """After a test that ended badly: does its shell still answer?"""
        suspect, self._suspect = self._suspect, False
        if board.state is not State.SHELL or not (suspect or not board.at_ease):
            return
        if suspect:  # whatever the test left running is in the way: a time limit may have cut it short
            with suppress(LavaError):
                board.console.write(b"\x03", Deadline.after(_RESYNC))
        if not board.answers():
            death = Death.SHELL if board.console.attached and not board.console.finding else Death.KERNEL
            self._lose(board, death, "the shell does not answer")

    def _recover(self, target: Target, board: Board, goal: State) -> None:
        """Bring a board back that died; one that never came up is no matter of recovery."""
        if board.state is not State.LOST or board.boot_id == 0:
            return
        self._try("recovery", target, lambda: self._rescue(target, board, goal))

    def _rescue(self, target: Target, board: Board, goal: State, *, by_boot: bool = False) -> None:
        context, died = self._context, self._died
        death, why = died or (Death.KERNEL, "it was left in the middle of its way to a shell")
        if context.recovery == "none":
            raise not_tried(board.name, why)
        prepared, before = self._prepared, board.last_boot
        mode: RecoveryMode = "reboot" if by_boot else context.recovery
        rescue = Rescue(board, mode, lambda: board.deploy(prepared.kernel, prepared.image), by_boot=by_boot)
        recovery = rescue.climb(death, why, goal)
        context.reports.recovery(target, board, recovery)
        if rescue.error is not None:
            self._quarantine(board, rescue.error)
            raise rescue.error
        self._died = None
        self._used = recovery.by == "resync"
        if goal is State.SHELL and board.last_boot is not before:
            self._tell_boot(target, board)

    def _quarantine(self, board: Board, error: LavaError) -> None:
        """No later run is to meet it; an emulated board is another one each time."""
        if not isinstance(error, BoardLost) or board.config.model.emulated:
            return
        try:
            path = quarantine(board.name, str(error), run=self._context.folder)
        except InfrastructureError as problem:
            board.events.emit(str(problem), level="error")
        else:
            board.events.emit(f"board {board.name} is in quarantine: {path}", level="error")

    # -- forward ------------------------------------------------------------------------------------------------

    def _deploy(self, target: Target, prepared: Prepared) -> Board:
        board = self._board
        assert board is not None
        if self._deployed is not target:
            self._context.reports.target(target, board.config, prepared)
            self._again("deploy", target, lambda _: board.deploy(prepared.kernel, prepared.image))
            self._deployed, self._prepared = target, prepared
        return board

    def _boot(self, target: Target, board: Board) -> Board:
        if self.pristine and self._used and board.state is State.SHELL:
            board.power_off()
        self.pristine = False
        if board.state is not State.SHELL:
            self._again("boot", target, lambda _: board.reach(State.SHELL))
            self._tell_boot(target, board)
        self._used = True
        return board

    def _describe(self, request: BoardRequest) -> None:
        """The same board may be described otherwise, as a job wants it: then it is given back and taken anew."""
        if request is self.request:
            return
        if self._board is not None and request != self.request:
            self.close()
            self._deployed, self._died = None, None
            self._suspect = self._used = False
        self.request = request

    def _tell_boot(self, target: Target, board: Board) -> None:
        assert board.last_boot is not None
        self._context.reports.boot(target, board, board.last_boot)

    def _take(self, limit: Deadline) -> None:
        self._lease, self._board = take(self.request, self._context, limit)
        self._board.on_boot(self._put_in_the_rest)

    def _put_in_the_rest(self, board: Board) -> None:
        """What was to be in the image and could not be; packages for the board's own dpkg."""
        prepared = self._prepared
        if not (prepared.left or prepared.packages):
            return
        from pytest_lava.inject.onboard import deliver, install

        with self._context.events.phase("inject"):
            if prepared.left:
                deliver(board.shell, prepared.left, board.events)
            install(board.shell, prepared.packages)

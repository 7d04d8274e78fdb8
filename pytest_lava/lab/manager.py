"""One board for the length of a run: leased once, deployed per kernel and image, recovered when it died.

What is expensive lives here, outside pytest's fixture cache, which can neither retry nor recover.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pytest_lava.board.board import Board, BootRecord, State
from pytest_lava.config.boards import BoardConfig
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import BoardBusy, Effect, ErrorInfo, KernelCrash, LavaError, describe
from pytest_lava.events import EventLog, utc_now
from pytest_lava.lab.guardian import Guardian
from pytest_lava.lab.lease import Lease, lease_first
from pytest_lava.plan import BoardRequest, Prepared, Target
from pytest_lava.preparation import Preparation
from pytest_lava.transfer.api import TransferPolicy

__all__ = ["BoardManager", "BoardUnavailable", "Failure", "LabContext", "Reports"]

T = TypeVar("T")

_RESYNC = 1.0  # seconds that the line has to take a Ctrl-C


@dataclass(frozen=True)
class Failure:
    """Why nothing runs on a target any more; ``stage`` is deploy or boot."""

    stage: str
    target: Target
    error: ErrorInfo
    start: str
    seconds: float
    console: tuple[int, int]
    console_log: str

    @property
    def reason(self) -> str:
        """One line, as skipped items show it."""
        return f"{self.stage} of {self.target.id} failed: {self.error.message}"


class BoardUnavailable(Exception):
    """There is no board for this target; ``failure`` is the root cause, reported once already."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(frozen=True)
class Reports:
    """Whom the manager tells what happened."""

    target: Callable[[Target, BoardConfig, Prepared], None]
    boot: Callable[[Target, Board, BootRecord], None]
    failure: Callable[[Failure], None]


@dataclass(frozen=True)
class LabContext:
    """What the managers of one process share. ``wait`` is in seconds, for a board that is in use."""

    folder: Path
    only_board: bool
    guardian: Guardian
    events: EventLog
    wait: float
    reports: Reports
    preparation: Preparation
    transfer: TransferPolicy | None = None
    snapshots: bool = False


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
        return self._try("deploy", target, lambda: self._deploy(target, prepared))

    def with_shell(self, target: Target) -> Board:
        """The same, booted to a shell that answers; recovered first if it died. ``BoardUnavailable``."""
        board = self.ready(target)
        return self._try("boot", target, lambda: self._boot(target, board))

    def with_bootloader(self, target: Target) -> Board:
        """The same at the boot loader's prompt. ``BoardUnavailable``."""
        board = self.ready(target)

        def stop_there() -> Board:
            if board.state is State.LOST:
                board.recover()
            board.reach(State.BOOTLOADER)
            return board

        return self._try("boot", target, stop_there)

    def suspect(self) -> None:
        """A test ended badly: make sure that the shell answers before the next one gets it."""
        self._suspect = True

    def lost(self, why: str) -> None:
        """The board died under a test: recover it before the next one."""
        if self._board is not None:
            self._board.lose(why)

    def crash_nobody_saw(self) -> KernelCrash | None:
        """A finding of the watch that no console call met, unless the board proves that it lives."""
        board = self._board
        if board is None or board.state is not State.SHELL:
            return None
        finding = board.console.finding
        if finding is None:
            return None
        if finding is board.console.told:
            board.lose("its crash was expected by the test")
            return None
        return None if board.answers() else board.console.crash(finding)

    # -- the end ------------------------------------------------------------------------------------------------

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

    # -- inside -------------------------------------------------------------------------------------------------

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
                stage="wait" if isinstance(error, BoardBusy) else stage,
                target=target,
                error=describe(error),
                start=start,
                seconds=monotonic() - t0,
                console=(offset, board.console.end) if board else (0, 0),
                console_log=board.console.log.name if board else "",
            )
            # a broken lab takes the board away from every kernel, a bad kernel only from itself
            alone = alone or (error.effect is Effect.BOARD and describe(error).blame.value == "job")
            self._failures[target.id if alone else ""] = failure
            if board is not None:
                with suppress(LavaError):
                    board.power_off()
            self._context.reports.failure(failure)
            raise BoardUnavailable(failure) from error

    def _deploy(self, target: Target, prepared: Prepared) -> Board:
        board = self._board or self._take(target)
        if self._deployed is not target:
            self._context.reports.target(target, board.config, prepared)
            board.deploy(prepared.kernel, prepared.image)
            self._deployed = target
            self._prepared = prepared
        return board

    def _boot(self, target: Target, board: Board) -> Board:
        if board.state is State.SHELL and (self._suspect or not board.at_ease):
            if self._suspect:  # whatever the test left running is in the way: a time limit may have cut it short
                with suppress(LavaError):
                    board.console.write(b"\x03", Deadline.after(_RESYNC))
            self._suspect = False
            if not board.answers():
                board.lose("the shell does not answer")
        self._suspect = False
        if self.pristine and self._used and board.state is State.SHELL:
            board.power_off()
        self.pristine = False
        if board.state is State.LOST:
            board.recover()
        if board.state is not State.SHELL:
            board.reach(State.SHELL)
            assert board.last_boot is not None
            self._context.reports.boot(target, board, board.last_boot)
        self._used = True
        return board

    def _take(self, target: Target) -> Board:
        by_name = {config.name: config for config in self.request.candidates}
        wanted = [{name: _resources(config)} for name, config in by_name.items()]
        with self._context.events.phase("wait"):
            self._lease = lease_first(
                wanted,
                deadline=Deadline.after(self._context.wait),
                run=self._context.folder,
                events=self._context.events,
            )
        held = self._lease.boards[0]
        guard = self._context.guardian.for_board(held.lock_files)
        self._board = Board(
            by_name[held.name],
            log=self._log(held.name),
            guard=guard,
            events=self._context.events,
            transfer=self._context.transfer,
            shelf=self._context.preparation.shelf,
            snapshots=self._context.snapshots,
        )
        self._board.on_boot(self._put_in_the_rest)
        return self._board

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

    def _log(self, board: str) -> Path:
        return self._context.folder / ("console.log" if self._context.only_board else f"console-{board}.log")


def _resources(config: BoardConfig) -> list[str]:
    """What only one run may use at a time; an emulated board is started anew for each."""
    if config.model.emulated:
        return []
    return [f"board:{config.name}", f"serial:{config.model.console.url}", *config.model.locks]

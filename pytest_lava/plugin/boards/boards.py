"""The boards of this pytest process: managers by request, and the view of them that tests get."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import pytest

from pytest_lava.board.board import Board, State
from pytest_lava.boot.api import Bootloader
from pytest_lava.console.shell import Shell
from pytest_lava.errors import LavaError, TestTimeout
from pytest_lava.lab.manager import BoardManager, BoardUnavailable, Failure, LabContext
from pytest_lava.plan import Prepared, Target
from pytest_lava.plugin.reporting.facts import behind_pexpect

__all__ = ["BoardView", "Boards"]


class BoardView:
    """What tests see of a board. Skips the test that asks for what cannot be had."""

    def __init__(self, boards: Boards, target: Target) -> None:
        self._boards = boards
        self._target = target

    def __repr__(self) -> str:
        return f"<board {self._target.request.name}>"

    @property
    def name(self) -> str:
        """The name of the board that was leased."""
        return self._board.name

    @property
    def arch(self) -> str:
        """Its architecture: arm, arm64, x86_64..."""
        return self._board.config.arch

    @property
    def boot_id(self) -> int:
        """Counts boots: it changes whenever the board was started anew."""
        return self._board.boot_id

    @property
    def boot_seconds(self) -> float | None:
        """From power-on to the shell, at the last boot; None if the board was resumed and has not booted."""
        record = self._board.last_boot
        return record.seconds if record and not record.resumed else None

    @property
    def resumed(self) -> str:
        """When the state was kept in which the board was resumed (ISO time); empty if it has booted."""
        record = self._board.last_boot
        return record.resumed if record else ""

    @property
    def shell(self) -> Shell:
        """A live command line."""
        return self._boards.shell(self._target)

    @property
    def bootloader(self) -> Bootloader:
        """The boot loader's prompt; restarts the board."""
        return self._boards.bootloader(self._target)

    @property
    def console_log(self) -> Path:
        """The file with all that the board ever said."""
        return self._board.console.log

    def on_boot(self, callback: Callable[[Board], None]) -> Callable[[Board], None]:
        """Call ``callback(board)`` after each boot, recovery included."""
        return self._board.on_boot(callback)

    def reboot(self) -> Shell:
        """Power cycle the board; the shell after its boot, which no snapshot stands for."""
        board = self._board
        with self._boards.uncounted():
            board.recover(anew=True)
        return self._boards.shell(self._target)

    @property
    def _board(self) -> Board:
        return self._boards.ready(self._target)


class Boards:
    """All managers of this process; what fails is told once and skips the items that wanted it."""

    key = pytest.StashKey["Boards"]()

    def __init__(
        self, context: LabContext, uncounted: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._context = context
        #: surrounds what does not count towards a test's time limit, and is not cut short by it
        self.uncounted = uncounted
        self._managers: dict[str, BoardManager] = {}
        self._views: dict[str, BoardView] = {}

    def view(self, target: Target) -> BoardView:
        """The view of a target's board; leases and deploys, and never raises for it: items ask :meth:`ready`."""
        if target.id not in self._views:
            self._views[target.id] = BoardView(self, target)
        with suppress(BoardUnavailable), self.uncounted():  # reported; the items are skipped one by one
            self.manager(target).ready(target)
        return self._views[target.id]

    def want_pristine(self, target: Target, wanted: bool) -> None:
        """Whether the item that begins wants a shell as it was right after boot. One that cannot be had fails it."""
        if wanted and all(board.boot.driver.attaches for board in target.request.candidates):
            pytest.fail(
                f"board {target.request.name} is never restarted, so no test on it is pristine: "
                'leave out the mark, or use a board with a boot method other than "attach"',
                pytrace=False,
            )
        self.manager(target).pristine = wanted

    def prepared(self, target: Target) -> Prepared:
        """What the target asks for, on this machine; nothing if it cannot be had: items ask :meth:`ready`."""
        with suppress(BoardUnavailable), self.uncounted():
            return self.manager(target).prepared(target)
        return Prepared()

    def ready(self, target: Target) -> Board:
        """The deployed board, or the item is skipped."""
        return self._or_skip(self.manager(target).ready, target)

    def shell(self, target: Target) -> Shell:
        """A live shell, or the item is skipped."""
        return self._or_skip(self.manager(target).with_shell, target).shell

    def bootloader(self, target: Target) -> Bootloader:
        """The boot loader's prompt, or the item is skipped."""
        return self._or_skip(self.manager(target).with_bootloader, target).bootloader

    def revived(self, target: Target, death: LavaError) -> Board:
        """The board that died in the middle of an item, recovered and at its shell; else ``death`` is raised."""
        self.note_end(target, death)
        try:
            with self.uncounted():
                return self.manager(target).with_shell(target)
        except BoardUnavailable:  # it was told
            raise death from None

    def kernel(self, target: Target) -> Board:
        """A board whose kernel was started, or the item is skipped."""
        return self._or_skip(self.manager(target).with_kernel, target)

    def fetch(self, text: str, limit: float) -> Path:
        """See :meth:`pytest_lava.preparation.Preparation.fetch`."""
        return self._context.preparation.fetch(text, limit)

    def skip_if_unavailable(self, target: Target) -> None:
        """Skip the item if its target is known to be out."""
        if failure := self.manager(target).failure(target):
            pytest.skip(failure.reason)

    def failure_behind(self, target: Target | None, error: BaseException | None) -> Failure | None:
        """The root cause if ``error`` skips an item because its target is out."""
        if target is None or not isinstance(error, pytest.skip.Exception):
            return None
        failure = self.manager(target).failure(target)
        return failure if failure and error.msg == failure.reason else None

    def raise_crash_nobody_saw(self, target: Target) -> None:
        """A crash while the test did something else is the test's failure too."""
        with self.uncounted():
            crash = self.manager(target).crash_nobody_saw()
        if crash:
            raise crash

    def note_end(self, target: Target, error: BaseException | None) -> None:
        """How a test on ``target`` ended decides whether its board is looked at before the next one."""
        manager = self.manager(target)
        error = behind_pexpect(error) if error else None
        if isinstance(error, LavaError) and error.recovers:
            manager.lost(error)
        elif isinstance(error, TestTimeout) and manager.current and manager.current.state is State.BOOTLOADER:
            manager.lost(error)  # what runs at its prompt has not ended
        elif error is not None:
            manager.suspect()

    def board(self, target: Target | None) -> Board | None:
        """The board of a target as far as there is one by now."""
        return self._managers[target.request.name].current if target and target.request.name in self._managers else None

    def manager(self, target: Target) -> BoardManager:
        """The manager that serves a target."""
        name = target.request.name
        if name not in self._managers:
            self._managers[name] = BoardManager(target.request, self._context)
        return self._managers[name]

    def boot_once_more(self, wanted: Callable[[Board], bool]) -> None:
        """See :meth:`BoardManager.boot_once_more`; one after the other."""
        for manager in self._managers.values():
            manager.boot_once_more(wanted)

    def close(self) -> list[LavaError]:
        """Power off and release all; what went wrong, one error a board at most."""
        errors: list[LavaError] = []
        for manager in self._managers.values():
            try:
                manager.close()
            except LavaError as error:
                errors.append(error)
        self._context.preparation.close()
        return errors

    def _or_skip(self, step: Callable[[Target], Board], target: Target) -> Board:
        try:
            with self.uncounted():
                return step(target)
        except BoardUnavailable as error:
            pytest.skip(error.failure.reason)

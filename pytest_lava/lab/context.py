"""What the managers of one process share: where things are, how far to go, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.board.board import Board, BootRecord
from pytest_lava.config.boards import BoardConfig
from pytest_lava.events import EventLog
from pytest_lava.lab.failure import Failure
from pytest_lava.lab.guardian import Guardian
from pytest_lava.lab.recovery import Recovery
from pytest_lava.lab.retry import Attempt
from pytest_lava.plan import Prepared, RecoveryMode, Target
from pytest_lava.preparation import Preparation
from pytest_lava.transfer.api import TransferPolicy

__all__ = ["LabContext", "Reports"]


@dataclass(frozen=True)
class Reports:
    """Whom the manager tells what happened: a target is used, a board booted, nothing runs on a target any more, a dead
    board was dealt with, a try failed that was not the only one."""

    target: Callable[[Target, BoardConfig, Prepared], None]
    boot: Callable[[Target, Board, BootRecord], None]
    failure: Callable[[Failure], None]
    recovery: Callable[[Target, Board, Recovery], None] = lambda target, board, recovery: None
    attempt: Callable[[Target, str, Attempt], None] = lambda target, board, attempt: None


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
    recovery: RecoveryMode = "redeploy"

    def log_of(self, board: str) -> Path:
        """A console log for a board; one that is taken anew gets another one."""
        stem = "console" if self.only_board else f"console-{board}"
        names = (f"{stem}.log", *(f"{stem}-{number}.log" for number in range(2, 1000)))
        return next(path for name in names if not (path := self.folder / name).exists())

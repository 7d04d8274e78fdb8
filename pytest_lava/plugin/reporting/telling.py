"""What boards do goes to the journal: phases, targets that are used, boots."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_lava.board.board import Board, BootRecord
from pytest_lava.config.boards import BoardConfig
from pytest_lava.events import Phase
from pytest_lava.lab.telling import told_boot, told_target
from pytest_lava.plan import Prepared, Target
from pytest_lava.results.kernel_messages import KERNEL_MESSAGES

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Telling"]


class Telling:
    """Whom event log and managers tell."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def phase(self, phase: Phase) -> None:
        """One phase ended."""
        run = self._run
        if run.journal is not None:
            target = run.reporting.current_target
            run.journal.write("phase", **asdict(phase), target=target.id if target else "")

    def target(self, target: Target, config: BoardConfig, prepared: Prepared) -> None:
        """The board is leased, and about to be deployed."""
        run = self._run
        assert run.journal is not None
        board = run.boards.board(target) if run.boards else None
        log = run.log_name(board.console.log if board else None)
        about = told_target(target.id, config, prepared)
        if target.job:
            about["job"] = dict(target.job.attributes)
        run.journal.write("target", **about, console_log=log)

    def boot(self, target: Target, board: Board, record: BootRecord) -> None:
        """It is at its shell; what it said on its way there, and of a crash before, comes with it."""
        run = self._run
        assert run.journal is not None
        said = run.kernel_messages.of_boot(board, record)
        run.journal.write(
            "resume" if record.resumed else "boot",
            board=board.name,
            durable=True,
            target=target.id,
            **told_boot(record),
            console_log=run.log_name(board.console.log),
            **({KERNEL_MESSAGES: said} if said else {}),
        )
        run.crash.after_boot(board, record)

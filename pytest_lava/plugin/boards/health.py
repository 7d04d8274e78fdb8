"""After a run: a board that gave trouble too often of late is checked, and that decides whether it is used again."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_lava.errors import LavaError
from pytest_lava.plugin.board_files import board_files
from pytest_lava.results.journal import read

if TYPE_CHECKING:
    from pytest_lava.config.boards import BoardConfig
    from pytest_lava.plugin.run import Run

__all__ = ["HealthAfterTrouble"]


class HealthAfterTrouble:
    """Counts the lab's faults of this run, board by board; see ``[health]`` of board files.

    An emulated board is another one each time, so there is nothing to count.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._interrupted = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Whoever interrupts a run waits for its end, and not for more."""
        self._interrupted = int(exitstatus) == pytest.ExitCode.INTERRUPTED or int(exitstatus) > 128

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """All is written, and the boards are free."""
        if self._run.journal is None:
            return
        terminal = config.pluginmanager.getplugin("terminalreporter")
        tell = terminal.write_line if terminal else functools.partial(print, file=sys.stderr)
        try:
            for board in list(self._suspects()):
                for line in self._check(config, board):
                    tell(line)
        except (LavaError, OSError) as error:
            tell(f"no health check: {error}")
        except KeyboardInterrupt:
            tell("the health check was interrupted")

    def _suspects(self) -> Iterator[BoardConfig]:
        """Boards with as many faults as their file has it. What is in quarantine is known to be bad."""
        from pytest_lava.lab.quarantine import find
        from pytest_lava.lab.trouble import faults, note, recent

        lines = read(self._run.folder)
        found = faults(lines)
        boards = {
            board.name: board for target in self._run.plan.targets for board in target.request.candidates
        }  # fmt: skip
        for name, board in boards.items():
            new = [why for where, why in found if where == name]
            if not new or board.model.emulated:
                continue
            for why in new:
                note(name, why, run=self._run.folder)
            health = board.model.health
            count = len(recent(name, health.within))
            if 0 < health.after <= count and not self._interrupted and find(name) is None:
                yield board

    def _check(self, config: pytest.Config, board: BoardConfig) -> Iterator[str]:
        from pytest_lava.lab.health_commands import check_board, conclude
        from pytest_lava.lab.trouble import recent

        count = len(recent(board.name, board.model.health.within))
        yield f"board {board.name} had {count} lab faults of late: checking its health ..."
        health = check_board(board, board_files(config), self._run.folder / f"health-{board.name}")
        yield from conclude(health, board, free=False, isolate=True)

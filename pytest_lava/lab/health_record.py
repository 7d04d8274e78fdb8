"""What is kept of health checks: a journal in the run folder, and one line each in the user's history."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_lava.board.board import Board
from pytest_lava.errors import ExitStatus
from pytest_lava.events import Phase
from pytest_lava.lab.health import Health, Step
from pytest_lava.lab.telling import told_boot, told_run, told_target
from pytest_lava.plan import Prepared
from pytest_lava.results.journal import Journal

__all__ = ["Entry", "HealthJournal", "history", "history_file", "remember"]

_SUITE = "health"


class HealthJournal:
    """Writes a check down as any run, so that ``pytest-lava bundle`` and ``junit`` can be made of it."""

    def __init__(self, folder: Path, target: str) -> None:
        self._journal = Journal(folder / "journal.jsonl", run=str(uuid.uuid4()))
        self._target = target
        self._board: Board | None = None
        self._booted = 0
        self._told = False
        self._journal.write("run", **told_run(sys.argv, Path.cwd(), [target]))

    def phase(self, phase: Phase) -> None:
        """For the event log."""
        self._journal.write("phase", **asdict(phase), target=self._target)

    def board(self, board: Board) -> None:
        """The board is leased."""
        self._board = board

    def prepared(self, prepared: Prepared) -> None:
        """What it is to boot is here; nothing of it if that failed."""
        board, self._told = self._board, True
        if board is not None:
            about = told_target(self._target, board.config, prepared)
            self._journal.write("target", **about, console_log=board.console.log.name)

    def step(self, step: Step) -> None:
        """One step ended."""
        board, log = self._board, {}
        if board is not None:
            if not self._told:
                self.prepared(Prepared())
            log = {"console": list(step.console), "console_log": board.console.log.name}
            self._boot(board)
        self._journal.write(
            "outcome", board=self._target, durable=step.outcome == "failed", nodeid=f"{_SUITE}::{step.name}",
            suite=_SUITE, case=step.name, target=self._target, when="call", outcome=step.outcome,
            seconds=round(step.seconds, 6), start=step.start, stop=step.stop, message=step.told, longrepr=step.told,
            sections=[], properties=[], error=step.error and {**asdict(step.error)}, **log,
        )  # fmt: skip

    def close(self, health: Health | None) -> None:
        """The end, if it came to one."""
        if health is not None:
            status = 0 if health.healthy else int(ExitStatus.LAB_FAULT)
            self._journal.write("end", durable=True, status=status, seconds=round(health.seconds, 6))
        self._journal.close()

    def _boot(self, board: Board) -> None:
        boot = board.last_boot
        if boot is None or boot.boot_id == self._booted:
            return
        self._booted = boot.boot_id
        self._journal.write(
            "boot", board=board.name, target=self._target, **told_boot(boot), console_log=board.console.log.name
        )


@dataclass(frozen=True)
class Entry:
    """One check of the history. ``steps`` are the seconds of those that passed."""

    time: str
    board: str
    healthy: bool
    seconds: float
    why: str = ""
    steps: dict[str, float] | None = None
    folder: str = ""


def history_file() -> Path:
    """``health.jsonl`` in the user's state folder."""
    import platformdirs

    return platformdirs.user_state_path("pytest-lava") / "health.jsonl"


def remember(health: Health, file: Path | None = None) -> None:
    """Add a check to the history. ``OSError`` if it cannot be written."""
    steps = {step.name: round(step.seconds, 3) for step in health.steps if step.outcome == "passed"}
    entry = Entry(
        health.start, health.board, health.healthy, round(health.seconds, 3), health.why, steps, str(health.folder)
    )
    file = file or history_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, json.dumps(asdict(entry), ensure_ascii=False).encode(errors="replace") + b"\n")
    finally:
        os.close(fd)


def history(boards: Sequence[str] = (), file: Path | None = None) -> list[Entry]:
    """The checks of these boards (of all, if none is named), oldest first. Lines that cannot be read are left out."""
    found = []
    with suppress(FileNotFoundError):
        for line in (file or history_file()).read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                known: dict[str, Any] = json.loads(line)
                entry = Entry(**known)
                if not boards or entry.board in boards:
                    found.append(entry)
    return found

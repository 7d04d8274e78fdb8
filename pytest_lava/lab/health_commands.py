"""``pytest-lava health``: check boards, tell and record what was found; let them out of quarantine, or put them in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_lava.config.boards import BoardConfig, BoardFiles
from pytest_lava.config.paths import board_folders
from pytest_lava.deadline import Deadline
from pytest_lava.errors import BoardBusy, ConfigurationError, ExitStatus
from pytest_lava.events import EventLog
from pytest_lava.images.cache import cache_dir
from pytest_lava.lab.guardian import Guardian
from pytest_lava.lab.health import Checkup, Health, Step, plan_checkup
from pytest_lava.lab.health_record import HealthJournal, history, remember
from pytest_lava.lab.quarantine import find, quarantine, release
from pytest_lava.lab.trouble import forget
from pytest_lava.registry import Registry, plugin_manager
from pytest_lava.results.run_folders import name_of_now, names
from pytest_lava.told_times import minute

__all__ = ["check_board", "conclude", "health"]

_WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


def health(arguments: argparse.Namespace) -> int:
    """Check the boards of ``arguments.board``, or list earlier checks; the exit status."""
    if arguments.history:
        return _history(arguments.board)
    if not arguments.board:
        raise ConfigurationError("no board was given: pytest-lava health BOARD; `pytest-lava boards` lists them")
    files = BoardFiles(board_folders(Path.cwd()), Registry(plugin_manager()))
    boards = {config.name: config for name in arguments.board for config in files.candidates(name)}
    worst = 0
    for config in boards.values():
        folder = _folder(arguments.runs, config.name)
        try:
            found = check_board(config, files, folder, wait=arguments.wait, told=_print_step)
        except BoardBusy as error:
            print(f"{config.name} was not checked: {error}", flush=True)
            worst = ExitStatus.LAB_FAULT
            continue
        for line in conclude(found, config, free=arguments.release, isolate=arguments.quarantine):
            print(line, flush=True)
        worst = worst if found.healthy else ExitStatus.LAB_FAULT
    return worst


def check_board(
    config: BoardConfig, files: BoardFiles, folder: Path, *, wait: float = 0.0, told: Any = lambda step: None
) -> Health:
    """Check one board and record it in ``folder`` and in the history. ``ConfigurationError``, ``BoardBusy``."""
    with Guardian() as guardian:
        plan = plan_checkup(config, files, folder, guardian, cache_dir())
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot make {folder}: {error.strerror}; give another place with --runs"
            ) from None
        journal, health = HealthJournal(folder, config.name), None
        events = EventLog(folder / "events.jsonl", on_phase=journal.phase)

        def on_step(step: Step) -> None:
            journal.step(step)
            told(step)

        try:
            told(Step("", "", told=f"{config.name} ({config.model.description or config.arch})"))
            health = Checkup(config, plan, guardian, events, on_step, journal.board, journal.prepared).run(
                Deadline.after(wait)
            )
        finally:
            journal.close(health)
            events.close()
    remember(health)
    return health


def conclude(health: Health, config: BoardConfig, *, free: bool, isolate: bool) -> list[str]:
    """What follows from a check, done and told. An emulated board is another one each time: nothing follows for it."""
    name, out = health.board, None if config.model.emulated else find(health.board)
    if health.healthy:
        forget(name)
        lines = [f"{name} is healthy ({health.seconds:.1f} s) [{_short(health.folder)}]"]
        if out and free:
            release(name)
            lines.append(f"{name} can be used again: it was {out.describe()}")
        elif out:
            lines.append(f"{name} stays {out.describe()}; to let runs use it: pytest-lava boards --release {name}")
        return lines
    lines = [f"{name} is not healthy: {health.why} [{_short(health.folder)}]"]
    if isolate and not config.model.emulated:
        path = quarantine(name, f"not healthy: {health.why}", run=health.folder)
        lines.append(f"{name} is in quarantine, no run uses it: {path}")
    return lines


def _print_step(step: Step) -> None:
    if not step.name:
        print(step.told, flush=True)
        return
    took = f"{step.seconds:7.1f} s" if step.outcome != "skipped" else " " * 9
    print(f"  {step.name:<8} {_WORDS[step.outcome]:<6} {took}  {step.told}".rstrip(), flush=True)


def _history(boards: Sequence[str]) -> int:
    found = history(boards)
    for entry in found:
        when = datetime.fromisoformat(entry.time)
        steps = ", ".join(f"{name} {took:.1f}" for name, took in (entry.steps or {}).items())
        told = "healthy" if entry.healthy else f"NOT healthy: {entry.why}"
        print(f"{minute(when)}  {entry.board:<16} {entry.seconds:6.1f} s  {told} ({steps})")
    if not found:
        print(f"no check of {', '.join(boards) or 'any board'} is recorded")
    return 0


def _folder(parent: Path, board: str) -> Path:
    """A name that is not taken; made when the check begins."""
    found = names(parent.absolute(), name_of_now(f"health-{board}"))
    return next(folder for folder in found if not folder.exists())


def _short(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)

"""What came of submitting, in a line for people; and the command that does what is left."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from pytest_lava.spool.item import Item
from pytest_lava.spool.sending import Outcome
from pytest_lava.spool.store import default_folder
from pytest_lava.told_times import roughly

__all__ = ["command", "line", "refused_command", "waiting_command"]


def line(outcome: Outcome) -> str:
    """Sink, where its server has it, or why not and when it is tried again."""
    if outcome.status == "sent":
        return f"{outcome.sink}: {outcome.where}" if outcome.where else outcome.sink
    reason = outcome.reason or f"{outcome.where} was not tried yet"
    later = f" (due in {roughly(outcome.pause)})" if outcome.status == "waiting" and outcome.pause >= 1 else ""
    return f"{outcome.sink}: {reason}{later}"


def waiting_command(folder: Path) -> str:
    """Sends what is waiting in the spool."""
    return command("submit --all", folder)


def refused_command(folder: Path, items: Iterable[Item]) -> str:
    """Lets what failed be sent once more."""
    names = dict.fromkeys(item.name for item in items)
    return command(f"spool retry {' '.join(names)}", folder)


def command(words: str, folder: Path) -> str:
    """A command line of ours, for this spool."""
    where = "" if folder == default_folder() else f" --lava-spool {shlex.quote(str(folder))}"
    return f"pytest-lava {words}{where}"

"""The seam between a board and whatever switches it: ``Power``, and what a driver is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
from pytest_lava.events import EventLog

__all__ = ["Forget", "Guard", "KeepsState", "Power", "PowerContext", "ProvidesConsole", "TakesMedia"]

Forget = Callable[[], None]


class Guard(Protocol):
    """Cleans up for us if this process dies without teardown. Each call returns what revokes it."""

    def process(self, pid: int, *, leavings: Sequence[str] = ()) -> Forget:
        """Kill the process ``pid`` (if it is still the same one), and remove what it left: patterns of files."""

    def command(self, command: str) -> Forget:
        """Run the shell command ``command``: a power-off."""


@dataclass(frozen=True)
class PowerContext:
    """What a power driver is given: the board's name, the folder its relative paths start from, guard and event log."""

    board: str
    folder: Path
    guard: Guard
    events: EventLog


class Power(Protocol):
    """Switches one board. Every method raises ``PowerError`` and honours its deadline."""

    def check(self) -> None:
        """Look, without touching the board, whether this can work here: ``ConfigurationError`` says what is missing."""

    def on(self, deadline: Deadline) -> None:
        """Switch on; a board that is on stays on."""

    def off(self, deadline: Deadline) -> None:
        """Switch off; a board that is off stays off."""

    def cycle(self, deadline: Deadline) -> None:
        """Off, the settle time, on."""


@runtime_checkable
class ProvidesConsole(Protocol):
    """A power driver that makes the serial line itself, as an emulator does: a new one at each power-on."""

    def console(self) -> Transport:
        """The line of the running board."""


@runtime_checkable
class TakesMedia(Protocol):
    """A power driver that is also the machine's drive bay: what is deployed is handed to its command line."""

    def insert(self, arguments: Sequence[str]) -> None:
        """Use these arguments from the next power-on."""


@runtime_checkable
class KeepsState(Protocol):
    """A power driver that can keep the state of the running machine, memory and drives, and switch it on with that."""

    @property
    def keeps_state(self) -> bool:
        """Whether this machine can do so, as far as its board file tells."""

    def identity(self, cache: Path) -> str:
        """A hash of all that the state depends on, as it would be switched on now; ``cache`` remembers those of files.

        ``PowerError`` if it depends on what cannot be hashed.
        """

    def keep(self, folder: Path, deadline: Deadline) -> None:
        """Write the state into the empty ``folder``. The machine stands still meanwhile, and goes on whatever happens.

        ``PowerError`` if its state cannot be kept, ``OSError`` for the folder.
        """

    def restore(self, folder: Path, deadline: Deadline) -> None:
        """Switch on with what :meth:`keep` wrote, for the same :meth:`identity`; the machine runs on.

        ``PowerError`` if that does not work, and the machine may be on all the same.
        """

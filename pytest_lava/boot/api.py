"""The seam between a board and its boot chain: ``Boot``, ``Bootloader``, and what they are given to work with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from pytest_lava.config.model import Login
from pytest_lava.console.console import Console
from pytest_lava.console.files import Progress
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import Deployment
from pytest_lava.events import EventLog

__all__ = ["Boot", "BootContext", "Bootloader"]


@dataclass(frozen=True)
class BootContext:
    """What a boot method is given."""

    board: str
    console: Console
    login: Login
    events: EventLog
    command_timeout: float
    #: what names of our files on the board begin with
    tag: str = ""
    #: seconds that a command may be silent; None: as long as it may take
    silence: float | None = None


class Bootloader(Protocol):
    """The prompt of a boot loader."""

    def run(self, command: str, *, timeout: float = 30.0) -> str:
        """Run a command and return what it printed. ``OperationFailed`` if it says that it failed, ``Timeout``."""

    def start(self, command: str) -> None:
        """Type a command that does not come back by itself, such as ``ums 0 mmc 0``. Nothing is checked."""

    def load(
        self,
        file: str | os.PathLike[str],
        address: int | str = ...,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Bring a file to memory over the serial line, checked. Returns the address as a number.

        ``address`` is a number or what the boot loader makes one of (``${loadaddr}``). ``timeout`` in seconds; without
        one it is as long as a slow line takes. ``OperationFailed`` if the file or the load is at fault, ``Timeout``;
        the prompt is there after both.
        """


class Boot(Protocol):
    """Walks a board that was just switched on forward, one step at a time."""

    #: whether there is a boot loader prompt to stop at
    has_bootloader: bool
    #: whether the board is taken as it is, without a power-on before
    attaches: bool

    def bootloader(self, deadline: Deadline) -> Bootloader:
        """Stop at the boot loader's prompt. ``InfrastructureError`` if there is none in time."""

    def kernel(self, bootloader: Bootloader | None, deployment: Deployment, deadline: Deadline) -> None:
        """Hand over to the kernel. ``BootFailed`` if the boot loader cannot load or start it."""

    def shell(self, deadline: Deadline) -> Shell:
        """Log in."""

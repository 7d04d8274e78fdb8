"""A board's serial line: opened when its power allows it, and closed when that ends."""

from __future__ import annotations

from contextlib import suppress

from pytest_lava.config.model import Console as ConsoleTable
from pytest_lava.console.console import Console
from pytest_lava.console.leavings import leavings, new_tag
from pytest_lava.console.lines import open_line, open_line_when_there
from pytest_lava.console.paced import paced
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, NetworkError, PortMissing
from pytest_lava.power.api import Forget, Guard, Power, ProvidesConsole

__all__ = ["BoardLine"]


class BoardLine:
    """What ``[console]`` of the board file describes, read and written by ``console``."""

    def __init__(self, board: str, table: ConsoleTable, console: Console, power: Power, guard: Guard) -> None:
        self._board = board
        self._table = table
        self._console = console
        self._power = power
        self._guard = guard
        self._forget_process: Forget | None = None
        #: what names of our files begin with on a board that is this machine
        self.tag = new_tag() if self.is_process else ""

    @property
    def own(self) -> bool:
        """Whether the line lives and dies with the board's power."""
        return self._table.url == "power" or self.is_process

    @property
    def is_process(self) -> bool:
        """Whether the board is a process on a pty of this machine."""
        return self._table.url.startswith("exec:")

    def attach_early(self) -> None:
        """Open the line before the power goes on, so that no early output is lost; not all lines are there yet."""
        if self._console.attached:
            return
        self._console.detach()
        with suppress(PortMissing, NetworkError):
            transport, _ = open_line(self._table.url, self._table.settings)
            self._console.attach(transport)

    def attach(self, limit: Deadline) -> None:
        """Open the line of a board that is on; an ``InfrastructureError`` if it does not come until then."""
        if self._table.url == "power":
            if not isinstance(self._power, ProvidesConsole):
                raise ConfigurationError(
                    f'board {self._board!r}: console = "power" needs a power method that makes one, such as "qemu"'
                )
            self._console.attach(paced(self._power.console(), self._table.settings))
            return
        transport, process = open_line_when_there(self._table.url, self._table.settings, limit, self.tag)
        if process is not None:
            self._forget_process = self._guard.process(process, leavings=leavings(self.tag, process))
        self._console.attach(transport)

    def drop(self) -> None:
        """Close it; a board that is a process ends."""
        try:
            self._console.detach()
        finally:
            forget, self._forget_process = self._forget_process, None
            if forget is not None:
                forget()

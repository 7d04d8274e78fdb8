"""A board's power and its serial line, which come together and go together."""

from __future__ import annotations

from collections.abc import Callable

from pytest_lava.board.line import BoardLine
from pytest_lava.console.console import Console
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import PowerError
from pytest_lava.events import EventLog
from pytest_lava.power.api import Power

__all__ = ["Switch"]


class Switch:
    """Switches one board on and off. ``attaches``: it runs already, and is not ours to switch."""

    def __init__(self, power: Power, line: BoardLine, console: Console, events: EventLog, *, attaches: bool) -> None:
        self._power, self._line, self._console, self._events = power, line, console, events
        self._attaches = attaches
        #: whether it was switched on, or was about to be
        self.used = False

    def on(self, limit: Deadline, restore: Callable[[Deadline], None] | None = None) -> float:
        """On, or off and on again, with its line attached; when that began (monotonic clock).

        ``restore`` does it in the power's place, in a state that was kept. ``PowerError``, or what keeps the line away.
        """
        if not self._line.own:
            self._line.attach_early()
        self._console.mark_boundary()
        begun = monotonic()
        first, self.used = not self.used, True  # before: an interrupt may come in between
        if self._attaches or self._line.is_process:
            pass  # nothing to switch: it runs already, or opening its line starts it
        elif restore is not None:
            restore(limit)
        elif first:
            begun = self._first_on(limit)
        else:
            self._power.cycle(limit)
        if not self._console.attached:
            # nothing is switched on that could bring the line up later
            self._line.attach(Deadline.after(0) if self._attaches else limit)
        return begun

    def off(self, limit: Deadline) -> None:
        """Off, and the line closed if it lives and dies with the power. ``PowerError``."""
        if self._line.own:
            self._line.drop()
        if not self._line.is_process:
            self._power.off(limit)
        self._console.mark_boundary()

    def _first_on(self, limit: Deadline) -> float:
        """Off first, as who had it before may have left it on; that may fail where nothing is to be switched off."""
        begun = monotonic()
        try:
            self._power.off(limit)
        except PowerError as error:
            self._events.emit(f"could not switch off before the first power-on: {error}", level="warning")
            self._power.on(limit)
            return begun
        self._console.mark_boundary()  # what the board said until now is no answer to us
        begun = monotonic()
        self._power.cycle(limit)
        return begun

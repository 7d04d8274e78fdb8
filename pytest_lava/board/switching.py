"""The first power-on of a board in a run: who had it before may have left it on."""

from __future__ import annotations

from pytest_lava.console.console import Console
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import PowerError
from pytest_lava.events import EventLog
from pytest_lava.power.api import Power

__all__ = ["first_power_on"]


def first_power_on(power: Power, console: Console, limit: Deadline, events: EventLog) -> float:
    """Off first, which may fail where nothing is to be switched off; when switching on began (monotonic clock)."""
    begun = monotonic()
    try:
        power.off(limit)
    except PowerError as error:
        events.emit(f"could not switch off before the first power-on: {error}", level="warning")
        power.on(limit)
        return begun
    console.mark_boundary()  # what the board said until now is no answer to us
    begun = monotonic()
    power.cycle(limit)
    return begun

"""Which way files go: over a network where the board has one and it works, else over the serial line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pytest_lava.deadline import Deadline
from pytest_lava.errors import NetworkError
from pytest_lava.events import EventLog
from pytest_lava.transfer.api import Carrier, Mode
from pytest_lava.transfer.compression import keeps_up

__all__ = ["WORTH_A_NETWORK", "Way", "Ways"]

Way = Literal["put", "get"]

#: bytes; for smaller files a serial line is as good as a network that has to be tried first
WORTH_A_NETWORK = 32 << 10


class Ways:
    """The carriers of one shell.

    A network that fails is not tried again in the same direction: it would take its time every time.
    """

    def __init__(self, serial: Carrier, networks: Sequence[Carrier], mode: Mode, events: EventLog) -> None:
        self._serial = serial
        fitting = [carrier for carrier in networks if mode in {"auto", carrier.name}]
        self._networks: dict[Way, list[Carrier]] = {"put": fitting, "get": fitting.copy()}
        self._mode = mode
        self._events = events
        self._told: set[str] = set()

    def prepare(self, deadline: Deadline) -> None:
        """Get the shell back from a transfer that was cut, and learn what its line can do."""
        self._serial.ready(deadline)

    @property
    def plain_from(self) -> int | None:
        """Bytes from which on files are not compressed on the board, as they go over something fast.

        ``None`` if all are.
        """
        if self._mode not in {"auto", "serial"} or not keeps_up(self._serial.rate):
            return 0
        return WORTH_A_NETWORK if self._networks["get"] else None

    def carry(self, way: Way, move: Callable[[Carrier], None], size: int, deadline: Deadline) -> None:
        """Have ``move`` move ``size`` bytes by the best carrier that works.

        ``NetworkError`` only if a network was insisted on.
        """
        if self._mode != "auto" or size >= WORTH_A_NETWORK:
            for carrier in list(self._networks[way]):
                try:
                    carrier.ready(deadline)
                    if carrier.name not in self._told:
                        self._told.add(carrier.name)
                        self._events.emit(f"files go by {carrier.name}", carrier=carrier.name)
                    move(carrier)
                    return
                except NetworkError as error:
                    if self._mode != "auto":
                        raise
                    self._networks[way].remove(carrier)
                    why = f"{way} does not go by {carrier.name} any more: {error}"
                    self._events.emit(why, level="warning", carrier=carrier.name)
        if self._mode not in {"auto", "serial"}:
            raise NetworkError(f"--transfer={self._mode} cannot be used on this board: leave it out")
        move(self._serial)

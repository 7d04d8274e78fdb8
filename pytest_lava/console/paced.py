"""Typing slowly, for boards that lose what comes too fast: a UART without FIFO, a boot loader that polls."""

from __future__ import annotations

import threading

from pytest_lava.console.settings import LineSettings
from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConsoleLost, Timeout

__all__ = ["PacedTransport", "paced"]


def paced(line: Transport, settings: LineSettings) -> Transport:
    """The line as it is, or typed to as slowly as the settings say."""
    return PacedTransport(line, settings.txdelay, settings.txchunk) if settings.txdelay else line


class PacedTransport:
    """Another transport: ``chunk`` bytes, then ``delay`` seconds before the next, also from one write to the next."""

    def __init__(self, line: Transport, delay: float, chunk: int) -> None:
        self._line, self._delay, self._chunk = line, delay, chunk
        self._closed = threading.Event()
        self._ready = 0.0  # when the board has digested the last chunk

    @property
    def name(self) -> str:
        """How people call the line."""
        return self._line.name

    def fileno(self) -> int:
        """That of the line."""
        return self._line.fileno()

    def read(self) -> bytes:
        """What the line says."""
        return self._line.read()

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Write everything. ``Timeout`` if that takes longer than allowed, ``ConsoleLost`` if the line is gone."""
        for at in range(0, len(data), self._chunk):
            if (early := self._ready - monotonic()) > 0 and self._closed.wait(min(early, deadline.remaining())):
                raise ConsoleLost(f"the console {self.name} is closed")
            if at and deadline.expired:
                raise Timeout(
                    f"the console {self.name} took only {at} of {len(data)} bytes in time: "
                    f"[console] txdelay lets it take {self._chunk / self._delay:.0f} bytes a second"
                )
            self._line.write(data[at : at + self._chunk], deadline)
            self._ready = monotonic() + self._delay

    def send_break(self, seconds: float = 0.25) -> None:
        """As the line does."""
        self._line.send_break(seconds)

    def why_closed(self) -> str:
        """As the line says."""
        return self._line.why_closed()

    def close(self) -> None:
        """Close the line; ends a write that waits."""
        self._closed.set()
        self._line.close()

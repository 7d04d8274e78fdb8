"""The seam between the console and a line: bytes in and out through one file descriptor."""

from __future__ import annotations

from typing import Protocol

from pytest_lava.deadline import Deadline

__all__ = ["Transport"]


class Transport(Protocol):
    """A serial line. Reading is the console's business: it polls ``fileno()`` and reads from it."""

    @property
    def name(self) -> str:
        """How people call the line: ``/dev/ttyUSB0``, ``socket://...``."""

    def fileno(self) -> int:
        """A non-blocking descriptor to read from and poll on."""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Write everything. ``Timeout`` if the line does not take it, ``ConsoleLost`` if it is gone."""

    def send_break(self, seconds: float = 0.25) -> None:
        """Hold BREAK; ``ConsoleLost`` where the line has no such thing."""

    def why_closed(self) -> str:
        """After end of file: one phrase that says why, if the line knows (``QEMU exited with status 1: ...``)."""

    def close(self) -> None:
        """Release the line; harmless when closed."""

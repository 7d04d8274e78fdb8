"""The seam between the console and a line: bytes in and out, and a file descriptor to wait on."""

from __future__ import annotations

from typing import Protocol

from pytest_lava.deadline import Deadline

__all__ = ["Transport"]


class Transport(Protocol):
    """A serial line. The console reads once at the beginning, and then whenever ``fileno()`` is ready."""

    @property
    def name(self) -> str:
        """How people call the line: ``/dev/ttyUSB0``, ``socket://...``."""

    def fileno(self) -> int:
        """A descriptor that is ready to read when :meth:`read` has something."""

    def read(self) -> bytes:
        """What has come, at most about 64 KB; nothing at the end of the line. ``BlockingIOError`` if there is none."""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Write everything. ``Timeout`` if the line does not take it, ``ConsoleLost`` if it is gone."""

    def send_break(self, seconds: float = 0.25) -> None:
        """Hold BREAK; ``ConsoleLost`` where the line has no such thing."""

    def why_closed(self) -> str:
        """After end of file: one phrase that says why, if the line knows (``QEMU exited with status 1: ...``)."""

    def close(self) -> None:
        """Release the line; harmless when closed."""

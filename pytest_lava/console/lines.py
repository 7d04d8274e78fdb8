"""Which transport a console URL of a board file means."""

from __future__ import annotations

import threading

from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import NetworkError, PortMissing

__all__ = ["open_line", "open_line_when_there"]

_RETRY = 0.1  # seconds between attempts


def open_line(url: str, *, speed: int) -> tuple[Transport, int | None]:
    """Open ``exec:COMMAND``, a device or a URL of pyserial; also the process behind it, if we started one."""
    if url.startswith("exec:"):
        from pytest_lava.console.process import open_process

        return open_process(url.removeprefix("exec:"))
    from pytest_lava.console.serialport import open_serial

    return open_serial(url, baudrate=speed), None


def open_line_when_there(url: str, *, speed: int, deadline: Deadline) -> tuple[Transport, int | None]:
    """The same for a line that comes up with the board's power: tried until ``deadline``."""
    while True:
        try:
            return open_line(url, speed=speed)
        except (PortMissing, NetworkError):
            if deadline.expired:
                raise
        threading.Event().wait(min(_RETRY, deadline.remaining()))

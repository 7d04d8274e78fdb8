"""Which transport a console URL of a board file means."""

from __future__ import annotations

import threading

from pytest_lava.console.paced import paced
from pytest_lava.console.settings import LineSettings
from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, NetworkError, PortMissing

__all__ = ["open_line", "open_line_when_there"]

_RETRY = 0.1  # seconds between attempts
_SETTLE = 3.0  # seconds that a device that has just come may be nobody's yet (udev) or be tried out (ModemManager)


def open_line(url: str, settings: LineSettings, tag: str = "") -> tuple[Transport, int | None]:
    """Open ``exec:COMMAND``, a device, a TCP port or a URL of pyserial; also the process behind it, if we started one.

    ``tag``: see :func:`~pytest_lava.console.process.open_process`.

    The errors are those of :func:`~pytest_lava.console.tcpline.open_tcp`,
    :func:`~pytest_lava.console.serialport.open_serial` and :func:`~pytest_lava.console.process.open_process`.
    """
    line, process = _open(url, settings, tag)
    return paced(line, settings), process


def _open(url: str, settings: LineSettings, tag: str) -> tuple[Transport, int | None]:
    if url.startswith("exec:"):
        from pytest_lava.console.process import open_process

        return open_process(url.removeprefix("exec:"), tag)
    if url.startswith(("socket://", "telnet://", "rfc2217://")):
        from pytest_lava.console.tcpline import open_tcp

        return open_tcp(url, settings), None
    from pytest_lava.console.serialport import open_serial

    return open_serial(url, settings), None


def open_line_when_there(
    url: str, settings: LineSettings, deadline: Deadline, tag: str = ""
) -> tuple[Transport, int | None]:
    """The same for a line that comes up with the board's power: tried until ``deadline``."""
    settled = Deadline.after(_SETTLE)
    while True:
        try:
            return open_line(url, settings, tag)
        except (PortMissing, NetworkError):
            if deadline.expired:
                raise
            settled = Deadline.after(_SETTLE)
        except ConsoleLost:
            if deadline.expired or settled.expired:
                raise
        threading.Event().wait(min(_RETRY, deadline.remaining()))

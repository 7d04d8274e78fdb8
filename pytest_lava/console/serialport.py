"""Serial devices, and the other URLs that pyserial opens: ``/dev/ttyUSB0``, ``spy:///dev/ttyUSB0``."""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import serial

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.holders import holders, lockers
from pytest_lava.console.pumped import PumpedPort
from pytest_lava.console.settings import LineSettings
from pytest_lava.errors import ConfigurationError, ConsoleLost, NetworkError, PortMissing

__all__ = ["open_serial"]

_PTYS = range(136, 144)  # major numbers of their sides that look like a port (Documentation/admin-guide/devices.txt)
_PARITIES = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}


def open_serial(url: str, settings: LineSettings) -> FdTransport:
    """Open a serial line for ourselves alone.

    Raises ``PortMissing``, ``ConsoleLost`` with the program that holds the port, ``NetworkError`` if it cannot be
    opened over a network, ``ConfigurationError`` for what pyserial does not know.
    """
    device = _device(url)
    if device is not None and not device.exists():
        raise PortMissing(f"the serial port {url} is not there: is the adapter plugged in?")
    if device is not None and (others := list(holders(device))):
        raise ConsoleLost(f"the serial port {url} is held by {', '.join(others)}: end that program first")
    try:
        port = serial.serial_for_url(url, timeout=0, exclusive=True, **_options(settings))
    except serial.SerialException as error:
        if device is None:
            raise NetworkError(f"cannot connect to {url}: {_reason(error)}") from error
        if isinstance(error.__context__, BlockingIOError):
            holder = "this very run" if os.getpid() in lockers(device) else "a program that cannot be seen from here"
            raise ConsoleLost(f"the serial port {url} is held by {holder}: a line has one reader") from error
        raise ConsoleLost(f"cannot open the serial port {url}: {_reason(error)}{_advice(device)}") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"console url {url!r}: {error}") from error
    line = _own_descriptor(port)
    if line is None:
        return PumpedPort(port, url, send_break=_break_of(port, url), on_close=lambda: _close(port))
    return FdTransport(line, name=url, send_break=_break_of(port, url), on_close=lambda: _close(port))


def _device(url: str) -> Path | None:
    """The device that a URL means, if it names one of this machine."""
    if "://" not in url:
        return Path(url)
    parts = urlsplit(url)
    return Path(parts.path) if parts.scheme in ("spy", "alt") else None


def _options(settings: LineSettings) -> dict[str, Any]:
    return {
        "baudrate": settings.speed,
        "parity": _PARITIES[settings.parity],
        "stopbits": settings.stopbits,
        "xonxoff": settings.xonxoff,
        "rtscts": settings.rtscts,
    }


def _own_descriptor(port: Any) -> int | None:
    try:
        descriptor = os.dup(port.fileno())
    except (AttributeError, OSError, ValueError):  # loop, alt and cp2110 have none (io.UnsupportedOperation)
        return None
    with contextlib.suppress(termios.error):
        # pyserial's timeout of 0 has set it so that a read returns nothing when nothing is there, as at an end of file
        attributes = termios.tcgetattr(descriptor)
        attributes[6][termios.VMIN] = 1
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    return descriptor


def _break_of(port: Any, url: str) -> Callable[[float], None]:
    def send_break(seconds: float) -> None:
        if _is_pty(port):  # Linux would say that it was sent, and a board that hears none would count as dead
            raise ConsoleLost(f"the console {url} cannot send a BREAK: it is a pseudo terminal")
        try:
            port.send_break(seconds)
        except (serial.SerialException, OSError, termios.error) as error:
            raise ConsoleLost(f"the console {url} could not send a BREAK: {error}") from error

    return send_break


def _is_pty(port: Any) -> bool:
    try:
        return os.major(os.fstat(port.fileno()).st_rdev) in _PTYS
    except (AttributeError, OSError, ValueError):  # loop:// and its like have no descriptor
        return False


def _close(port: Any) -> None:
    with contextlib.suppress(serial.SerialException, OSError, termios.error):  # it may be gone
        port.close()


def _reason(error: Exception) -> str:
    cause = error.__context__ or error
    return cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)


def _advice(port: Path) -> str:
    if not os.access(port, os.R_OK | os.W_OK):
        with contextlib.suppress(OSError, KeyError):
            return f": add yourself to the group {port.group()!r}, log in anew"
    return ""

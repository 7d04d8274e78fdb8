"""Lines that pyserial opens: ``/dev/ttyUSB0``, ``socket://host:port``, ``rfc2217://host:port``."""

from __future__ import annotations

import contextlib
import os
import socket
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import serial

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.errors import ConfigurationError, ConsoleLost, NetworkError, PortMissing

__all__ = ["holders", "open_serial"]

_CONNECT = 5.0  # seconds that a server has to accept a connection


def open_serial(url: str, *, baudrate: int = 115200) -> FdTransport:
    """Open a serial line for ourselves alone.

    Raises ``PortMissing``, ``ConsoleLost`` with the program that holds the port, ``NetworkError`` if a server does not
    answer, ``ConfigurationError`` for a URL that pyserial does not know.
    """
    if url.startswith("socket://"):
        return _open_socket(url)
    local = "://" not in url
    if local and not Path(url).exists():
        raise PortMissing(f"the serial port {url} is not there: is the adapter plugged in?")
    if local and (others := list(holders(Path(url)))):
        raise ConsoleLost(f"the serial port {url} is held by {', '.join(others)}: end that program first")
    try:
        port = serial.serial_for_url(url, baudrate=baudrate, timeout=0, exclusive=True if local else None)
    except serial.SerialException as error:
        if not local:
            raise NetworkError(f"cannot connect to {url}: {_reason(error)}") from error
        raise ConsoleLost(f"cannot open the serial port {url}: {_reason(error)}{_advice(Path(url))}") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"console url {url!r}: {error}") from error
    line = _own_descriptor(port)
    if line is None:
        return _pumped(port, url)
    return FdTransport(line, name=url, send_break=_break_of(port, url), on_close=lambda: _close(port))


def holders(device: Path) -> Iterator[str]:
    """Other processes that have ``device`` open, as ``minicom (pid 4711)``; only those we may look at."""
    target = str(device.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if any(str(fd.readlink()) == target for fd in (entry / "fd").iterdir()):
                yield f"{(entry / 'comm').read_text().strip()} (pid {entry.name})"
        except OSError:
            continue  # ended meanwhile, or somebody else's


def _own_descriptor(port: Any) -> int | None:
    try:
        descriptor = os.dup(port.fileno())
    except (AttributeError, OSError, ValueError):  # rfc2217 and loop have none (io.UnsupportedOperation)
        return None
    os.set_blocking(descriptor, False)
    return descriptor


def _pumped(port: Any, url: str) -> FdTransport:
    """A port without descriptor behind a socket pair: one thread reads the port, one the socket."""
    ours, theirs = socket.socketpair()  # what ends one pump is told to all by a shutdown: a close would not wake them
    ended = threading.Event()
    reason: list[str] = []
    port.timeout = 0.2  # how long the pump takes to notice the end; data comes at once

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            theirs.shutdown(socket.SHUT_RDWR)

    def from_port() -> None:
        try:
            while not ended.is_set():
                data = port.read(1)
                if data:
                    theirs.sendall(data + port.read(port.in_waiting))
        except (serial.SerialException, OSError) as error:
            reason.append(str(error))
        hang_up()

    def to_port() -> None:
        try:
            while data := theirs.recv(4096):
                port.write(data)
        except (serial.SerialException, OSError) as error:
            reason.append(str(error))
        hang_up()

    pumps = [threading.Thread(target=run, name=f"pump {url}", daemon=True) for run in (from_port, to_port)]
    for pump in pumps:
        pump.start()

    def finish() -> None:
        ended.set()
        for pump in pumps:
            pump.join(2)
        theirs.close()
        _close(port)

    def why_closed() -> str:
        return reason[0] if reason else "the other side closed the line"

    return FdTransport(ours, name=url, send_break=_break_of(port, url), on_close=finish, why_closed=why_closed)


def _open_socket(url: str) -> FdTransport:
    """A raw TCP line. Our own, as pyserial's sleeps 0.3 s when it is closed and lets a BREAK vanish in silence."""
    try:
        parts = urlsplit(url)
        host, number = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"console url {url!r}: {error}; write socket://HOST:PORT") from None
    if not host or number is None:
        raise ConfigurationError(f"console url {url!r}: write socket://HOST:PORT")
    try:
        line = socket.create_connection((host, number), timeout=_CONNECT)
    except OSError as error:
        raise NetworkError(f"cannot connect to {url}: {error.strerror or error}: does its server run?") from error
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return FdTransport(line, name=url)


def _break_of(port: Any, url: str) -> Callable[[float], None]:
    def send_break(seconds: float) -> None:
        try:
            port.send_break(seconds)
        except (serial.SerialException, OSError, termios.error) as error:
            raise ConsoleLost(f"the console {url} could not send a BREAK: {error}") from error

    return send_break


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

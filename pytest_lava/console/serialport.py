"""Lines that pyserial opens: ``/dev/ttyUSB0``, ``socket://host:port``, ``rfc2217://host:port``."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import serial

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.errors import ConfigurationError, ConsoleLost, NetworkError, PortMissing

__all__ = ["holders", "open_serial"]


def open_serial(url: str, *, baudrate: int = 115200) -> FdTransport:
    """Open a serial line for ourselves alone.

    Raises ``PortMissing``, ``ConsoleLost`` with the program that holds the port, ``NetworkError`` if a server does not
    answer, ``ConfigurationError`` for a URL that pyserial does not know.
    """
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
        raise ConsoleLost(f"cannot open the serial port {url}: {_reason(error)}") from error
    except ValueError as error:
        raise ConfigurationError(f"console url {url!r}: {error}") from error
    line = _own_descriptor(port)
    if line is None:
        return _pumped(port, url)
    return FdTransport(line, name=url, send_break=port.send_break, on_close=port.close)


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
    ours, theirs = socket.socketpair()
    ended = threading.Event()
    reason: list[str] = []
    port.timeout = 0.2  # how long the pump takes to notice the end; data comes at once

    def from_port() -> None:
        try:
            while not ended.is_set():
                data = port.read(1)
                if data:
                    theirs.sendall(data + port.read(port.in_waiting))
        except (serial.SerialException, OSError) as error:
            reason.append(str(error))
        theirs.close()

    def to_port() -> None:
        try:
            while data := theirs.recv(4096):
                port.write(data)
        except (serial.SerialException, OSError) as error:
            reason.append(str(error))

    pumps = [threading.Thread(target=run, name=f"pump {url}", daemon=True) for run in (from_port, to_port)]
    for pump in pumps:
        pump.start()

    def finish() -> None:
        ended.set()
        for pump in pumps:
            pump.join(2)
        port.close()

    ours.setblocking(False)
    return FdTransport(
        ours.detach(),
        name=url,
        send_break=port.send_break,
        on_close=finish,
        why_closed=lambda: reason[0] if reason else "",
    )


def _reason(error: Exception) -> str:
    cause = error.__context__ or error
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(error)

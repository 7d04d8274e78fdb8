"""Serial servers: pyserial's own RFC 2217 port manager before a local port or a QEMU, and ser2net."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import serial
import serial.rfc2217
from serial.urlhandler import protocol_socket

__all__ = ["PtyPort", "QemuPort", "Rfc2217Server", "ser2net"]


class PtyPort(serial.Serial):  # type: ignore[misc]
    """A pty has no modem lines."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...


class QemuPort(protocol_socket.Serial):  # type: ignore[misc]
    """The serial port of a QEMU whose console is a telnet server: that takes a BREAK (RFC 854) as a UART does."""

    _GREETING = 12  # bytes of its negotiation, which it sends once
    cts = dsr = ri = cd = False

    def open(self) -> None:
        super().open()
        left = self._GREETING
        self._socket.settimeout(5)
        while left:
            left -= len(self._socket.recv(left))

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...

    def _update_break_state(self) -> None:
        if self._break_state:
            self._socket.sendall(b"\xff\xf3")


class Rfc2217Server:
    """pyserial's port manager between a TCP client and a port, as in its examples. ``breaks`` counts what came."""

    def __init__(self, port: Any) -> None:
        self.serial = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self.listener.getsockname()[1]}"
        self.breaks = 0
        self.client: socket.socket | None = None
        self.manager: Any = None
        self.threads = [threading.Thread(target=self.serve, daemon=True)]
        self.threads[0].start()

    def write(self, data: bytes) -> None:
        """What the port manager calls to answer."""
        client = self.client
        if client:
            with contextlib.suppress(OSError):
                client.sendall(data)

    def serve(self) -> None:
        """One client."""
        with contextlib.suppress(OSError):
            client, _ = self.listener.accept()
            self.client = client
            self.manager = serial.rfc2217.PortManager(self.serial, self)
            self.threads.append(threading.Thread(target=self.from_port, daemon=True))
            self.threads[-1].start()
            while data := client.recv(1024):
                if b"\xff\xfa\x2c\x05\x05" in data:  # IAC SB COM-PORT-OPTION SET-CONTROL break-on
                    self.breaks += 1
                self.serial.write(b"".join(self.manager.filter(data)))

    def from_port(self) -> None:
        """What the port says."""
        with contextlib.suppress(OSError, serial.SerialException, TypeError):
            while self.client:
                if data := self.serial.read(1) + self.serial.read(self.serial.in_waiting):
                    self.write(b"".join(self.manager.escape(data)))

    def hang_up(self) -> None:
        """Drop the client."""
        client, self.client = self.client, None
        if client:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def close(self) -> None:
        """End all of it."""
        self.hang_up()
        self.listener.close()
        for thread in self.threads:
            thread.join(5)
        self.serial.close()


@contextmanager
def ser2net(folder: Path, accepter: str, connector: str) -> Iterator[str]:
    """A ser2net between a TCP port of its own and ``connector``; HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()
    config = folder / "ser2net.yaml"
    config.write_text(
        f"%YAML 1.1\n---\nconnection: &board\n  accepter: {accepter},tcp,{host},{port}\n  connector: {connector}\n"
    )
    command = ["ser2net", "-n", "-u", "-c", str(config)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            limit = time.monotonic() + 10
            while not _listens(port) and time.monotonic() < limit:
                time.sleep(0.01)
            yield f"{host}:{port}"
        finally:
            process.kill()


def _listens(port: int) -> bool:
    """As the kernel tells; to connect would be a client, and most lines take only one."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in map(str.split, lines))

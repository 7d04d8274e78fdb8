"""Ports of pyserial that have no file descriptor (``loop://``, ``alt://``, ``cp2110://``): one thread reads them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import serial

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout

__all__ = ["PumpedPort"]

_LOOK = 0.2  # seconds that the pump takes to notice the end where a read cannot be cancelled; data comes at once
_END = 2.0  # seconds that we wait for the pump: a read that never returns must not hang us


class PumpedPort(FdTransport):
    """What the pump reads comes out of a socket pair; writing goes straight to the port."""

    def __init__(self, port: Any, name: str, *, send_break: Callable[[float], None], on_close: Callable[[], None]):
        ours, self._theirs = socket.socketpair()
        self._port = port
        self._ended = threading.Event()
        self._reason = ""
        super().__init__(ours, name, send_break=send_break, why_closed=self._why, on_close=self._finish)
        self._close_port = on_close
        port.timeout = _LOOK
        self._pump = threading.Thread(target=self._run, name=f"pump {name}", daemon=True)
        self._pump.start()

    def write(self, data: bytes, deadline: Deadline) -> None:
        """See :class:`FdTransport`."""
        if self._ended.is_set():
            raise ConsoleLost(f"the console {self.name} is gone: {self._why()}")
        try:
            with contextlib.suppress(NotImplementedError):  # such a port takes its own time
                self._port.write_timeout = max(0.001, deadline.remaining())
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise Timeout(
                f"the console {self.name} did not take {len(data)} bytes in time: "
                "nobody reads at the other end, or flow control holds it"
            ) from None
        except (serial.SerialException, OSError) as error:
            raise ConsoleLost(f"the console {self.name} is gone: {error}") from error

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                if data := self._port.read(1):
                    self._theirs.sendall(data + self._port.read(self._port.in_waiting))
        except (
            Exception
        ) as error:  # pyserial raises many kinds where a port is closed meanwhile; whoever reads must hear
            self._reason = str(error) or type(error).__name__
        with contextlib.suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)

    def _why(self) -> str:
        return self._reason or "the other side closed the line"

    def _finish(self) -> None:
        self._ended.set()
        with contextlib.suppress(AttributeError, serial.SerialException, OSError):
            self._port.cancel_read()
        self._pump.join(_END)
        self._theirs.close()
        self._close_port()

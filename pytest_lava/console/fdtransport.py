"""A line over one file descriptor: socket, pty master, pipe pair, or a serial port that is already set up."""

from __future__ import annotations

import math
import os
import select
import socket
from collections.abc import Callable

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout

__all__ = ["FdTransport"]

_CHUNK = 65536


class FdTransport:
    """Implements :class:`pytest_lava.console.transport.Transport` over ``handle``, which it owns from now on.

    ``out`` is another descriptor to write to, where the line is a pair of pipes; it is owned, too.
    ``send_break`` holds BREAK for so many seconds, ``why_closed`` says why the line ended, ``on_close`` is called
    once after closing. One thread may write while another reads; writers must not overlap.
    """

    def __init__(
        self,
        handle: int | socket.socket,
        name: str,
        *,
        out: int | None = None,
        send_break: Callable[[float], None] | None = None,
        why_closed: Callable[[], str] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._fd = handle.detach() if isinstance(handle, socket.socket) else handle
        self._name = name
        self._send_break = send_break
        self._why_closed = why_closed
        self._on_close = on_close
        self._out = self._fd if out is None else out
        for descriptor in (self._fd, self._out):
            os.set_blocking(descriptor, False)

    @property
    def name(self) -> str:
        """How people call the line."""
        return self._name

    def fileno(self) -> int:
        """The non-blocking descriptor; -1 once closed."""
        return self._fd

    def read(self) -> bytes:
        """What has come; nothing at the end. ``BlockingIOError`` if there is none, ``OSError`` if the line is gone."""
        return os.read(self._fd, _CHUNK)

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Write everything. ``Timeout`` if the line does not take it in time, ``ConsoleLost`` if it is gone."""
        rest = memoryview(data)
        while rest:
            if self._fd < 0:
                raise ConsoleLost(f"the console {self._name} is closed")
            try:
                rest = rest[os.write(self._out, rest) :]
            except BlockingIOError:
                self._wait(deadline, len(data) - len(rest), len(data))
            except OSError as error:
                raise self._lost(error.strerror or str(error)) from error

    def send_break(self, seconds: float = 0.25) -> None:
        """Hold BREAK; ``ConsoleLost`` where the line has no such thing."""
        if self._send_break is None:
            raise ConsoleLost(f"the console {self._name} cannot send a BREAK: use a serial port or an emulator's line")
        self._send_break(seconds)

    def why_closed(self) -> str:
        """One phrase that says why the line ended."""
        if self._why_closed is not None:
            return self._why_closed()
        return "closed by us" if self._fd < 0 else "the other side closed the line"

    def close(self) -> None:
        """Release the line; harmless when closed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                for descriptor in {fd, self._out}:
                    os.close(descriptor)
            finally:
                if self._on_close is not None:
                    self._on_close()

    def _wait(self, deadline: Deadline, done: int, total: int) -> None:
        """Until the line takes more."""
        poll = select.poll()
        poll.register(self._out, select.POLLOUT)
        ready = poll.poll(math.ceil(deadline.remaining() * 1000))
        if not ready:
            raise Timeout(
                f"the console {self._name} took only {done} of {total} bytes in time: "
                "nobody reads at the other end, or flow control holds it"
            )
        if not ready[0][1] & select.POLLOUT:
            raise self._lost("hung up")

    def _lost(self, reason: str) -> ConsoleLost:
        why = self._why_closed() if self._why_closed is not None else reason
        return ConsoleLost(f"the console {self._name} is gone: {why}")

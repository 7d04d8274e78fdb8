"""Reading a line from its opening to its end; where bytes come a few at a time they are let gather first.

A UART hands over 1 to 16 bytes at a time. To wake up, store and look at each such piece takes 30 to 50 us of processor
time, several seconds for a megabyte. So while small pieces follow each other, the loop rests between two reads: never
longer than a sixteenth of the time since something was typed or output began anew, and never longer than 16 ms. So a
short answer is not held up at all, and a long one by 3 % on average.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator

from pytest_lava.console.transport import Transport
from pytest_lava.deadline import monotonic

__all__ = ["Gather", "LineReader"]

_PIECES = 4096  # read together at most, or
_BYTES = 65536  # so many bytes of them


class Gather:
    """How long to let bytes gather before the next read. Times are in seconds unless said otherwise."""

    LONGEST = 0.016
    SHARE = 1 / 16  # of the time that the answer has been coming
    PLENTY = 2048  # bytes that are worth a read of their own
    PAUSE = 0.05  # silence after which output begins anew

    def __init__(self) -> None:
        self._began = self._last = 0.0
        #: something was typed: what comes next is an answer, perhaps a short one that somebody waits for
        self.typed = False

    def milliseconds(self, size: int, now: float) -> int:
        """After a read of ``size`` bytes at ``now``: how long to rest; 0 is to wait for the next byte."""
        since = now - self._last
        if self.typed or since > self.PAUSE:
            self._began, self.typed = now, False
        self._last = now
        if size >= self.PLENTY:
            return 0
        until_plenty = since * self.PLENTY / size
        return int(1000 * min(self.LONGEST, self.SHARE * (now - self._began), until_plenty))


class LineReader:
    """The chunks of one line. :meth:`stop` may be called from another thread."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._gather = Gather()
        #: why there are no more chunks
        self.reason = "the line is closed"

    def typed(self) -> None:
        """Something is sent now, so an answer may come: it is not to wait."""
        self._gather.typed = True

    def stop(self) -> None:
        """End :meth:`chunks`."""
        os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Once :meth:`chunks` has ended. The transport stays open."""
        os.close(self._stop)

    def chunks(self) -> Iterator[bytes]:
        """What the line says, until it ends or :meth:`stop` is called; ``reason`` then says why."""
        stop, either = select.poll(), select.poll()
        stop.register(self._stop, select.POLLIN)
        either.register(self._stop, select.POLLIN)
        either.register(self._transport.fileno(), select.POLLIN)
        rest, ready = 0, stop.poll(0)  # what came while the line was opened makes no descriptor ready: so read first
        while not any(fd == self._stop for fd, _ in ready):
            try:
                data = self._read(all_there_is=rest > 0)
            except BlockingIOError:
                rest, ready = 0, either.poll()
                continue
            except OSError as error:  # EIO is how a pty says that its other end is gone
                self.reason = self._transport.why_closed() or error.strerror or str(error)
                return
            if not data:
                self.reason = self._transport.why_closed() or "end of file"
                return
            yield data
            rest = self._gather.milliseconds(len(data), monotonic())
            ready = stop.poll(rest) if rest else either.poll()

    def _read(self, *, all_there_is: bool) -> bytes:
        """One read; after a rest as many as it takes, as some transports give one byte a read whatever there is."""
        data = self._transport.read()
        if not all_there_is or len(data) >= Gather.PLENTY:
            return data
        pieces, size = [data], len(data)
        with contextlib.suppress(OSError):  # what it is will be told by the next read
            while pieces[-1] and len(pieces) < _PIECES and size < _BYTES:
                pieces.append(self._transport.read())
                size += len(pieces[-1])
        return b"".join(pieces)

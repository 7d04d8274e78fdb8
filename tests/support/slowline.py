"""A line as slow and as bad as a real one: throttled both ways, with flips, drops, kernel messages, and cuts."""

from __future__ import annotations

import os
import random
import select
import socket
import threading
import time
from contextlib import suppress

from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout

__all__ = ["SlowLine"]

_TICK = 0.01
_BUFFER = 4096  # bytes that a serial port takes ahead, as Linux's do


class SlowLine:
    """A transport around another one, which it leaves open when it is closed.

    ``rate`` in bytes a second each way (0: as fast as it goes), ``flips`` and ``drops`` a byte each way, ``printk``
    kernel records a second, ``strips`` the eighth bit off, ``cut`` ends the line after so many bytes either way.
    ``sent`` and ``received`` count what was on the line; ``noise`` is how many of those were kernel records.
    """

    name = "slow line"

    def __init__(
        self,
        line: Transport,
        *,
        rate: float = 0,
        flips: float = 0,
        drops: float = 0,
        printk: float = 0,
        strips: bool = False,
        cut: int = 0,
        seed: int = 1,
    ) -> None:
        self._line, self.rate, self.flips, self.drops, self.printk = line, rate, flips, drops, printk
        self.strips, self.cut = strips, cut
        self.sent = self.received = self.noise = self.damaged = 0
        self._random = random.Random(seed)
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._buffer = bytearray()
        self._bell = threading.Condition()
        self._stop = os.eventfd(0)
        self._closed = False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._down, self._up)]
        for thread in self._threads:
            thread.start()

    def fileno(self) -> int:
        return self._ours.fileno()

    def read(self) -> bytes:
        return os.read(self._ours.fileno(), 65536)

    def write(self, data: bytes, deadline: Deadline) -> None:
        rest = memoryview(data)
        with self._bell:
            while rest:
                if self._closed:
                    raise ConsoleLost("the slow line was cut")
                room = _BUFFER - len(self._buffer)
                if room > 0:
                    self._buffer += rest[:room]
                    rest = rest[room:]
                    self._bell.notify_all()
                elif not self._bell.wait(deadline.remaining()):
                    raise Timeout("the slow line takes no more")

    def send_break(self, seconds: float = 0.25) -> None:
        self._line.send_break(seconds)

    def why_closed(self) -> str:
        return "the slow line was cut"

    def close(self) -> None:
        if self._ours.fileno() < 0:
            return
        self._hang_up()
        for thread in self._threads:
            thread.join()
        self._ours.close()
        os.close(self._stop)

    def _hang_up(self) -> None:
        with self._bell:
            self._closed = True
            self._bell.notify_all()
        os.eventfd_write(self._stop, 1)
        with suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)

    # -- both directions ----------------------------------------------------------------------------------------

    def _down(self) -> None:
        due = time.monotonic()
        while True:
            with self._bell:
                while not self._buffer and not self._closed:
                    self._bell.wait()
                    due = max(due, time.monotonic() - _TICK)
                if self._closed:
                    return
                size = max(1, int(self.rate * _TICK)) if self.rate else _BUFFER
                data = bytes(self._buffer[:size])
                del self._buffer[:size]
                self._bell.notify_all()
            self.sent += len(data)
            try:
                self._line.write(self._worn(data), Deadline.after(60))
            except (ConsoleLost, Timeout, OSError):
                return
            due = self._pace(due, len(data))

    def _up(self) -> None:
        source = self._line.fileno()
        due = time.monotonic()
        spoken = due
        while not self._closed:
            size = max(1, int(self.rate * _TICK)) if self.rate else 65536
            wait = 1 / self.printk if self.printk else None
            ready = select.select([source, self._stop], [], [], wait and max(0.0, spoken + wait - time.monotonic()))[0]
            now = time.monotonic()
            due = max(due, now - _TICK)
            if self._stop in ready:
                return
            try:
                data = os.read(source, size) if source in ready else b""
            except OSError:
                self._hang_up()
                return
            self.received += len(data)
            data = self._worn(data)
            due_records = int((now - spoken) / wait) if wait else 0
            spoken += due_records * (wait or 0)
            # between any two bytes, but never inside each other
            for at in sorted((self._random.randint(0, len(data)) for _ in range(due_records)), reverse=True):
                record = self._record(now)
                self.noise += len(record)
                data = data[:at] + record + data[at:]
            try:
                self._theirs.sendall(data)
            except OSError:
                return
            due = self._pace(due, len(data))

    def _pace(self, due: float, size: int) -> float:
        if self.cut and self.sent + self.received >= self.cut:
            self._hang_up()
        if not self.rate:
            return due
        due += size / self.rate
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        return due

    def _worn(self, data: bytes) -> bytes:
        if self.strips:
            data = bytes(byte & 0x7F for byte in data)
        if not (self.flips or self.drops):
            return data
        worn = bytearray(data)
        for at in reversed(range(len(worn))):
            chance = self._random.random()
            if chance < self.flips:
                worn[at] ^= 1 << self._random.randrange(8)
                self.damaged += 1
            elif chance < self.flips + self.drops:
                del worn[at]
                self.damaged += 1
        return bytes(worn)

    def _record(self, now: float) -> bytes:
        return b"[%12.6f] usb 1-1.%d: new high-speed USB device\r\n" % (now % 99999, self._random.randrange(9))

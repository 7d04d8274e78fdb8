"""Reading ahead: a thread reads while the caller works on what came before, so that both cost no time of the other."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from pytest_lava.deadline import Deadline

__all__ = ["Pump"]

_PIECE = 1 << 20  # the larger, the fewer turns of the two threads
_AHEAD = 4  # pieces
_PATIENCE = 1.0  # seconds


class Pump:
    """``read(size)`` gives what ``source(size)`` gave, in order; its errors are raised where they would be.

    At the end of the ``with`` the thread is over: ``stop`` is called first, to wake a source that waits. One that goes
    on waiting is left to itself after a second; what it then gives is for nobody.
    """

    def __init__(self, source: Callable[[int], bytes], stop: Callable[[], None]) -> None:
        self._source, self._stop = source, stop
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)
        self._rest = b""
        self._ended = False

    def __enter__(self) -> Pump:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        if not self._ended:
            self._stop()
        patience = Deadline.after(_PATIENCE)
        while self._thread.is_alive() and not patience.expired:
            with suppress(queue.Empty):
                self._queue.get(timeout=0.05)  # it may wait for a place

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        if not self._rest and not self._ended:
            found = self._next()
            if isinstance(found, BaseException):
                self._ended = True
                raise found
            self._ended = not found
            self._rest = found
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _next(self) -> bytes | BaseException:
        while True:
            with suppress(queue.Empty):
                return self._queue.get(timeout=Deadline(math.inf).at_one_go())

    def _run(self) -> None:
        try:
            while data := self._source(_PIECE):
                self._put(data)
            self._put(b"")
        except BaseException as error:
            self._put(error)

    def _put(self, item: bytes | BaseException) -> None:
        while not self._over.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

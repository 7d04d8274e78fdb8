"""A time limit whose clock can be stopped: what the board needs for itself does not count towards a test's."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_lava.deadline import Deadline, monotonic

__all__ = ["Limit"]


class Limit:
    """Runs from its making on, unless :meth:`stop` was called more often than :meth:`go_on`.

    One thread waits for its end, another one stops it, starts it again and cancels it.
    """

    def __init__(self, seconds: float) -> None:
        self._change = threading.Condition()  # its lock may be taken again by a signal handler
        self._left = seconds
        self._since = monotonic()
        self._stops = 0
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether it is over, met or not."""
        return self._cancelled

    @property
    def stopped(self) -> bool:
        """Whether its clock stands."""
        return self._stops > 0

    def stop(self) -> None:
        """Stop the clock."""
        with self._change:
            self._stops += 1
            if self._stops == 1:
                self._left -= monotonic() - self._since
            self._change.notify_all()

    def go_on(self) -> None:
        """Start it again."""
        with self._change:
            self._stops -= 1
            if not self._stops:
                self._since = monotonic()
            self._change.notify_all()

    def cancel(self) -> None:
        """Whatever waits for it need not wait any more."""
        with self._change:
            self._cancelled = True
            self._change.notify_all()

    def expires(self) -> bool:
        """Wait for its end; False if it was cancelled before."""
        with self._change:
            while not self._cancelled:
                if self._stops:
                    self._change.wait()
                    continue
                left = self._left - (monotonic() - self._since)
                if left <= 0:
                    return True
                self._change.wait(left)
        return False

    def settles(self, seconds: float, busy: Callable[[], bool], *, at_most: float) -> bool:
        """Wait until it is cancelled; False if nothing was ``busy`` for ``seconds``, or after ``at_most`` seconds.

        While the clock stands something is busy.
        """
        last = Deadline.after(at_most)
        idle = Deadline.after(seconds)
        with self._change:
            while not self._cancelled:
                if self._stops:
                    self._change.wait()
                    last, idle = Deadline.after(at_most), Deadline.after(seconds)
                elif last.expired or idle.expired:
                    return False
                else:
                    if busy():
                        idle = Deadline.after(seconds)
                    self._change.wait(min(seconds / 4, last.remaining()))
        return True

    def while_it_runs(self, act: Callable[[], None]) -> None:
        """Call ``act`` while the clock does not stand, and nobody can stop or cancel it; not if it was cancelled."""
        with self._change:
            while self._stops and not self._cancelled:
                self._change.wait()
            if not self._cancelled:
                act()

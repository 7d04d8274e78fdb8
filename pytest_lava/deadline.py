"""One clock and one Deadline passed down: nothing sleeps, and nothing waits without one."""

from __future__ import annotations

import time
from dataclasses import dataclass

__all__ = ["Deadline", "monotonic"]

monotonic = time.monotonic

_AT_ONE_GO = 0.5  # seconds


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock until which something may take.

    >>> Deadline.after(30).at_most(5).remaining() <= 5
    True
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline ``seconds`` from now. ``ValueError`` if negative or not a number, ``TypeError`` for a text."""
        if not isinstance(seconds, (int, float)):
            raise TypeError(f"a time limit is a number of seconds, got {seconds!r}")
        if not seconds >= 0:  # nan is neither, and would never be over
            raise ValueError(f"a time limit must not be negative, got {seconds:g} s")
        return cls(monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - monotonic())

    def at_one_go(self) -> float:
        """Seconds to wait before looking again: those left, but half a second at most.

        Python acts on a signal between two steps of the main thread. One that comes when that thread is about to wait
        (while others want the interpreter that takes its time, see ``drop_gil`` in CPython), or that the kernel gives
        to another thread, ends no waiting. So nobody waits for long in one piece: an interrupt had to wait as long.
        """
        return min(self.remaining(), _AT_ONE_GO)

    @property
    def expired(self) -> bool:
        """Whether the moment has passed."""
        return monotonic() >= self.at

    def at_most(self, seconds: float) -> Deadline:
        """A part of the whole: ``seconds`` from now, but never later than this deadline."""
        return Deadline(min(self.at, monotonic() + seconds))

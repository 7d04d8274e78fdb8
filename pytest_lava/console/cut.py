"""Ends a console call from another thread: never in the middle of a frame, and with an error that says why.

What belongs to a frame (its payload, the rungs of the hang ladder, answers to pings) waits unwatched and is let end.
All other waits end once the line is quiet, so that an answer which is on its way is still taken; and each call that
begins afterwards is refused, until whoever asked for it says that the test is over.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_lava.deadline import monotonic
from pytest_lava.errors import TestTimeout

__all__ = ["Cut"]

_QUIET = 0.1  # seconds of silence after which no answer is on its way
_LONGEST = 2.0  # seconds that a line which never falls silent has


class Cut:
    """One console's. ``bell`` wakes whoever waits for the line, which is to be done ``with`` it, as is writing."""

    def __init__(self, bell: threading.Condition) -> None:
        self._bell = bell
        self._why = ""
        self._since = 0.0
        self._calls = self._spared = 0

    def __enter__(self) -> None:
        self._calls += 1

    def __exit__(self, *_: object) -> None:
        self._calls -= 1

    @property
    def busy(self) -> bool:
        """Whether a call is in progress, as another thread sees it."""
        return self._calls > 0

    def begin(self, why: str) -> None:
        """From now on every call ends; ``why`` is the error's sentence, to which what was waited for is added."""
        with self._bell:
            self._why, self._since = why, monotonic()
            self._bell.notify_all()

    def end(self) -> None:
        """Calls are calls again."""
        with self._bell:
            self._why = ""

    @contextmanager
    def spared(self) -> Iterator[None]:
        """Around what a call still does when it was ended: that is not ended once more."""
        self._spared += 1
        try:
            yield
        finally:
            self._spared -= 1

    def heed(self, more: str = "") -> None:
        """At the beginning or the end of a call. ``TestTimeout`` if it must not be, with ``more`` in its sentence."""
        if (why := self._why) and not self._spared:
            raise TestTimeout(f"{why}; {more}" if more else why)

    def left(self, heard_at: float) -> float:
        """Seconds that a wait may still take if the line spoke last at ``heard_at``; infinite without a cut."""
        if not self._why or self._spared:
            return math.inf
        return min(max(heard_at, self._since) + _QUIET, self._since + _LONGEST) - monotonic()

    def error(self, what: str, evidence: str = "") -> TestTimeout:
        """What a wait for ``what`` ends with."""
        return TestTimeout(f"{self._why}; no {what} by then", evidence=evidence)

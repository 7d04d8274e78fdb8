"""Trying again: how often each phase, what is worth it, and how long to wait; no failure on the way is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from pytest_lava.config.model import Retry
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ErrorInfo, LavaError, PowerError, describe, first_line
from pytest_lava.events import utc_now

__all__ = ["Attempt", "RetryPhase", "again"]

T = TypeVar("T")
RetryPhase = Literal["lease", "power", "fetch", "deploy", "boot", "submit"]

_LONGEST = 60.0  # seconds between two tries


@dataclass(frozen=True)
class Attempt:
    """One try that failed: the ``number``-th of at most ``of``; ``last`` if no other one followed."""

    phase: str
    number: int
    of: int
    error: ErrorInfo
    start: str
    seconds: float
    last: bool = False

    def __str__(self) -> str:
        why = first_line(self.error.message, self.error.type)
        return f"{self.phase}, attempt {self.number} of {self.of}, failed: {why}"


def again(
    policy: Retry,
    phase: RetryPhase,
    step: Callable[[Deadline], T],
    told: Callable[[Attempt], None],
    *,
    total: Deadline | None = None,
) -> T:
    """Do ``step`` until it works, as often as ``policy`` has it.

    ``step`` gets the deadline for all tries together, which is no later than ``total``. Each failure is ``told``, also
    that of the only try there is to be. What does not pass by itself (``LavaError.retried``) is raised at once, as is
    the last failure. A failing power switch has an allowance of its own within each phase.
    """
    limit = (total or Deadline.after(policy.total)).at_most(policy.total)
    failed: dict[RetryPhase, int] = {}
    while True:
        start, t0 = utc_now(), monotonic()
        try:
            return step(limit)
        except LavaError as error:
            where: RetryPhase = "power" if isinstance(error, PowerError) else phase
            number = failed[where] = failed.get(where, 0) + 1
            of: int = getattr(policy, where)
            pause = min(_LONGEST, policy.pause * 2 ** (number - 1))
            last = not error.retried or number >= of or limit.remaining() <= pause
            told(Attempt(where, number, of, describe(error), start, monotonic() - t0, last))
            if last:
                raise
            threading.Event().wait(pause)

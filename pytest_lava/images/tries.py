"""A try to fetch something that failed: told where there were several, so that a flaky network shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["FailedTry", "TellFailedTry"]


@dataclass(frozen=True)
class FailedTry:
    """The ``number``-th that failed, of at most ``of`` as things stand: each byte that comes renews the allowance.

    ``last``: no other one follows.
    """

    url: str
    number: int
    of: int
    why: str
    start: str
    seconds: float
    last: bool = False


TellFailedTry = Callable[[FailedTry], None]

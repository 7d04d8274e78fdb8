"""Finds the earliest match of several patterns in a log that grows, and looks at no byte again and again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Found", "Search"]

_WINDOW = 4096  # no pattern of ours is longer, so no older byte is looked at twice


@dataclass(frozen=True)
class Found:
    """A match: which of the patterns, and where in the console log."""

    index: int
    start: int
    end: int
    match: re.Match[bytes]


class Search:
    """Looks at what ``read`` gives of the log from offset ``first`` on, each time that it is called."""

    def __init__(self, read: Callable[[int], bytes], patterns: Sequence[re.Pattern[bytes]], first: int) -> None:
        self._read = read
        self._patterns = patterns
        self._first = self._scanned = first

    def __call__(self) -> Found | None:
        """The earliest match by now, of the first pattern that has it."""
        base = max(self._first, self._scanned - _WINDOW)
        data = self._read(base)
        self._scanned = base + len(data)
        best: Found | None = None
        for number, pattern in enumerate(self._patterns):
            match = pattern.search(data)
            if match and (best is None or base + match.start() < best.start):
                best = Found(number, base + match.start(), base + match.end(), match)
        return best

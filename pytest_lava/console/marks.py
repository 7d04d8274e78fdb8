"""What was typed, and where in the log: without echo the log would not tell. What we do for ourselves is left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Marks"]

_KEPT = 1000


class Marks:
    """The newest commands on one console; ``end`` tells where its log ends."""

    def __init__(self, end: Callable[[], int]) -> None:
        self._end = end
        self._marks: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._asides: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._aside = 0

    def add(self, text: str) -> None:
        """Note what is typed now."""
        if not self._aside:
            self._marks.append((self._end(), text))

    @contextmanager
    def aside(self, *, heard: bool = False) -> Iterator[None]:
        """Around commands of our own, which nobody asked for by these words: people are not shown them.

        Neither are they shown what came meanwhile, unless it is to be ``heard``: what it is told of a board in doubt.
        """
        begin = self._end()
        self._aside += 1
        try:
            yield
        finally:
            self._aside -= 1
            if not (self._aside or heard) and self._end() > begin:
                self._asides.append((begin, self._end()))

    def between(self, start: int, end: int) -> list[tuple[int, str]]:
        """What was typed between two offsets."""
        return [(offset, text) for offset, text in self._marks if start <= offset <= end]

    def shown(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of a range of the log that people are shown."""
        for begin, finish in self._asides:
            if finish > start and begin < end:
                if begin > start:
                    yield start, begin
                start = finish
        if start < end:
            yield start, end

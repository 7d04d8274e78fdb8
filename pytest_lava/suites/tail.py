"""The last lines of an output, in bounded memory."""

from __future__ import annotations

from collections import deque

__all__ = ["Tail"]


class Tail:
    """Keeps the newest lines, of at most ``limit`` characters in all; the last line whole, however long it is."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.lines: deque[str] = deque()

    def keep(self, line: str) -> None:
        """One more line, without its end."""
        self.lines.append(line)
        self._size += len(line) + 1
        while self._size > self._limit and len(self.lines) > 1:
            self._size -= len(self.lines.popleft()) + 1

    def clear(self) -> None:
        """Begin anew."""
        self.lines.clear()
        self._size = 0

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)

    def take(self) -> str:
        """The text, and begin anew."""
        text = self.text
        self.clear()
        return text

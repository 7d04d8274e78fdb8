"""How large the blocks of a file transfer are: as the line's speed and its errors so far advise."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pytest_lava.errors import ConsoleLost

__all__ = ["GRAIN", "Line", "Pace"]

#: blocks begin and end at multiples of this
GRAIN = 1 << 10

_FIRST, _LARGEST = 16 << 10, 256 << 10
_LASTS = 3.0  # seconds that a block may be on the line: what a cut or an error costs at most
_COST = 300  # bytes that could have been sent in the time that a block takes besides its own bytes
_TRIES = 40  # failures in a row
_GROW_AFTER = 4  # good blocks in a row
_TYPICAL = 8000.0  # bytes a second, before anything was measured
_FORGET = 1 << 20  # bytes after which old errors count half


@dataclass
class Pace:
    """The size of the next block.

    With ``p`` errors a byte and a cost of ``c`` bytes a block, a block of ``sqrt(2 c / p)`` bytes wastes least.
    """

    rate: float = 0.0
    _cap: int = _FIRST
    _good: int = 0
    _bad: int = 0
    _sent: float = 0.0
    _errors: float = 0.0

    @property
    def size(self) -> int:
        """Bytes, a multiple of ``GRAIN``."""
        best: float = self._cap
        if self.rate:
            best = min(best, self.rate * _LASTS)
        if self._errors >= 0.5:
            best = min(best, math.sqrt(2 * _COST * max(self._sent, _FIRST) / self._errors))
        for _ in range(self._bad):
            best /= 2
        return max(GRAIN, int(best) // GRAIN * GRAIN)

    @property
    def failures(self) -> int:
        """Bad blocks in a row."""
        return self._bad

    def seconds(self, size: int) -> float:
        """How long so many bytes are expected to be on the line, generously."""
        return 1.5 * size / (self.rate or _TYPICAL)

    def ok(self, size: int, seconds: float) -> None:
        """A block came through."""
        self._count(size)
        self._good, self._bad = self._good + 1, 0
        if self._good % _GROW_AFTER == 0:
            self._cap = min(_LARGEST, self._cap * 2)
        if size >= GRAIN and seconds > 0:
            measured = size / seconds
            self.rate = (self.rate + measured) / 2 if self.rate else measured

    def failed(self, size: int) -> None:
        """A block was damaged. ``ConsoleLost`` if that goes on and on."""
        self._count(size)
        self._errors += 1
        self._good, self._bad, self._cap = 0, self._bad + 1, _FIRST
        if self._bad > _TRIES:
            raise ConsoleLost("the serial line damages every block: check cable, speed and flow control")

    def _count(self, size: int) -> None:
        self._sent += size
        if self._sent > _FORGET:
            self._sent, self._errors = self._sent / 2, self._errors / 2


@dataclass
class Line:
    """What a session has learnt about its line."""

    probed: bool = False
    #: whether all 256 byte values reach the board, and come back
    clean_out: bool = True
    clean_in: bool = True
    out: Pace = field(default_factory=Pace)
    back: Pace = field(default_factory=Pace)
    #: how the board sums blocks, see :mod:`pytest_lava.transfer.sums`
    sums: str = "w"
    #: of the transfer that the board is in, perhaps since a cut; empty if none
    nonce: str = ""

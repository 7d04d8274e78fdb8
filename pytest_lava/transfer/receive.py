"""Blocks of a file that comes over the serial line: found among kernel messages and noise, and checked."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pytest_lava.console.console import Console
from pytest_lava.console.frames import sum_matches
from pytest_lava.console.kernel_records import RECORD, excise
from pytest_lava.deadline import Deadline
from pytest_lava.errors import Timeout

__all__ = ["Asked", "Receiver", "listen"]

T = TypeVar("T")

_HEADER = 5.0  # seconds that a board may take to read a block from its disk
_QUIET = 0.8  # seconds without a byte in the middle of a block
_WINDOW = 4096  # bytes in which a header is looked for again when more come
_REST = 0.2  # share of kernel messages' bytes that may be left when they are cut at an end


@dataclass(frozen=True)
class Asked:
    """A block that the board was asked for."""

    at: int
    size: int
    encoded: bool

    @property
    def header(self) -> re.Pattern[bytes]:
        """How it begins: its size and sum."""
        return re.compile(rb"~G%d;(\d+);([0-9a-f]+|-)~\n" % self.at)

    @property
    def trailer(self) -> bytes:
        """How it ends."""
        return b"~%d.\n" % self.at

    @property
    def wire(self) -> int:
        """Bytes of its contents on the line, at least."""
        return (self.size + 2) // 3 * 4 if self.encoded else self.size


class Receiver:
    """Takes blocks in the order in which they were asked for."""

    def __init__(self, console: Console, deadline: Deadline) -> None:
        self._console = console
        self._deadline = deadline
        self._at = console.end
        #: whether the last block was lost because the line fell silent
        self.silent = False

    def receive(self, asked: Sequence[Asked]) -> bytes | None:
        """The first of ``asked``, ``None`` if it was lost or damaged. What follows it may be on the line already."""
        first, console = asked[0], self._console
        following = asked[1] if len(asked) > 1 else None
        self.silent = False
        begin = self._listen(self._begin(first, following), _HEADER)
        if begin is None:
            self._silence()
            return None
        if begin < 0:
            return None  # its header was damaged: the next one has begun
        end = begin + first.wire + len(first.trailer)
        self._listen(lambda: console.end >= end or None, _QUIET)
        if console.end >= end and not first.encoded:
            data = self._exact(first, begin)
            if data is not None:
                console.proven(begin, end, data)
                self._at = end
                return data
        found = self._listen(lambda: self._damaged(first, following), _QUIET)
        if found is None:
            self._silence()
            return None
        data, self._at = found
        if data is not None:
            console.proven(begin, self._at, data)
        return data

    def _silence(self) -> None:
        self.silent, self._at = True, self._console.end

    def _begin(self, first: Asked, following: Asked | None) -> Callable[[], int | None]:
        """Looks where its contents begin; -1 if the next block comes instead."""
        seen = self._at

        def look() -> int | None:
            nonlocal seen
            begin = max(self._at, seen - _WINDOW)
            seen = self._console.end
            text, where = _excised(self._console, begin)
            if match := first.header.search(text):
                return where(match.end())
            if following and (other := following.header.search(text)):
                self._at = where(other.start())
                return -1
            return None

        return look

    def _exact(self, asked: Asked, begin: int) -> bytes | None:
        """The contents if nothing came in between."""
        end = begin + asked.size
        data = self._console.read(begin, end + len(asked.trailer))
        match = asked.header.search(excise(self._console.read(self._at, begin)))
        if match is None or not data.endswith(asked.trailer):
            return None
        return _checked(data[: asked.size], match, asked)

    def _damaged(self, asked: Asked, following: Asked | None) -> tuple[bytes | None, int] | None:
        """The contents without kernel records, if they are right then, and where the next block may begin."""
        text, where = _excised(self._console, self._at)
        match = asked.header.search(text)
        if match is None:
            return None, where(len(text))
        end = text.find(asked.trailer, match.end())
        if end < 0:
            other = following.header.search(text, match.end()) if following else None
            return (None, where(other.start())) if other else None
        data = text[match.end() : end]
        if asked.encoded:
            try:
                data = base64.b64decode(b"".join(data.split()), validate=True)
            except ValueError:
                data = b""
        return _checked(data, match, asked), where(end + len(asked.trailer))

    def _listen(self, look: Callable[[], T | None], quiet: float) -> T | None:
        return listen(self._console, look, quiet, self._deadline)


def listen(console: Console, look: Callable[[], T | None], quiet: float, deadline: Deadline) -> T | None:
    """What ``look`` finds; ``None`` if nothing but kernel messages came for ``quiet`` seconds.

    ``Timeout`` at the deadline. Findings of the watch are left to the caller, as unchecked contents may look like one.
    """
    while True:
        before = console.end
        try:
            return console.wait(look, deadline.at_most(quiet), what="block of a file", watched=False)
        except Timeout:
            if deadline.expired:
                raise
            new = console.read(before)
            if len(excise(new)) <= _REST * len(new):
                return None


def _checked(data: bytes, header: re.Match[bytes], asked: Asked) -> bytes | None:
    size, expected = int(header[1]), header[2].decode()
    return data if len(data) == size == asked.size and sum_matches([data], expected) else None


def _excised(console: Console, begin: int) -> tuple[bytes, Callable[[int], int]]:
    """What came since ``begin`` without kernel records, and what maps an offset in it to one in the log."""
    raw = console.read(begin)
    kept, cuts, at, length = [], [(0, begin)], 0, 0
    for record in RECORD.finditer(raw) if b"[" in raw else ():
        kept.append(raw[at : record.start()])
        length += record.start() - at
        at = record.end()
        cuts.append((length, begin + at))
    kept.append(raw[at:])

    def where(offset: int) -> int:
        text, log = next(cut for cut in reversed(cuts) if cut[0] <= offset)
        return log + offset - text

    return b"".join(kept), where

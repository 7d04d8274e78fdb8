"""Files by commands alone, for shells that have no agent: pieces as input and output of ``run``, a sum each.

Slower than blocks by half, as there is no raw tty; all else (names, sums, resume) is the same.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost
from pytest_lava.transfer.api import Contents
from pytest_lava.transfer.boardside import BoardSide

__all__ = ["Chunks"]

_PIECE = 12 << 10  # bytes; a multiple of 3, so that base64 has no padding inside
_TRIES = 8


class Chunks:
    """A carrier over nothing but ``run``."""

    name = "serial"
    #: commands take so long that compression always pays
    rate = 0.0

    def __init__(self, board: BoardSide) -> None:
        self._board = board
        self._encoding = ""

    def ready(self, deadline: Deadline) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`: nothing, as every command is complete by itself."""

    def put(self, contents: Contents, begin: int, progress: Progress, deadline: Deadline) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        encoding = self._known_encoding(deadline)
        at, failures = begin, 0
        while at < contents.size:
            piece = contents.read(at, min(_PIECE, contents.size - at))
            total = self._board.sum([piece], deadline)
            data = base64.encodebytes(piece) if encoding == "base64" else piece
            words = self._board.ask(f"__xgot {at} {len(piece)} {total} {encoding}", "the file", deadline, data=data)
            failures = self._count(failures, int(words[1]) == at)
            at = int(words[1])
            progress(at, contents.size)

    def get(
        self, size: int, write: Callable[[bytes], object], begin: int, progress: Progress, deadline: Deadline
    ) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        encoding = self._known_encoding(deadline)
        at, failures = begin, 0
        while at < size:
            count = min(_PIECE, size - at)
            words, data = self._board.converse(f"__xshow {at} {count} {encoding}", "the file", deadline)
            piece = self._decoded(data)
            right = words == [str(count), self._board.sum([piece], deadline)]
            failures = self._count(failures, len(piece) != count or not right)
            if not failures:
                write(piece)
                at += count
                progress(at, size)
        self._board.ask("__xclean; echo lava-ok", "it", deadline)

    def _known_encoding(self, deadline: Deadline) -> str:
        """base64 where the board has it: it is denser than what a tty needs for raw bytes, and 7-bit."""
        if not self._encoding:
            probe = (
                '[ "$( (echo bGF2YQo= | base64 -d) 2>/dev/null)" = lava ] && echo lava-ok base64 || echo lava-ok raw'
            )
            self._encoding = self._board.ask(probe, "it", deadline)[0]
        return self._encoding

    def _decoded(self, data: bytes) -> bytes:
        if self._encoding != "base64":
            return data
        try:
            return base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError:
            return b""

    @staticmethod
    def _count(failures: int, failed: bool) -> int:
        if failed and failures >= _TRIES:
            raise ConsoleLost("the serial line damages every piece of a file: check cable, speed and flow control")
        return failures + 1 if failed else 0

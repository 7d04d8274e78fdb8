"""Files to a board's memory at the prompt of U-Boot: XMODEM with blocks of 1 KB, checked with ``crc32``.

XMODEM knows no size, so U-Boot gets whole kilobytes; ``filesize`` is put right afterwards. A file goes in pieces, each
with a sum of its own, so that an error costs one piece. U-Boot prints nothing by itself that could spoil a block.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Protocol

from xmodem import CAN, XMODEM1k

from pytest_lava.console.console import Console
from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline
from pytest_lava.errors import OperationFailed, Timeout

__all__ = ["Loadx"]

_PIECE = 1 << 20
_ASKS = re.compile(rb"[C\x15]\Z")  # how XMODEM asks for the first block: with a CRC, or without
_READY = re.compile(rb"Ready for binary \(xmodem\)[^\r\n]*\r?\n")
_BEGIN = 10.0  # seconds until loadx is ready
_ANSWER = 10.0  # seconds to an acknowledgement
_FAREWELL = 15.0  # seconds until it has given up
_RETRY = 8  # times that a block is sent again
_SLOWEST = 500  # bytes a second: 9600 baud with errors
_CRC = re.compile(r"==> ([0-9a-f]{8})")


class Prompt(Protocol):
    """What this needs of a boot loader."""

    def run(self, command: str, *, timeout: float = 30.0) -> str:
        """Run a command and return what it printed."""


class Loadx:
    """``loadx`` at a boot loader that is at its ``prompt``, and at it again whatever comes of the load."""

    def __init__(self, uboot: Prompt, console: Console, prompt: re.Pattern[bytes]) -> None:
        self._uboot = uboot
        self._console = console
        self._prompt = prompt

    def load(
        self, data: bytes, address: int | str, *, timeout: float | None = None, progress: Progress | None = None
    ) -> int:
        """Bring ``data`` to ``address``, a number or what U-Boot makes one of (``${loadaddr}``). Returns the number.

        ``OperationFailed`` says what U-Boot said, ``Timeout`` if it takes longer than ``timeout`` seconds (default:
        what a slow line takes).
        """
        if not data:
            raise OperationFailed("U-Boot: an empty file cannot be loaded, as XMODEM has only whole blocks")
        deadline = Deadline.after(60 + len(data) / _SLOWEST if timeout is None else timeout)
        start = self._number(address)
        for at in range(0, len(data), _PIECE):

            def report(blocks: int, at: int = at) -> None:
                if progress is not None:
                    progress(min(at + (blocks << 10), len(data)), len(data))

            self._piece(data[at : at + _PIECE], start + at, deadline, report)
        self._uboot.run(f"setenv filesize {len(data):x}; setenv fileaddr {start:x}")
        return start

    def _number(self, address: int | str) -> int:
        if isinstance(address, int):
            return address
        said = self._uboot.run(f"echo {address}").strip()
        try:
            return int(said, 16)
        except ValueError:
            raise OperationFailed(f"U-Boot: {address} is no address: {said or 'there is no such variable'}") from None

    def _piece(self, piece: bytes, address: int, deadline: Deadline, report: Callable[[int], None]) -> None:
        sent = False
        for _ in range(2):
            sent = self._send(piece, address, deadline, report)
            if sent and self._right(piece, address, deadline):
                return
        why = "the memory there does not hold what was sent" if sent else "the line damages every block"
        raise OperationFailed(f"U-Boot: loadx to {address:#x} failed twice: {why}")

    def _right(self, piece: bytes, address: int, deadline: Deadline) -> bool:
        said = self._uboot.run(f"crc32 {address:x} {len(piece):x}", timeout=max(1.0, deadline.remaining()))
        found = _CRC.search(said)
        if found is None:
            raise OperationFailed(f"U-Boot: crc32 does not tell a sum: {said.strip()}", evidence=said)
        return int(found[1], 16) == zlib.crc32(piece)

    def _send(self, piece: bytes, address: int, deadline: Deadline, report: Callable[[int], None]) -> bool:
        """From prompt to prompt; whether all blocks were acknowledged."""
        console = self._console
        start = console.end
        console.write(f"loadx {address:x}\n".encode(), deadline)
        ready = console.expect([_READY, self._prompt], start=start, deadline=deadline.at_most(_BEGIN), what="loadx")
        if ready.index:
            said = console.text(start, ready.start).strip().splitlines()
            raise OperationFailed(f"U-Boot has no loadx (CONFIG_CMD_LOADB): {said[-1] if said else 'it said nothing'}")
        line = _Line(console, ready.end, deadline)
        sent = False
        try:
            modem = XMODEM1k(line.getc, line.putc)
            sent = bool(
                modem.send(
                    BytesIO(piece), retry=_RETRY, timeout=_ANSWER, quiet=True, callback=lambda _, good, __: report(good)
                )
            )
        finally:
            limit = deadline if sent else Deadline.after(_FAREWELL)
            if not sent:
                console.write(CAN * 3 + b"\x03", limit)
            console.expect([self._prompt], start=line.at, deadline=limit, what="boot loader prompt")
        return sent


class _Line:
    """The console as XMODEM wants it: so many bytes with a time-out, and bytes out."""

    def __init__(self, console: Console, at: int, deadline: Deadline) -> None:
        self._console = console
        self._deadline = deadline
        self._begun = False
        self.at = at

    def getc(self, size: int, timeout: float = _ANSWER) -> bytes | None:
        """``None`` if they do not come; ``Timeout`` if there is no time left for anything."""
        limit = self._deadline.at_most(timeout)
        console = self._console
        try:
            if not self._begun:  # it asks again and again, and once is enough
                console.wait(lambda: _ASKS.search(console.read(self.at)), limit, what="request of loadx")
                self.at, self._begun = console.end, True
                return console.read(self.at - 1, self.at)
            console.wait(lambda: console.end >= self.at + size or None, limit, what="acknowledgement of loadx")
        except Timeout:
            if self._deadline.expired:
                raise
            return None
        self.at += size
        return console.read(self.at - size, self.at)

    def putc(self, data: bytes, timeout: float = _ANSWER) -> int:
        """Everything goes out, or ``Timeout``."""
        if self._begun:
            self.at = self._console.end  # what came before is no answer to this
        self._console.write(bytes(data), self._deadline)
        return len(data)

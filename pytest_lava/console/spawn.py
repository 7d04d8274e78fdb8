"""pexpect's interface on a console: what people know, with a bounded window and a reading position of its own."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, Any

import pexpect
from pexpect.spawnbase import SpawnBase

from pytest_lava.console.console import Console
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout

__all__ = ["ConsoleSpawn"]

if TYPE_CHECKING:
    _Base = SpawnBase[str]
else:
    _Base = SpawnBase  # not generic at run time

_KEEP = 1 << 20  # characters of `before` kept; the console log has the rest


class ConsoleSpawn(_Base):
    """``expect``, ``expect_exact``, ``send``, ``sendline``, ``sendcontrol`` as in pexpect, over one console.

    Text is decoded as UTF-8 with replacement. ``pexpect.TIMEOUT`` and ``pexpect.EOF`` as usual; a crash of the kernel
    raises :class:`~pytest_lava.errors.KernelCrash`. ``prompt`` is what shows that the program has ended.
    """

    def __init__(self, console: Console, *, prompt: str = "", timeout: float = 30.0) -> None:
        super().__init__(
            timeout=timeout, maxread=65536, searchwindowsize=4096, encoding="utf-8", codec_errors="replace"
        )
        self.delayafterread = None
        self.delaybeforesend = None
        self.closed = False
        self.name = "console"
        self._console = console
        self._prompt = prompt.encode()
        self._before: Any
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._at = console.end

    def skip_to(self, offset: int) -> None:
        """Read on from this offset of the console log; what came before is not searched."""
        self._at = offset
        self._text.reset()
        self.buffer = self.string_type()
        self._before = io.StringIO()

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> Any:
        """The next characters, waiting at most ``timeout`` seconds. pexpect calls this."""
        self._console.cut.heed()
        seconds = self.timeout if timeout == -1 else timeout
        deadline = Deadline.after(3600.0 if seconds is None else max(0.0, seconds))
        try:
            data = self._console.wait(
                lambda: self._console.read(self._at, self._at + size) or None, deadline, what="output"
            )
        except Timeout as error:
            raise pexpect.TIMEOUT(str(error)) from error
        except ConsoleLost as error:
            self.flag_eof = True
            raise pexpect.EOF(str(error)) from error
        self._at += len(data)
        text = self._text.decode(data)
        self._trim()
        return text

    def send(self, text: str | bytes) -> int:
        """Send text as it is; returns the number of bytes."""
        data = text.encode() if isinstance(text, str) else text
        self._console.doubt(sign=self._prompt)
        self._console.write(data, Deadline.after(self.timeout or 30.0))
        return len(data)

    def sendline(self, text: str | bytes = "") -> int:
        """Send text and a newline."""
        return self.send((text.encode() if isinstance(text, str) else text) + b"\n")

    def sendcontrol(self, char: str) -> int:
        """Send a control character: ``sendcontrol("c")`` is Ctrl-C."""
        return self.send(bytes([ord(char.upper()) & 0x1F]))

    def _trim(self) -> None:
        # pexpect keeps all it read since the last match in _before: flat memory instead
        if self._before.tell() > 2 * _KEEP:
            kept = self._before.getvalue()[-_KEEP:]
            self._before = io.StringIO()
            self._before.write(kept)

"""Telnet (RFC 854, 855, 856) without its terminal: data and negotiation told apart, both ways, on one socket."""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Callable

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Timeout

__all__ = ["BREAK", "COM_PORT", "NEGOTIATES", "Telnet", "TelnetTransport"]

_SE, _SB, _WILL, _WONT, _DO, _DONT, _IAC = 240, 250, 251, 252, 253, 254, 255
_BINARY, _ECHO, _SUPPRESS_GO_AHEAD = 0, 1, 3
#: asks the server for a BREAK on its line (RFC 854); how long it is is the server's affair
BREAK = bytes([_IAC, 243])
#: option number (RFC 2217)
COM_PORT = 44
_THEIRS = frozenset({_BINARY, _ECHO, _SUPPRESS_GO_AHEAD})  # what the server may do
_LONGEST = 4096  # a longer subnegotiation is none
_REPLY = 1.0  # seconds for a server to take a few bytes

#: how a telnet server begins; nothing else that comes over a raw line does
NEGOTIATES = re.compile(rb"(?:\xff[\xfb-\xfe][\x00-\x31]){2}")


class Telnet:
    """The protocol alone, no input and output. ``ours`` are the options that we agree to besides the usual ones."""

    def __init__(self, *ours: int) -> None:
        self._ours = frozenset({_BINARY, _SUPPRESS_GO_AHEAD, *ours})
        self._asked = {(verb, option) for verb in (_DO, _WILL) for option in (_BINARY, _SUPPRESS_GO_AHEAD)}
        self._asked |= {(_WILL, option) for option in ours}
        #: what is to be sent, beginning with our wishes; filled by who reads, emptied by who writes
        self.replies = deque(bytes([_IAC, verb, option]) for verb, option in sorted(self._asked))
        #: options that the server lets us use, and those that it refused
        self.agreed: set[int] = set()
        self.refused: set[int] = set()
        #: whether the other side has negotiated anything
        self.heard = False
        #: called with each subnegotiation, its option first
        self.on_parameters: Callable[[bytes], None] = lambda parameters: None
        self._binary = {_WILL: False, _DO: False}
        self._rest = b""

    def feed(self, raw: bytes) -> bytes:
        """The data in what came. The beginning of a command waits for its end."""
        if not self._rest and _IAC not in raw and self._binary[_WILL]:
            return raw
        text, self._rest = self._rest + raw, b""
        data, at = [], 0
        while (found := text.find(_IAC, at)) >= 0:
            data.append(text[at:found])
            size = self._command(text, found)
            if not size:
                self._rest, text, at = text[found:], b"", 0
                break
            if text[found + 1] == _IAC:
                data.append(b"\xff")
            at = found + size
        data.append(text[at:])
        plain = b"".join(data)
        return plain if self._binary[_WILL] else self._without_nul(plain)

    def escaped(self, data: bytes) -> bytes:
        """Data as it is to be sent."""
        if not self._binary[_DO]:
            data = data.replace(b"\r", b"\r\0")
        return data.replace(b"\xff", b"\xff\xff")

    @staticmethod
    def parameters(option: int, values: bytes) -> bytes:
        """A subnegotiation."""
        return bytes([_IAC, _SB, option]) + values.replace(b"\xff", b"\xff\xff") + bytes([_IAC, _SE])

    # -- inside -------------------------------------------------------------------------------------------------

    def _without_nul(self, plain: bytes) -> bytes:
        """A server that is not binary sends a carriage return with a NUL behind it."""
        if plain.endswith(b"\r"):
            plain, self._rest = plain[:-1], b"\r" + self._rest
        return plain.replace(b"\r\0", b"\r")

    def _command(self, text: bytes, at: int) -> int:
        """Carry out the command there; its size, or 0 if it is not complete."""
        if len(text) < at + 2:
            return 0
        verb = text[at + 1]
        if verb == _SB:
            return self._subnegotiation(text, at)
        if not _WILL <= verb <= _DONT:
            return 2
        if len(text) < at + 3:
            return 0
        self._negotiate(verb, text[at + 2])
        return 3

    def _subnegotiation(self, text: bytes, at: int) -> int:
        match = re.compile(rb"((?:[^\xff]|\xff\xff)*)\xff([^\xff])", re.DOTALL).match(text, at + 2)
        if match is None:
            return 0 if len(text) - at < _LONGEST else 2
        if match[2][0] == _SE:
            self.on_parameters(match[1].replace(b"\xff\xff", b"\xff"))
        return match.end() - at

    def _negotiate(self, verb: int, option: int) -> None:
        self.heard = True
        if verb in (_WILL, _WONT):
            wanted, yes, no = verb == _WILL and option in _THEIRS, _DO, _DONT
        else:
            wanted, yes, no = verb == _DO and option in self._ours, _WILL, _WONT
            (self.agreed if wanted else self.refused).add(option)
        if option == _BINARY:
            self._binary[_WILL if yes == _DO else _DO] = wanted
        if (yes, option) in self._asked:  # an answer to our wish, or the same again: no answer to that
            if not wanted:
                self._asked.discard((yes, option))
            return
        if wanted:
            self._asked.add((yes, option))
        elif verb in (_WONT, _DONT):
            return  # it is off already
        self.replies.append(bytes([_IAC, yes if wanted else no, option]))


class TelnetTransport(FdTransport):
    """A line behind a telnet server. Reader and writer may be different threads."""

    def __init__(
        self,
        line: socket.socket,
        name: str,
        telnet: Telnet,
        *,
        send_break: Callable[[float], None] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(line, name, send_break=send_break, on_close=on_close)
        self._telnet = telnet
        self._sending = threading.Lock()
        self._early = b""

    def read(self) -> bytes:
        """See :class:`FdTransport`; negotiation is answered on the way."""
        early, self._early = self._early, b""
        return early or self.receive()

    def receive(self) -> bytes:
        """The same, but only what is new."""
        raw = super().read()
        if not raw:
            return b""
        data = self._telnet.feed(raw)
        self._reply()
        if not data:
            raise BlockingIOError
        return data

    def keep(self, data: bytes) -> None:
        """Data that came while the line was opened: the next read gets it."""
        self._early += data

    def write(self, data: bytes, deadline: Deadline) -> None:
        """See :class:`FdTransport`."""
        with self._sending:
            super().write(self._pending() + self._telnet.escaped(data), deadline)

    def send_parameters(self, option: int, values: bytes, deadline: Deadline) -> None:
        """A subnegotiation."""
        self.send_command(self._telnet.parameters(option, values), deadline)

    def send_command(self, command: bytes, deadline: Deadline) -> None:
        """A command as it is; like :meth:`write`."""
        with self._sending:
            super().write(self._pending() + command, deadline)

    def _reply(self) -> None:
        if self._telnet.replies and self._sending.acquire(blocking=False):  # else who is writing sends it next time
            try:
                super().write(self._pending(), Deadline.after(_REPLY))
            except (ConsoleLost, Timeout):
                pass  # the next read or write will tell
            finally:
                self._sending.release()

    def _pending(self) -> bytes:
        replies = self._telnet.replies
        return b"".join(replies.popleft() for _ in range(len(replies)))

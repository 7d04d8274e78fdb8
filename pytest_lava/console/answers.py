"""What comes from the agent: awaited, cleaned of kernel messages, proven, and asked for again if need be."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pytest_lava.console.asking import Asking
from pytest_lava.console.console import Console
from pytest_lava.console.frames import Header, find_header, proven, readings, streams_of
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.shell import OnOutput
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, InfrastructureError, Timeout

__all__ = ["Answer", "Answers", "Refused", "Replaced"]

T = TypeVar("T")

_CHUNK = 1 << 20
_HEADER = 400  # no header is longer
_CARRIED = 2048  # bytes looked at again: a header, and a kernel message in it that has not ended yet
_NOISE = 1 << 20  # bytes of kernel messages that may stand between the halves of a header
_ASK = 8  # times that a damaged answer is asked for again: first raw, then encoded
_ASK_RAW = 2
_LOST = 5.0  # seconds without a byte after which a request to answer again did not arrive; sums of much take their time
_STALL = 1.0  # seconds without a byte after which an answer that began will not go on, and a doubtful finding counts
_HELD = 0.1  # seconds without a byte after which a newline was output
_REFUSAL = re.compile(rb"~[0-9a-f]+!(\w{1,12})\.\r?\n")
_ENDING = re.compile(rb"~[0-9a-f]+;\d{1,3}\.\r?\n")
#: a prompt, as shells have them; whether it is one is then asked
_PROMPT = re.compile(rb"[#$>%] ?(?:\x1b\[[0-9;?]*[a-zA-Z])*\Z")
_MAYBE_HEADER = re.compile(rb"\n(?:~[0-9a-f;.-]*)?\Z")


class Refused(Exception):
    """The request came damaged, and nothing was run."""


class Replaced(Exception):
    """The agent is gone: another shell took its place."""


class _NoSum(Exception):
    """There is an answer, but the agent cannot sum it or cut it (yet)."""


@dataclass(frozen=True)
class Answer:
    """A complete, verified answer; ``end`` is its end in the console log."""

    header: Header
    streams: tuple[bytes, bytes]
    end: int
    #: the tty has lost its settings
    crooked: bool = False


class Answers:
    """Receives what one agent says."""

    def __init__(self, console: Console, asking: Asking) -> None:
        self._console = console
        self._asking = asking

    def receive(
        self,
        frame: str,
        start: int,
        limit: int,
        deadline: Deadline,
        on_output: OnOutput | None = None,
        *,
        silence: float = math.inf,
    ) -> Answer:
        """The answer that comes from ``start`` in the log on. ``Refused``, ``Timeout``, ``ConsoleLost``, a crash.

        Where output is live, ``silence`` is how many seconds may be without any.
        """
        begin, clean = start, True
        for asked in range(_ASK):
            try:
                found = self._one(frame, start, deadline, on_output, silence, again=asked > 0)
            except _NoSum:
                found = None
                self._let_it_sum(deadline)
            else:
                if isinstance(found, Header) and asked >= _ASK_RAW:
                    found = self._encoded(frame, found, limit, deadline)
                if isinstance(found, Answer):
                    self._console.proven(begin, found.end, *found.streams, exact=clean)
                    return found
                clean = False
            on_output = None
            start = self._console.end
            self._console.write(b"\nA %s %d\n" % (frame.encode(), limit), deadline)
        raise ConsoleLost("the console is too noisy: an answer was damaged eight times; lower the kernel's log level")

    def expect_live(self) -> None:
        """From now on programs write to the line, until an answer; to be said before they can have begun."""
        self._console.doubt(self._probe, raw=True)

    def _let_it_sum(self, deadline: Deadline) -> None:
        if self._unsummed:
            raise InfrastructureError("the board cannot count bytes, so no output is safe: it lacks cksum and wc")
        self._asking.define("agent_sums.sh", deadline)

    @property
    def _unsummed(self) -> bool:
        """Whether the board may have no program for sums."""
        return self._asking.knows("agent_sums.sh")

    # -- one answer ---------------------------------------------------------------------------------------------

    def _one(
        self, frame: str, start: int, deadline: Deadline, on_output: OnOutput | None, silence: float, *, again: bool
    ) -> Answer | Header | None:
        """A verified answer, or the header of one that is damaged beyond repair, or ``None`` if not even that came."""
        console = self._console
        found = self._await_header(frame, start, deadline, on_output, silence, again=again)
        if found is None:
            return None
        begin, header, exact = found
        trailer = b"~%s;%d.\n" % (frame.encode(), header.status)
        if exact:
            end = header.end + header.payload + len(trailer)
            if not self._await_bytes(end, deadline):
                return header
            if console.read(end - len(trailer), end) == trailer:
                streams = self._streamed(header, start) if "s" in header.flags else self._verified(header)
                if streams is not None:
                    return Answer(header, streams, end, header.returned or self._echoed(frame, start, header))
        behind = self._await_trailer(trailer[:-1], begin, deadline)
        if behind is None:
            return header
        for text in readings(console.read(begin, behind)):
            if (read := streams_of(text, frame, unsummed=self._unsummed)) is not None:
                return Answer(*read, behind, header.returned)
        return header

    def _await_header(
        self, frame: str, start: int, deadline: Deadline, on_output: OnOutput | None, silence: float, *, again: bool
    ) -> tuple[int, Header, bool] | None:
        """Where it may begin in the log, the header, and whether its offsets are those of the log."""
        console = self._console
        seen = told = start
        carried, live = b"", on_output is not None
        ending, refusal = b"~%s;" % frame.encode(), b"~%s!" % frame.encode()

        def tell(end: int) -> None:
            nonlocal told
            if on_output is not None and end > told:
                on_output(console.read(told, end))
                told = end

        def look() -> tuple[int, Header | None, bool] | None:
            nonlocal seen, carried
            base = max(start, seen - _HEADER)
            window = console.read(base)
            new, seen = window[seen - base :], base + len(window)
            if (header := find_header(window, frame, base=base, live=live)) is not None:
                tell(header.start - 1)
                return base, header, True
            tell(base + len(_MAYBE_HEADER.sub(b"", window)))
            carried = excise(carried + new)[-max(len(new), _CARRIED) :]
            if (header := find_header(carried, frame, live=live)) is not None:
                return max(start, base - _NOISE), header, False
            if what := _refused(carried, refusal, live=live):
                _refuse(what, again=again)
            # the end of an answer whose beginning nobody could read
            damaged = not live and ending in carried and _ENDING.search(carried, carried.find(ending))
            return (seen, None, False) if damaged else None

        # before the header no output is on the line, if it is not live: a finding is the kernel's own word
        if again:
            found = self._patiently(look, deadline)
        elif live:
            release = lambda: tell(seen) if console.read(told, seen) == b"\n" else None  # noqa: E731
            found = self._live(look, release, deadline, silence)
        else:
            found = self._attentively(look, start, deadline)
        begin, header, exact = found or (start, None, False)
        return (begin, header, exact) if header else None

    def _live(self, look: Callable[[], T | None], release: Callable[[], None], deadline: Deadline, silence: float) -> T:
        """Wait while output comes. ``look`` holds back a newline, as a header may begin with it: not for long.

        ``Timeout`` also if for ``silence`` seconds nothing comes.
        """
        console, what, quiet = self._console, "end of the command", max(_HELD, silence - _HELD)
        while True:
            try:
                return console.wait(look, deadline, what=what, quiet=_HELD)
            except Timeout:
                if deadline.expired:
                    raise
            release()
            end = console.end
            console.wait(lambda end=end: console.end > end or None, deadline, what=what, quiet=quiet)  # type: ignore[misc]

    def _attentively(self, look: Callable[[], T | None], start: int, deadline: Deadline) -> T:
        """Wait where nobody else writes to the line: a prompt there is another shell's. ``Replaced`` if it says so."""
        console, asked = self._console, start
        while True:
            try:
                return console.wait(look, deadline.at_most(_STALL), what="end of the command")
            except Timeout:
                if deadline.expired:
                    raise
            end = console.end
            if end != asked and _PROMPT.search(excise(console.read(max(start, end - _CARRIED), end))):
                if self._asking.stranger(deadline.at_most(_STALL)):
                    raise Replaced
                asked = console.end

    def _patiently(self, look: Callable[[], T | None], deadline: Deadline) -> T | None:
        """Wait where a finding of the watch may be program output: it counts when then nothing comes any more.

        ``None`` if nothing at all comes, so that the request was lost.
        """
        console, lost = self._console, Deadline.after(_LOST)
        while True:
            before = console.end
            try:
                return console.wait(look, deadline.at_most(_STALL), what="end of the command", watched=False)
            except Timeout:
                if deadline.expired:
                    raise
                if console.end != before:
                    lost = Deadline.after(_LOST)
                elif (finding := console.finding) is not None:
                    raise console.crash(finding) from None
                elif lost.expired:
                    return None

    def _probe(self) -> Callable[[], bool]:
        """Ping beside a command whose output is live."""
        token, start = self._asking.token().encode(), self._console.end
        self._console.write(b"\nP %s\n" % token, Deadline.after(_STALL))
        return lambda: b"~P%s." % token in excise(self._console.read(start))

    def _await_bytes(self, end: int, deadline: Deadline) -> bool:
        """Whether the log grows up to there; not if the line falls silent before."""
        console = self._console
        try:
            console.wait(
                lambda: console.end >= end or None,
                deadline,
                what="end of the answer",
                watched=False,
                grown_to=end,
                quiet=_STALL,
            )
        except Timeout:
            self._fell_silent(deadline)
            return False
        return True

    def _await_trailer(self, trailer: bytes, begin: int, deadline: Deadline) -> int | None:
        """Offset in the log behind the end of an answer; ``None`` if the line falls silent before."""
        console, sought = self._console, re.compile(re.escape(trailer) + rb"\r?\n")
        seen, carried = begin, b""

        def look() -> bool | None:
            nonlocal seen, carried
            new = console.read(seen)
            seen += len(new)
            text = carried + new
            if sought.search(text) or sought.search(text := excise(text)):
                return True
            carried = text[-_CARRIED:]
            return None

        try:
            console.wait(look, deadline, what="end of the answer", watched=False, quiet=_STALL)
        except Timeout:
            self._fell_silent(deadline)
            return None
        return seen

    def _fell_silent(self, deadline: Deadline) -> None:
        """Nothing comes any more: a crash if that began with a finding, ``Timeout`` if time is over."""
        if deadline.expired:
            raise Timeout("no end of the answer in time")
        if (finding := self._console.finding) is not None:
            raise self._console.crash(finding) from None

    # -- proof --------------------------------------------------------------------------------------------------

    def _verified(self, header: Header) -> tuple[bytes, bytes] | None:
        """Both streams, straight from the log, if their sums are right."""
        console, at = self._console, header.end
        streams = []
        for size, expected in zip(header.sizes, header.sums, strict=True):
            if not proven(_chunks(console, at, at + size), expected, size, unsummed=self._unsummed):
                return None
            streams.append(console.read(at, at + size))
            at += size
        return streams[0], streams[1]

    def _streamed(self, header: Header, start: int) -> tuple[bytes, bytes] | None:
        """What came live, if it was one stream alone and is right; both together cannot be taken apart."""
        size = sum(header.sizes)
        if not size:
            return b"", b""
        if 0 not in header.sizes:
            return None
        which = 0 if header.sizes[0] else 1
        live = self._console.read(start, header.start - 1)
        for text in (live, *readings(live)):
            data = text[:size]
            whole = len(text) == size or "t" in header.flags
            if whole and proven([data], header.sums[which], size, unsummed=self._unsummed):
                return (data, b"") if which == 0 else (b"", data)
        return None

    def _echoed(self, frame: str, start: int, header: Header) -> bool:
        """Whether the tty sent back what was typed."""
        early = self._console.read(start, min(header.start, start + _CARRIED)) if header.start > start + 1 else b""
        return b" %s " % frame.encode() in early

    # -- in an alphabet of its own ------------------------------------------------------------------------------

    def _encoded(self, frame: str, header: Header, limit: int, deadline: Deadline) -> Answer | None:
        """Each stream in an alphabet without ``[``, from which kernel records can be cut without doubt."""
        self._asking.define("agent_encoded.sh", deadline)
        streams = []
        for name, size, expected in zip("oe", header.sizes, header.sums, strict=True):
            data = self._encoded_stream(frame, name, limit, deadline) if size else b""
            if data is None or len(data) != size:
                return None
            if not proven([data], expected, size, unsummed=self._unsummed):
                return None
            streams.append(data)
        return Answer(header, (streams[0], streams[1]), self._console.end, header.returned)

    def _encoded_stream(self, frame: str, name: str, limit: int, deadline: Deadline) -> bytes | None:
        begins = re.compile(rb"~%s;%s;(\w+|-)~\r?\n" % (frame.encode(), name.encode()))
        start = self._console.end
        self._console.write(b"\nB %s %s %d\n" % (frame.encode(), name.encode(), limit), deadline)
        end = self._await_trailer(b"~%s;%s." % (frame.encode(), name.encode()), start, deadline)
        if end is None:
            return None
        text = excise(self._console.read(start, end))
        head, tail = begins.search(text), text.rfind(b"~%s;%s." % (frame.encode(), name.encode()))
        return _decode(head[1], text[head.end() : tail]) if head and tail >= head.end() else None


def _refused(text: bytes, mark: bytes, *, live: bool) -> bytes | None:
    """Why nothing was run, if the text says so; while output is live programs could say it, but not before they begin.

    Compiling an expression for each command would cost as much as a fork.
    """
    at = text.find(mark)
    found = _REFUSAL.match(text, at) if at >= 0 else None
    if found is None or (live and found[1] != b"k" and text[:at].strip(b"\r\n# ")):
        return None
    return found[1]


def _refuse(what: bytes, *, again: bool) -> None:
    if what == b"k":
        raise _NoSum
    if again:
        raise ConsoleLost("the agent on the board has forgotten a command: the shell was started anew")
    raise Refused


def _chunks(console: Console, begin: int, end: int) -> Iterator[bytes]:
    for at in range(begin, end, _CHUNK):
        yield console.read(at, min(end, at + _CHUNK))


def _decode(encoding: bytes, text: bytes) -> bytes | None:
    compact = b"".join(text.split())
    try:
        return base64.b64decode(compact, validate=True) if encoding == b"base64" else bytes.fromhex(compact.decode())
    except (ValueError, binascii.Error):
        return None

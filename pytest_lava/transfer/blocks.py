"""Files over the serial line: 8-bit blocks with a checksum each, only bad blocks again, resumed where a cut left off.

The board runs ``raw.sh`` in the agent's shell and moves the file behind one link of its own; names, compression
and the sum of the whole are the business of ``files.py``. Sizes in bytes.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.files import Progress
from pytest_lava.console.kernel_records import excise
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConsoleLost, KernelCrash, OperationFailed, Timeout
from pytest_lava.transfer.api import Contents
from pytest_lava.transfer.boardside import BoardSide
from pytest_lava.transfer.pace import GRAIN, Line
from pytest_lava.transfer.receive import Asked, Receiver, listen
from pytest_lava.transfer.sums import block_sum

__all__ = ["Blocks", "RawSerial"]

_ANSWER = 3.0  # seconds until the board says that it is ready
_AHEAD = 2  # blocks asked for at once: the board makes one ready while the other is on the line
_HELD = 4  # good blocks behind a bad one that are kept
_UGLY = 3  # failures of a raw block in a row after which base64 is tried
_PIECE = 4096  # bytes written at once
_PAUSE = 0.4  # seconds between two of them after which the board has given the block up
_PINGS = (1.0, 2.0, 4.0, 8.0, 16.0)
_FAREWELL = 4.0
_ALL_BYTES = bytes(range(256)) * 4


class RawSerial:
    """The carrier of shells that have the agent."""

    name = "serial"

    def __init__(self, shell: AgentShell, console: Console, board: BoardSide) -> None:
        self._shell = shell
        self._console = console
        self._board = board
        #: what is known of the line
        self.line = Line()

    @property
    def rate(self) -> float:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        return self.line.out.rate

    def ready(self, deadline: Deadline) -> None:
        """Call the board back from a transfer that was cut, and try the line once."""
        self._blocks(deadline).recover()
        if not self.line.probed:
            self.line.sums = self._board.facts(deadline).blocks
            self._board.ask(': >"$__f.q"; ln -sf "$__f.q" "$__f.p"; echo lava-ok', "it", deadline)
            self._blocks(deadline).probe()

    def put(self, contents: Contents, begin: int, progress: Progress, deadline: Deadline) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        self._blocks(deadline).put(contents, begin, progress)

    def get(
        self, size: int, write: Callable[[bytes], object], begin: int, progress: Progress, deadline: Deadline
    ) -> None:
        """See :class:`pytest_lava.transfer.api.Carrier`."""
        self._blocks(deadline).get(size, write, begin, progress)

    def _blocks(self, deadline: Deadline) -> Blocks:
        return Blocks(self._shell, self._console, deadline, self.line)


class Blocks:
    """One transfer; it ends at ``deadline``."""

    def __init__(self, shell: AgentShell, console: Console, deadline: Deadline, line: Line) -> None:
        self._shell = shell
        self._console = console
        self._deadline = deadline
        self._line = line
        self._nonce = "@" + secrets.token_hex(2)

    def recover(self) -> None:
        """Call the board back from a transfer that was cut: ``ConsoleLost`` if it does not answer."""
        if self._line.nonce:
            self._leave(self._deadline.at_most(sum(_PINGS)))

    def probe(self) -> None:
        """Find out whether the line is 8-bit clean, and how fast. The link must lead to an empty file."""
        data, line = _ALL_BYTES, self._line
        with self._session(0):
            for _ in range(2):
                began = monotonic()
                line.clean_out = self._send(0, data, encoded=False) == len(data)
                seconds = monotonic() - began
                if line.clean_out:
                    line.out.rate = line.back.rate = len(data) / max(seconds, 1e-3)
                    break
            if not line.clean_out and self._send(0, data, encoded=True) != len(data):
                raise ConsoleLost("the serial line is not 8-bit clean, and the board has no base64 to get around that")
            for _ in range(2):
                receiver = self._receiver()
                asked = self._ask(0, len(data), encoded=False)
                line.clean_in = receiver.receive([asked]) == data
                if line.clean_in:
                    break
                self._resync()
        line.probed = True

    def put(self, contents: Contents, begin: int, progress: Progress) -> None:
        """Append what is missing from ``begin`` on."""
        at, pace, line = begin, self._line.out, self._line
        with self._session(begin):
            while at < contents.size:
                block = contents.read(at, min(pace.size, contents.size - at))
                if not block:
                    raise OperationFailed("the file that is put became shorter meanwhile")
                began = monotonic()
                seen = self._send(at, block, encoded=not line.clean_out or pace.failures >= _UGLY)
                if seen == at + len(block):
                    pace.ok(len(block), monotonic() - began)
                    progress(seen, contents.size)
                else:
                    pace.failed(len(block))
                if not begin <= seen <= contents.size:
                    raise ConsoleLost("the board lost count in a file transfer")
                at = seen

    def get(self, size: int, write: Callable[[bytes], object], begin: int, progress: Progress) -> None:
        """Hand ``write`` the bytes from ``begin`` (a multiple of ``GRAIN``) on, in order."""
        pace, line = self._line.back, self._line
        asked: list[Asked] = []
        again: list[tuple[int, int]] = []
        held: dict[int, bytes] = {}
        at = fresh = begin
        with self._session(0):
            receiver = self._receiver()
            moment = monotonic()
            while at < size:
                while len(asked) < _AHEAD and (again or (fresh < size and len(held) < _HELD)):
                    if not again:
                        again.append((fresh, min(pace.size, size - fresh)))
                        fresh += again[0][1]
                    encoded = not line.clean_in or pace.failures >= _UGLY
                    asked.append(self._ask(*again.pop(0), encoded=encoded))
                block = receiver.receive(asked)
                now = monotonic()
                first = asked.pop(0)
                if block is None:
                    pace.failed(first.size)
                    again += list(_split(first.at, first.size, pace.size))
                    if receiver.silent:  # whatever else was asked for will not come either
                        again += [(one.at, one.size) for one in asked]
                        asked.clear()
                        self._resync()
                        receiver = self._receiver()
                    again.sort()
                else:
                    pace.ok(first.size, now - moment)
                    held[first.at] = block
                    while at in held:
                        block = held.pop(at)
                        write(block)
                        at += len(block)
                    progress(at, size)
                moment = now

    # -- the session --------------------------------------------------------------------------------------------

    @contextmanager
    def _session(self, at: int) -> Iterator[None]:
        """The board's loop, left whatever happens, so that the shell stays usable."""
        self.recover()
        self._line.nonce = self._nonce
        try:
            self._open(at)
            yield
        except (ConsoleLost, KernelCrash):
            raise  # nobody there to talk to
        except BaseException:
            with suppress(Timeout, ConsoleLost, KernelCrash):
                self._leave(Deadline.after(_FAREWELL + 2 * self._line.back.seconds(self._line.back.size)))
            raise
        self._leave(self._deadline)

    def _open(self, at: int) -> None:
        for _ in range(3):
            start = self._console.end
            # such a line is evaluated in the agent's own shell, which has the tty
            line = rf"\[ -s $__f.t ] && . $__f.t && __xfer {self._nonce} {at}"
            self._console.write(f"\n{line}\n".encode(), self._deadline)
            found = self._answer(rb"~X([@0-9a-f]+);(\d+)\.", start, _ANSWER)
            if found and (found[1].decode(), int(found[2])) == (self._nonce, at):
                return
            self._leave(self._deadline.at_most(sum(_PINGS)))
        raise ConsoleLost("the board did not begin the file transfer: its line is too noisy")

    def _leave(self, deadline: Deadline) -> None:
        for wait in _PINGS:
            # the second T is for the agent: set the tty again
            self._console.write(f"\n{self._line.nonce} T\n\\__tty\n".encode(), deadline)
            if self._shell.ping(deadline.at_most(wait)):
                self._line.nonce = ""
                return
            if deadline.expired:
                break
        raise self._lost()

    def _resync(self) -> int:
        """The board lost the thread, or we did: make sure that it listens. Returns where it stands."""
        for wait in _PINGS:
            token = secrets.token_hex(3)
            look = self._look(rb"~P%s;(\d+)\." % token.encode(), self._console.end)
            self._console.write(f"\n{self._nonce} P {token}\n".encode(), self._deadline)
            if found := listen(self._console, look, wait, self._deadline):
                return int(found[1])
            if self._console.finding is not None:
                break
        raise self._lost()

    def _lost(self) -> KernelCrash | ConsoleLost:
        if (finding := self._console.finding) is not None:
            return self._console.crash(finding)
        return ConsoleLost("the board stopped answering in the middle of a file transfer")

    # -- blocks -------------------------------------------------------------------------------------------------

    def _send(self, at: int, block: bytes, *, encoded: bool) -> int:
        """One block. Returns where the board stands now."""
        wire = base64.b64encode(block) if encoded else block
        arguments = f"{at};{len(block)};{self._sum(block)};{len(wire)}"
        start = self._console.end
        self._say(f"{'V' if encoded else 'U'} {arguments.replace(';', ' ')}")
        ready = self._answer(rb"~(?:R([^.]*)|K(\d+);(\d+))\.", start, _ANSWER)
        if ready is None:
            return self._resync()
        if ready[1] != arguments.encode():
            return self._resync()  # it waits for another block, in vain
        if not self._pour(wire):
            return self._resync()
        found = self._answer(rb"~(?:K(\d+);(\d+)|(F))\.", start, self._line.out.seconds(len(wire)) + 2)
        if found is None or (found[1] != found[2]):
            return self._resync()
        if found[3]:
            raise OperationFailed("no space left on the board for the file")
        return int(found[1])

    def _pour(self, wire: bytes) -> bool:
        """Write a block; stop if the board cannot but have given it up, or the rest would be taken for requests."""
        limit = self._deadline
        last = monotonic()
        for begin in range(0, len(wire), _PIECE):
            if monotonic() - last > _PAUSE:
                return False
            self._console.write(wire[begin : begin + _PIECE], limit)
            last = monotonic()
            if (finding := self._console.finding) is not None:  # nothing but the kernel writes now
                raise self._console.crash(finding)
        return True

    def _ask(self, at: int, size: int, *, encoded: bool) -> Asked:
        self._say(f"{'H' if encoded else 'G'} {at} {size}")
        return Asked(at, size, encoded)

    def _receiver(self) -> Receiver:
        return Receiver(self._console, self._deadline)

    def _say(self, request: str) -> None:
        # the first newline ends what may be left of a block that the board gave up
        self._console.write(f"\n{self._nonce} {request}\n".encode(), self._deadline)

    def _answer(self, pattern: bytes, start: int, seconds: float) -> re.Match[bytes] | None:
        """The first match in what came since ``start`` but for kernel records, which may be in the middle of it."""
        look = self._look(pattern, start)
        try:
            return self._console.wait(
                look, self._deadline.at_most(seconds), what="answer of the file transfer", watched=False
            )
        except Timeout:
            if self._deadline.expired:
                raise
            return None

    def _look(self, pattern: bytes, start: int) -> Callable[[], re.Match[bytes] | None]:
        expression = re.compile(pattern)
        return lambda: expression.search(excise(self._console.read(start)))

    def _sum(self, data: bytes) -> str:
        return block_sum(self._line.sums, [data])


def _split(at: int, size: int, piece: int) -> Iterator[tuple[int, int]]:
    assert piece % GRAIN == 0
    for begin in range(at, at + size, piece):
        yield begin, min(piece, at + size - begin)

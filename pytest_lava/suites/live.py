"""Cases of a program while it runs, and exactly the right ones in the end.

Live output is the console as it is, with kernel messages in it. Whole ones are taken out; as soon as one stands in the
middle of a program's line nothing more is told live, as results depend on the lines around them. The exact output,
which comes when the command has ended, is read once more, and what has not been told is told then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from pytest_lava.console.kernel_records import RECORD
from pytest_lava.suites.parsing import LineParser, ParsedCase, Told

__all__ = ["LiveReading"]

_CARRIED = 1 << 16  # characters of a line that does not end
_KEPT = 16 << 20  # bytes of live output that are read if nothing better comes


class LiveReading:
    """One command's output, read by what ``make`` makes. ``parser`` is who read the whole in the end."""

    def __init__(self, make: Callable[[Told], LineParser], tell: Told) -> None:
        self._make, self._tell = make, tell
        self._live = make(self._hear)
        self._heard: Counter[ParsedCase] = Counter()
        self._rest = b""
        self._kept = bytearray()
        self._doubtful = False
        self.parser = self._live
        self.remarks: list[str] = []

    @property
    def kept(self) -> bytes:
        """What came live, kernel messages among it, from its beginning."""
        return bytes(self._kept)

    def feed(self, data: bytes) -> None:
        """What comes from the console."""
        if len(self._kept) < _KEPT:
            self._kept += data
        if self._doubtful:
            return
        data = self._rest + data
        cut = data.rfind(b"\n") + 1
        head, self._rest = data[:cut], data[cut:]
        if b"[" in head:
            starts = (found.start() for found in RECORD.finditer(head))
            inside = next((at for at in starts if at and head[at - 1 : at] != b"\n"), None)
            if inside is not None:
                self._doubtful, head = True, head[: head.rfind(b"\n", 0, inside) + 1]
            head = RECORD.sub(b"", head)
        self._doubtful = self._doubtful or len(self._rest) > _CARRIED
        for line in head.decode(errors="replace").split("\n")[:-1]:
            self._live.feed(line)

    def _hear(self, case: ParsedCase) -> None:
        """Only what stands there; and nothing any more once a line seems to be missing."""
        if self._live.remarks or case.line is None:
            self._doubtful = True
            return
        self._heard[_key(case)] += 1
        self._tell(case)

    def _say(self, case: ParsedCase) -> None:
        key = _key(case)
        if self._heard[key]:
            self._heard[key] -= 1
        else:
            self._tell(case)

    def finish(self, exact: bytes) -> None:
        """The command has ended, and this is what it wrote."""
        self._read(exact, "")
        told = [case for case, count in self._heard.items() if count > 0]
        self.remarks += [f"the console had what the test did not print: {'::'.join(case.path)}" for case in told]

    def abandon(self, why: str) -> None:
        """There will be no exact output: what came live is what there is."""
        self._read(RECORD.sub(b"", bytes(self._kept)), why)

    def _read(self, output: bytes, why: str) -> None:
        self.parser = self._make(self._say)
        for line in output.decode(errors="replace").split("\n"):
            self.parser.feed(line)
        self.parser.finish(why)
        self.remarks += self.parser.remarks


def _key(case: ParsedCase) -> ParsedCase:
    """What makes two the same: the console may have had more output before it, or other lines."""
    return replace(case, output="", line=None)

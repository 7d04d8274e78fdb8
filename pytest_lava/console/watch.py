"""The watch: finds what a kernel complains of, how it dies and an unexpected reset in what the line says.

Patterns are data (:mod:`pytest_lava.console.patterns`). A line is looked at only if it holds one of their literals, so
watching costs next to nothing, and a full regular expression decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from pytest_lava.console.kernel_records import CALLER, STAMP
from pytest_lava.console.patterns import PATTERNS
from pytest_lava.console.watch_pattern import FindingKind, WatchPattern

__all__ = ["PATTERNS", "Finding", "FindingKind", "Watch", "WatchPattern"]

_LONGEST_LINE = 8192  # a longer "line" is binary output; its beginning is dropped
_LEARN = 65536  # bytes of a boot in which a record is looked for
_RETURNED = re.compile(rf"^{STAMP} [^\r\n]*\r\n".encode(), re.MULTILINE)
_STAMP = re.compile(STAMP.encode())
_HEAD = re.compile(rf"(?:<\d+>)?(?:{STAMP}{CALLER} ?)?".encode())


@dataclass(frozen=True)
class Finding:
    """A matching ``record``, from its time stamp (or else its line's beginning) on; ``offset`` is that in the log.

    ``traced`` says that more records belong to it; ``doubtful`` that a program may have written it, as programs write
    to the line by themselves; ``returned`` that its line ended with a carriage return, as all lines of a kernel do.
    """

    kind: FindingKind
    name: str
    record: bytes
    offset: int
    traced: bool = True
    doubtful: bool = False
    returned: bool = False

    @property
    def line(self) -> str:
        """The record as text."""
        return self.record.decode(errors="replace").strip()

    @property
    def message(self) -> str:
        """The same without time stamp and level."""
        return self.record[_HEAD.match(self.record).end() :].decode(errors="replace").strip()  # type: ignore[union-attr]


class Watch:
    """Looks at complete lines as they come.

    ``armed`` holds the kinds that end a wait now; boot banners only at a shell. With none the watch is off, with any
    it tells of crashes, stalls and warnings too.
    """

    _NOTED = frozenset({FindingKind.CRASH, FindingKind.STALL, FindingKind.WARN})

    def __init__(self, patterns: Iterable[WatchPattern] = PATTERNS) -> None:
        self._patterns = tuple(patterns)
        self._rest = b""
        self._rest_offset = 0
        self._to_learn = _LEARN
        #: whether the kernel is known to end its lines with a carriage return
        self.returns = False
        self.armed = frozenset()

    @property
    def armed(self) -> frozenset[FindingKind]:
        """The kinds that end a wait."""
        return self._armed

    @armed.setter
    def armed(self, kinds: Iterable[FindingKind]) -> None:
        self._armed = frozenset(kinds)
        wanted = self._armed | self._NOTED if self._armed else frozenset()
        self._wanted = [pattern for pattern in self._patterns if pattern.kind in wanted]
        # without a group around it the engine knows all first bytes, and skips the others fast
        literals = {pattern.literal: None for pattern in self._wanted}
        self._any = re.compile(b"[^\n]" if b"" in literals else b"|".join(map(re.escape, literals)))

    def feed(self, data: bytes, offset: int) -> list[Finding]:
        """What the lines completed by ``data`` (which begins at ``offset``) hold."""
        start = self._rest_offset if self._rest else offset
        text = self._rest + data
        cut = text.rfind(b"\n") + 1
        self._rest = text[cut:][-_LONGEST_LINE:]
        self._rest_offset = start + len(text) - len(self._rest)
        if self._to_learn > 0 and cut:
            self._to_learn -= cut
            if _RETURNED.search(text, 0, cut):
                self.returns, self._to_learn = True, 0
        return list(self.look(text[:cut], start)) if cut and self._wanted else []

    def look(self, lines: bytes, start: int) -> Iterator[Finding]:
        """What these whole lines hold, the first of which begins at ``start``."""
        done = 0
        for hit in self._any.finditer(lines):
            if hit.start() < done:
                continue
            at, begin = hit.start(), lines.rfind(b"\n", done, hit.start()) + 1 or done
            end = lines.find(b"\n", hit.end())
            done = end + 1 if end >= 0 else len(lines)
            if done - begin > _LONGEST_LINE:
                begin = done - _LONGEST_LINE
                again = self._any.search(lines, begin, done)
                if again is None:
                    continue
                at = again.start()
            begin = lines.rfind(b"\r", begin, at) + 1 or begin
            yield from self._decide(lines[begin:done], start + begin)

    def _decide(self, whole: bytes, offset: int) -> Iterator[Finding]:
        """What the records of a line say; one that began in the midst of a program's line stands behind that."""
        line, returned = whole.rstrip(b"\r\n"), whole.endswith(b"\r\n")
        begins = [0, *(stamp.start() for stamp in _STAMP.finditer(line, 1)), len(line)]
        for begin, end in pairwise(begins):
            record = line[begin:end]
            for pattern in self._wanted:
                if pattern.literal in record and pattern.regex.search(record):
                    yield Finding(pattern.kind, pattern.name, record, offset + begin, pattern.traced, returned=returned)
                    break

    def reset(self) -> None:
        """Forget the unfinished line: the board was switched off or the line was cut."""
        self._rest = b""

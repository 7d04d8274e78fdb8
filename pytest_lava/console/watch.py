"""The watch: finds what a kernel complains of, how it dies and an unexpected reset in what the line says.

Patterns are data (:mod:`pytest_lava.console.patterns`). A line is looked at only if it holds one of their literals, so
watching costs next to nothing, and a full regular expression decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_lava.console.patterns import PATTERNS
from pytest_lava.console.watch_pattern import FindingKind, WatchPattern

__all__ = ["PATTERNS", "Finding", "FindingKind", "Watch", "WatchPattern", "trace_before"]

_LONGEST_LINE = 8192  # a longer "line" is binary output; its beginning is dropped


@dataclass(frozen=True)
class Finding:
    """A matching line; ``offset`` is where it begins in the console log.

    ``traced`` says that more records belong to it, ``doubtful`` that a program may have written it.
    """

    kind: FindingKind
    name: str
    line: str
    offset: int
    traced: bool = True
    doubtful: bool = False

    @property
    def message(self) -> str:
        """The line without its time stamp."""
        return re.sub(r"^.*?\[ *\d+\.\d{6}\](?: ?\[ *[TC]\d+\])? |^<\d+>", "", self.line)


# What the kernel says first when something goes wrong, long before it calls it a panic (kernel/panic.c, lib/bug.c,
# arch/*/mm/fault.c, drivers/tty/sysrq.c).
_TRACE_BEGINS = re.compile(
    rb"[^\r\n]*(?:cut here \]---|BUG: |kernel BUG at |Oops|Internal error: |Unable to handle kernel |"
    rb"general protection fault|sysrq: Trigger a crash)"
)


def trace_before(text: bytes) -> bytes:
    """The end of ``text``, which stands before a panic, from the line on with which its trace begins."""
    match = _TRACE_BEGINS.search(text)
    return text[match.start() :] if match else b""


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
        return list(self.look(text[:cut], start)) if cut and self._wanted else []

    def look(self, lines: bytes, start: int) -> Iterator[Finding]:
        """What these whole lines hold, the first of which begins at ``start``."""
        done = 0
        for hit in self._any.finditer(lines):
            if hit.start() < done:
                continue
            begin = lines.rfind(b"\n", done, hit.start()) + 1 or done
            begin = lines.rfind(b"\r", begin, hit.start()) + 1 or begin
            end = lines.find(b"\n", hit.end())
            done = end + 1 if end >= 0 else len(lines)
            if (found := self._decide(lines[begin:done].rstrip(b"\r\n"), start + begin)) is not None:
                yield found

    def _decide(self, line: bytes, offset: int) -> Finding | None:
        for pattern in self._wanted:
            if pattern.literal in line and pattern.regex.search(line):
                text = line.decode(errors="replace").strip()
                return Finding(pattern.kind, pattern.name, text, offset, pattern.traced)
        return None

    def reset(self) -> None:
        """Forget the unfinished line: the board was switched off or the line was cut."""
        self._rest = b""

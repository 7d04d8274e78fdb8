"""The watch: finds a dying kernel or an unexpected reset in what the line says, whoever is waiting for what.

Patterns are data. A line is looked at only if it holds one of their literals (a plain substring search, so watching
costs next to nothing), and a full regular expression decides. Sources: the kernel's own messages (``kernel/panic.c``,
``init/main.c``, ``init/do_mounts.c``), and LAVA's table (``lava_dispatcher/utils/messages.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PATTERNS", "Finding", "FindingKind", "Watch", "WatchPattern", "trace_before"]

_LONGEST_LINE = 8192  # a longer "line" is binary output; its beginning is dropped


class FindingKind(StrEnum):
    """How grave a finding is."""

    FATAL = "fatal"
    BOOT = "boot"


@dataclass(frozen=True)
class WatchPattern:
    """A name, the literal that every match holds, and the expression that decides."""

    kind: FindingKind
    name: str
    literal: bytes
    regex: re.Pattern[bytes]


@dataclass(frozen=True)
class Finding:
    """A matching line; ``offset`` is where it begins in the console log."""

    kind: FindingKind
    name: str
    line: str
    offset: int


def _pattern(kind: FindingKind, name: str, literal: str, regex: str) -> WatchPattern:
    return WatchPattern(kind, name, literal.encode(), re.compile(regex.encode()))


# A kernel record begins with its time stamp (CONFIG_PRINTK_TIME) and perhaps a caller id, behind whatever a program
# had written of its line by then; without a time stamp it is known only at the beginning of a line.
_RECORD = r"(?:^(?:<\d+>)?|\[ *\d+\.\d{6}\](?: ?\[ *[TC]\d+\])? )"

PATTERNS: tuple[WatchPattern, ...] = (
    _pattern(FindingKind.FATAL, "panic", "Kernel panic", _RECORD + r"Kernel panic - not syncing"),
    _pattern(FindingKind.FATAL, "no-init", "No working init", _RECORD + r"No working init found"),
    _pattern(FindingKind.FATAL, "no-root", "Unable to mount root", _RECORD + r"VFS: Unable to mount root fs"),
    _pattern(FindingKind.BOOT, "u-boot", "U-Boot ", r"^U-Boot (?:SPL |TPL )?20\d\d"),
    _pattern(FindingKind.BOOT, "barebox", "barebox 20", r"^barebox 20\d\d"),
    _pattern(FindingKind.BOOT, "grub", "GNU GRUB", r"GNU GRUB +version"),
    _pattern(
        FindingKind.BOOT, "restart", "reboot: ", _RECORD + r"reboot: (?:Restarting system|Power down|System halted)"
    ),
    _pattern(FindingKind.BOOT, "linux", "Linux version ", _RECORD + r"Linux version \d"),
)

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
    """Looks at complete lines as they come. ``armed`` holds the kinds that count now; boot banners only at a shell."""

    def __init__(self, patterns: Iterable[WatchPattern] = PATTERNS) -> None:
        self._patterns = tuple(patterns)
        self._rest = b""
        self._rest_offset = 0
        self.armed: frozenset[FindingKind] = frozenset()

    def feed(self, data: bytes, offset: int) -> list[Finding]:
        """What the lines completed by ``data`` (which begins at ``offset``) hold."""
        start = self._rest_offset if self._rest else offset
        text = self._rest + data
        cut = text.rfind(b"\n") + 1
        self._rest = text[cut:][-_LONGEST_LINE:]
        self._rest_offset = start + len(text) - len(self._rest)
        if not cut or not self.armed:
            return []
        lines = text[:cut]
        suspects = [p for p in self._patterns if p.kind in self.armed and p.literal in lines]
        return self._decide(suspects, lines, start) if suspects else []

    def reset(self) -> None:
        """Forget the unfinished line: the board was switched off or the line was cut."""
        self._rest = b""

    @staticmethod
    def _decide(suspects: list[WatchPattern], lines: bytes, start: int) -> list[Finding]:
        found = []
        at = 0
        for line in lines.splitlines(keepends=True):
            for pattern in suspects:
                if pattern.literal in line and pattern.regex.search(line.strip(b"\r\n")):
                    text = line.decode(errors="replace").strip()
                    found.append(Finding(pattern.kind, pattern.name, text, start + at))
            at += len(line)
        return found

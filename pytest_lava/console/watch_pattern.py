"""One thing that the watch looks for: its class, the literal that every match holds, the expression that decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pytest_lava.console.kernel_records import CALLER, STAMP
from pytest_lava.errors import ConfigurationError

__all__ = ["RECORD_START", "FindingKind", "PatternTable", "WatchPattern", "literal_in"]

#: How a kernel record begins: its time stamp (CONFIG_PRINTK_TIME) and perhaps a caller id, behind whatever a program
#: had written of its line by then. Without a time stamp it is known only at the beginning of a line.
RECORD_START = rf"(?:^(?:<\d+>)?|{STAMP}{CALLER} )"
_QUANTIFIER = re.compile(r"(?:[*?]|\{\d*,?\d*\})[?+]?")
_ESCAPE = re.compile(r"\\(?:x..|\d+|[a-zA-Z])")
_IGNORES = re.compile(r"\(\?[a-zA-Z]*[ix]")


class FindingKind(StrEnum):
    """How grave a finding is. Only fatal and boot end a wait; the others a board may survive."""

    #: the kernel is dead
    FATAL = "fatal"
    #: it met a bug of its own and may go on, damaged
    CRASH = "crash"
    #: something hangs, and may go on later
    STALL = "stall"
    #: it complains
    WARN = "warn"
    #: it (or a boot loader) starts, which at a shell nobody has asked for
    BOOT = "boot"


@dataclass(frozen=True)
class WatchPattern:
    """``regex`` is searched in whole lines without their ends, those that hold ``literal`` (empty: all).

    ``traced`` says that more records belong to it: registers, a call trace.
    """

    name: str
    kind: FindingKind
    literal: bytes
    regex: re.Pattern[bytes]
    source: str = ""
    traced: bool = True

    @classmethod
    def of(cls, name: str, kind: str, regex: str, *, source: str = "", traced: bool = True) -> WatchPattern:
        """A pattern whose literal is found in ``regex``. ``ValueError`` if that or the class is wrong."""
        if kind not in list(FindingKind):
            raise ValueError(f"there is no class {kind!r}; classes are {', '.join(FindingKind)}")
        try:
            compiled = re.compile(regex.encode())
        except re.error as error:
            raise ValueError(f"this is not a valid regular expression: {error}") from None
        if compiled.search(b""):
            raise ValueError("this matches an empty line, so it would match every line")
        return cls(name, FindingKind(kind), literal_in(regex), compiled, source, traced)


class PatternTable:
    """Patterns by name; what :func:`pytest_lava.hookspecs.lava_watch` gets."""

    def __init__(self, patterns: Iterable[WatchPattern] = ()) -> None:
        self._patterns = list(patterns)

    def __iter__(self) -> Iterator[WatchPattern]:
        return iter(self._patterns)

    def names(self) -> list[str]:
        """Of all patterns."""
        return sorted({pattern.name for pattern in self._patterns})

    def add(self, name: str, kind: str, regex: str, *, source: str = "", traced: bool = True) -> None:
        """Look for one thing more. ``ConfigurationError`` if the name is taken or the rest is wrong."""
        if name in self.names():
            raise ConfigurationError(f"the watch has a pattern {name!r} already; give yours another name")
        try:
            self._patterns.append(WatchPattern.of(name, kind, regex, source=source, traced=traced))
        except ValueError as error:
            raise ConfigurationError(f"watch pattern {name!r}: {error}") from None


def literal_in(regex: str) -> bytes:
    """The longest run of plain characters that every match of ``regex`` holds; empty if none can be seen.

    It reads only what is plain at the outermost level: groups, classes and alternatives count as unknown.
    """
    if _IGNORES.search(regex):
        return b""
    runs, run, at = [], "", 0
    while at < len(regex):
        char = regex[at]
        if char == "|":
            return b""
        if quantifier := _QUANTIFIER.match(regex, at):
            runs.append(run[:-1])
            run, at = "", quantifier.end()
        elif char in "[(.^$+" or _ESCAPE.match(regex, at):
            runs.append(run)
            run, at = "", _behind(regex, at)
        else:
            at += char == "\\"
            run += regex[at]
            at += 1
    return max([*runs, run], key=len).encode()


def _behind(regex: str, at: int) -> int:
    """Where the class, group, escape or special character at ``at`` ends, together with a quantifier of its own."""
    if escape := _ESCAPE.match(regex, at):
        end = escape.end()
    elif regex[at] == "[":
        begin = at + (2 if regex.startswith("[^", at) else 1)
        end = begin + 1
        while regex[end - 1] != "]" or end - 1 == begin:
            end += 2 if regex[end] == "\\" else 1
    elif regex[at] == "(":
        end = at + 1
        while regex[end] != ")":
            end = _behind(regex, end) if regex[end] in "([\\" else end + 1
        end += 1
    else:
        end = at + 2 if regex[at] == "\\" else at + 1
    quantifier = _QUANTIFIER.match(regex, end)
    return quantifier.end() if quantifier else end

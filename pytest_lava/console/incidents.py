"""Incidents: what the kernel said of one misfortune, from the first line of its trace to the last.

A trace begins with a line such as ``cut here``, ``BUG:`` or ``Unable to handle`` and ends with ``end trace`` or ``end
Kernel panic`` (``kernel/panic.c``, ``lib/bug.c``); on x86 the registers of an oops stand behind that. Where it has no
such end, it ends when the kernel is quiet.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pytest_lava.console.watch import Finding, FindingKind

__all__ = ["Incident", "ends_trace", "evidence_of", "incidents_of"]

#: reads bytes of the console log between two offsets
Read = Callable[[int, int], bytes]

_BEFORE = 8192  # bytes before a finding in which its trace may have begun
_BEHIND = 65536  # bytes of a trace
_LINES = 400  # of a trace that has no end
_BANNER = 2000  # bytes before an unexpected reset that tell what went before
_QUIET = 0.5  # seconds between two records of which the second has nothing to do with the first
_LONG_AGO = 5.0  # seconds after which a trace has nothing to do with the panic behind it
_LONGEST = 8192  # bytes of a line
_OPENING = 3  # lines before a finding among which its trace begins, unless it is a panic
_GRAVITY = list(FindingKind)

_RECORD = re.compile(rb"\[ *(\d+\.\d{6})\](?: ?\[ *[TC]\d+\])? ?[^\r\n]*")
# kernel/panic.c, lib/bug.c, arch/*/mm/fault.c, arch/*/kernel/traps.c, drivers/tty/sysrq.c, kernel/locking/lockdep.c
_BEGINS = re.compile(
    rb"cut here \]---|BUG: |kernel BUG at |Oops|Internal error: |Unable to handle kernel |general protection fault|"
    rb"sysrq: Trigger a crash|INFO: task |detected stall|======================"
)
_ENDS = {
    FindingKind.FATAL: re.compile(rb"---\[ end Kernel panic"),
    FindingKind.CRASH: re.compile(rb"---\[ end (?:trace|Kernel panic)"),
    FindingKind.WARN: re.compile(rb"---\[ end trace|: Killed process \d"),
}
# arch/x86/kernel/dumpstack.c: oops_end() shows the registers of the kernel once more; kernel/exit.c: make_task_dead()
_TWICE = re.compile(rb"\] RIP: 0010:")
_LAST_REGISTERS = re.compile(rb"\] CR2: ")
_BEHIND_END = re.compile(
    rb"\] (?:\[ *[TC]\d+\] ?)?(?:(?:[RE]IP|Code|RSP|ESP|R[A-Z0-9]{2}|E[A-Z]{2}|FS|CS|DS|CR[0-9]|DR[0-9]|PKRU): |note: |"
    rb"Fixing recursive fault)"
)


@dataclass(frozen=True)
class Incident:
    """One misfortune: its gravest finding gives it class, name and message; offsets are those of the console log.

    ``complete`` if its last line says that it is the last; ``doubtful`` if a program may have written it.
    """

    kind: FindingKind
    name: str
    message: str
    trace: str
    start: int
    end: int
    complete: bool = True
    doubtful: bool = False


@dataclass
class _Span:
    """Where the trace of a finding lies; ``closed`` if a line says that it ends, ``whole`` if nothing can follow."""

    start: int
    end: int
    closed: bool
    finding: Finding
    whole: bool = True


@dataclass(frozen=True)
class _Line:
    """A line of the log, from its time stamp on; ``stamp`` is the kernel's clock in seconds if it prints one."""

    start: int
    end: int
    text: bytes
    stamp: float | None


def ends_trace(said: bytes) -> bool:
    """Whether the trace of a panic is complete in ``said``, its last line too."""
    last = _ENDS[FindingKind.FATAL].search(said)
    return last is not None and b"\n" in said[last.end() :]


def incidents_of(read: Read, findings: Iterable[Finding], boundaries: Sequence[int] = ()) -> list[Incident]:
    """Put findings (in the order of the log) with their traces; those within one trace are one incident.

    But for a task that hangs or a processor that stalls: somebody else says so, in the midst of what is told. No trace
    crosses one of the ``boundaries`` (ascending): there another board begins, whose clock may go on where this one's
    stopped.
    """
    boards = groupby(findings, key=lambda finding: bisect_right(boundaries, finding.offset))
    limits = (0, *boundaries, sys.maxsize)
    return [one for number, found in boards for one in _of_board(read, found, limits[number], limits[number + 1])]


def _of_board(log: Read, findings: Iterable[Finding], floor: int, ceiling: int) -> list[Incident]:
    """What one board said, between two offsets of the log."""

    def read(begin: int, end: int) -> bytes:
        return log(begin, min(end, ceiling))

    spans: list[_Span] = []
    beside: list[_Span] = []
    for finding in findings:
        span, last = _span(read, finding, floor), spans[-1] if spans else None
        if last is None or span.start >= last.end:
            spans.append(span)
        elif finding.kind is FindingKind.STALL and last.closed and last.start < finding.offset:
            span.start = finding.offset
            beside.append(span)
        elif last.closed or span.start <= last.start:
            last.start, last.end = min(last.start, span.start), max(last.end, span.end)
            last.closed, last.whole = span.closed, span.whole
            last.finding = min(last.finding, finding, key=lambda one: _GRAVITY.index(one.kind))
        else:
            last.end = span.start
            spans.append(span)
    return [_incident(read, span) for span in sorted(spans + beside, key=lambda span: span.start)]


def evidence_of(read: Read, finding: Finding, boundary: int) -> str:
    """What came with a finding that ends a wait, as it came; for a reset what went before it too."""
    if finding.kind is FindingKind.BOOT:
        begin = max(boundary, finding.offset - _BANNER)
    else:
        own = next(_lines(read, finding.offset, finding.offset + _LONGEST))
        begin = _start(read, finding, own, boundary)
    return read(begin, finding.offset + _BEHIND).decode(errors="replace")


def _incident(read: Read, span: _Span) -> Incident:
    found = span.finding
    return Incident(
        found.kind, found.name, found.message, _text(read, span), span.start, span.end, span.closed and span.whole,
        found.doubtful,
    )  # fmt: skip


def _span(read: Read, finding: Finding, floor: int) -> _Span:
    own = next(_lines(read, finding.offset, finding.offset + _LONGEST))
    if not finding.traced:
        return _Span(finding.offset, own.end, True, finding)
    end, closed, whole = _end(read, finding, own)
    return _Span(_start(read, finding, own, floor), end, closed, finding, whole)


def _start(read: Read, finding: Finding, own: _Line, floor: int) -> int:
    """Where the first line stands that belongs to a finding's trace."""
    fatal = finding.kind is FindingKind.FATAL
    begin = max(floor, finding.offset - _BEFORE)
    before = [
        line for line in _lines(read, begin, finding.offset) if _belongs(line, own, _LONG_AGO if fatal else _QUIET)
    ]
    before = _in_one_go(before, own)
    start = finding.offset
    for line in before if fatal else before[-_OPENING:]:
        if start == finding.offset and _BEGINS.search(line.text):
            start = line.start
        if not fatal and _ENDS[FindingKind.CRASH].search(line.text):
            start = finding.offset  # that was another one's
    return start


def _in_one_go(lines: list[_Line], last: _Line) -> list[_Line]:
    """Those at the end between which the kernel's clock has no gap: what was said before that is another matter."""
    for number, line in reversed(list(enumerate(lines))):
        if not _belongs(line, last, _QUIET):
            return lines[number + 1 :]
        last = line
    return lines


def _end(read: Read, finding: Finding, own: _Line) -> tuple[int, bool, bool]:
    """Where the last line ends that belongs to it, whether a line says so, and whether nothing can follow any more."""
    ends, last, closed, whole = _ENDS.get(finding.kind), own, False, True
    for number, line in enumerate(_lines(read, finding.offset, finding.offset + _BEHIND)):
        if not _belongs(line, last, _QUIET):
            if line.stamp is None:
                continue
            break
        if closed and not _BEHIND_END.search(line.text):
            break
        last = line
        if finding.kind is FindingKind.CRASH:
            whole = (whole and not _TWICE.search(line.text)) or (
                closed and _LAST_REGISTERS.search(line.text) is not None
            )
        closed = closed or (ends is not None and ends.search(line.text) is not None)
        if number >= _LINES:
            break
    return last.end, closed, whole


def _belongs(line: _Line, other: _Line, seconds: float) -> bool:
    """Whether the kernel may have said both in one go. With time stamps, lines without are of programs."""
    if line.stamp is None or other.stamp is None:
        return line.stamp is other.stamp
    return abs(line.stamp - other.stamp) <= seconds


def _text(read: Read, span: _Span) -> str:
    lines = list(_lines(read, span.start, span.end))
    stamped = bool(lines) and lines[0].stamp is not None
    texts = [line.text for line in lines if (line.stamp is not None) == stamped]
    return b"\n".join(texts).decode(errors="replace")


def _lines(read: Read, begin: int, end: int) -> Iterator[_Line]:
    at = begin
    for line in read(begin, end).splitlines(keepends=True):
        record = _RECORD.search(line)
        start = at + (record.start() if record else 0)
        at += len(line)
        text = record[0] if record else line.rstrip(b"\r\n")
        yield _Line(start, at, text, float(record[1]) if record else None)

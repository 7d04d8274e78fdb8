"""The console: one reader thread per board from open to close, one byte log, and everybody waits on the same bell."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pytest_lava.console.bytelog import ByteLog
from pytest_lava.console.cut import Cut
from pytest_lava.console.doubt import Doubt, Probe
from pytest_lava.console.findings import Findings
from pytest_lava.console.incidents import Incident, ends_trace, evidence_of, incidents_of
from pytest_lava.console.marks import Marks
from pytest_lava.console.reading import LineReader
from pytest_lava.console.search import Found, Search
from pytest_lava.console.transport import Transport
from pytest_lava.console.watch import Finding, FindingKind, Watch
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import NO_ROOM, ConsoleLost, InfrastructureError, KernelCrash, LogFull, Timeout, UnexpectedReset
from pytest_lava.responsiveness import Responsiveness

__all__ = ["Console"]

T = TypeVar("T")

_TRACE_QUIET = 0.3  # seconds of silence after which a trace is complete
_TRACE_SECONDS = 5.0  # seconds that a trace may take
_TRACE = 65536  # bytes of a trace in an error
_LOOK = 0.05  # seconds between two looks at a finding that is not sure yet
_WHO = {"u-boot-hang": "U-Boot gave up"}  # patterns of what is no kernel


class Console:
    """A board's serial line.

    Offsets are absolute positions in the log, so no reader can eat what another one wants::

        start = console.end
        console.write(b"uname -a\\n", deadline)
        found = console.expect([re.compile(rb"[#$] ")], start=start, deadline=deadline)
    """

    def __init__(self, log: Path, *, watch: Watch | None = None) -> None:
        self.log = log
        try:
            self._bytes = ByteLog(log)
        except OSError as error:
            raise InfrastructureError(f"cannot write the console log {log}: {error.strerror}") from error
        self._findings = Findings(watch or Watch())
        self._doubt: Doubt | None = None
        self._bell = threading.Condition()
        #: ends calls from another thread
        self.cut = Cut(self._bell)
        self._ending = threading.Lock()  # two threads may end it at once
        self._needs: list[int] = []  # offsets that those who wait are waiting for
        self._transport: Transport | None = None
        self._reader: threading.Thread | None = None
        self._reading: LineReader | None = None
        #: why the line ended, behind its name; None as long as it is there
        self.lost: str | None = None
        self._heard_at = monotonic()
        self._full = False  # no space for the log
        #: the finding that an error was made of
        self.told: Finding | None = None
        #: why the shell does not come back; None once it answers again or the board was switched off
        self.hang: Responsiveness | None = None
        #: kernel.sysrq of the kernel that runs, or its first digit, as its shell told; empty if that is not known
        self.sysrq = ""
        #: where the log of the board begins that is there now, see :meth:`mark_boundary`
        self.boundary = 0
        self._boundaries: list[int] = []  # of all boards that were
        #: called with what :meth:`mark` gets, for an event log
        self.on_mark: Callable[[str], None] | None = None
        #: what was typed, and what people are not shown
        self.typed = Marks(lambda: self.end)

    # -- the line -----------------------------------------------------------------------------------------------

    def attach(self, transport: Transport) -> None:
        """Read from this line from now on, in a thread of its own. The console closes it, also if this fails."""
        self.detach()
        line = LineReader(transport)
        reader = threading.Thread(
            target=self._read, args=(line, transport.name), name=f"console {transport.name}", daemon=True
        )
        self._transport, self._reading, self.lost, self._full = transport, line, None, False
        try:
            reader.start()
        except RuntimeError as error:
            self._release()
            raise ConsoleLost(f"cannot read from {transport.name}: {error}: too many processes here") from error
        self._reader = reader

    def detach(self) -> None:
        """Stop reading and close the line; the log stays."""
        with self._ending:
            if self._reader is None or self._reading is None:
                return
            self._reading.stop()
            self._reader.join()
            self._release()

    def close(self) -> None:
        """Close the line and the log."""
        self.detach()
        self._bytes.close()

    @property
    def attached(self) -> bool:
        """Whether there is a line to talk to."""
        return self._reader is not None and self.lost is None

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Send bytes. ``ConsoleLost`` or ``Timeout`` if the line does not take them."""
        line, reading = self._line(), self._reading
        if reading is not None:
            reading.typed()
        with self.cut:
            line.write(data, deadline)

    def send_break(self) -> None:
        """Hold BREAK, which a Linux console takes as the SysRq key."""
        self._line().send_break()

    # -- the log ------------------------------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """Offset behind the last byte that came."""
        return self._bytes.end

    def read(self, start: int, end: int | None = None) -> bytes:
        """Bytes of the log."""
        with self._bell:
            return self._bytes.read(start, end)

    def text(self, start: int, end: int | None = None) -> str:
        """The same as text, undecodable bytes replaced."""
        return self.read(start, end).decode(errors="replace")

    def mark(self, text: str) -> None:
        """Note what was typed here: without echo the log would not tell."""
        self.typed.add(text)
        if self.on_mark:
            self.on_mark(text)

    def mark_boundary(self, at: int | None = None) -> int:
        """From here on the board is another one (power cycle): no pattern matches across, old findings are gone."""
        with self._bell:
            self.boundary, self.hang, self.sysrq = self._bytes.end if at is None else at, None, ""
            self._boundaries.append(self.boundary)
            self._doubt = None
            self._findings.new_board(self.boundary)
        return self.boundary

    # -- the watch ----------------------------------------------------------------------------------------------

    def arm(self, *kinds: FindingKind) -> None:
        """Which kinds of findings end a wait: fatal, and boot where nobody has asked for one."""
        with self._bell:
            self._findings.armed = frozenset(kinds)

    def calm(self, until: float) -> None:
        """A resumed board may complain of stalls until its own clock (seconds since its boot) says ``until``."""
        with self._bell:
            self._findings.calm(until)

    @property
    def finding(self) -> Finding | None:
        """The first of an armed kind since the last boundary, unless an answer proved that the kernel lives."""
        with self._bell:
            return self._findings.first()

    def findings(self, begin: int = 0, end: int | None = None) -> list[Finding]:
        """All of a range of the log, of every class, also from before a boundary; of very many only the newest."""
        with self._bell:
            return self._findings.between(begin, end)

    def incidents(self, begin: int = 0, end: int | None = None) -> list[Incident]:
        """The same with their traces; what is said within one trace is one incident."""
        return incidents_of(self.read, self.findings(begin, end), self._boundaries)

    def let_traces_end(self, begin: int) -> None:
        """Wait until the last trace from ``begin`` on is complete, or the line is quiet for a moment."""
        deadline = Deadline.after(_TRACE_SECONDS)
        while (incidents := self.incidents(begin)) and not incidents[-1].complete and not deadline.expired:
            if not self._more(self.end, deadline.at_most(_TRACE_QUIET)):
                break

    def doubt(self, probe: Probe | None = None, *, raw: bool = False, sign: bytes = b"") -> None:
        """From now on programs write to the line by themselves, until an answer is :meth:`proven`.

        A finding then counts if ``probe`` (which asks whether the kernel lives, without waiting) has no answer within
        a second; without one if the line falls silent, and neither ``sign`` nor anything else shows that programs run.
        ``raw``: the tty adds no carriage returns, so lines without one are no kernel's that else has them.
        """
        with self._bell:
            if self._doubt is None:
                self._doubt = Doubt(probe, returned=raw and self._findings.returns, sign=sign)

    def proven(self, begin: int, end: int, *outputs: bytes, exact: bool = True) -> None:
        """An exact answer lies in this range of the log, with ``outputs`` as the words of programs.

        What they wrote is no finding. Other records in the range are the kernel's, and it lives: whatever looked like
        its end before ``end`` was none. Not ``exact``: the range also holds damaged or more output, so findings there
        stay only if the outputs hold none of the same name.
        """
        with self._bell:
            self._doubt = None
            self._findings.lives(end)
            self._findings.prove(begin, end, outputs, exact=exact)

    def kernel_lives(self) -> None:
        """It answered: whatever looked like its end until now was none."""
        with self._bell:
            self._findings.lives(self._bytes.end)

    def dismiss_findings(self, begin: int = 0, end: int | None = None, *, complaints_only: bool = False) -> None:
        """Those of a range (default: all) are none: somebody asked for what they show, or knows better."""
        with self._bell:
            self._findings.dismiss(begin, end, complaints_only=complaints_only)

    def certain(self, finding: Finding) -> bool:
        """Whether it is the kernel's, and its last words have ended: nobody needs to be asked any more."""
        return not finding.doubtful and ends_trace(self.read(finding.offset, finding.offset + _TRACE))

    def crash(self, finding: Finding) -> KernelCrash:
        """The error for a finding, with the trace once it is complete (or the line is quiet)."""
        deadline = Deadline.after(_TRACE_SECONDS)
        while not ends_trace(self.read(finding.offset, finding.offset + _TRACE)):
            if deadline.expired or not self._more(self.end, deadline.at_most(_TRACE_QUIET)):
                break
        kind = UnexpectedReset if (reset := finding.kind is FindingKind.BOOT) else KernelCrash
        what = "the board reset by itself" if reset else _WHO.get(finding.name, "the kernel crashed")
        self.told = finding
        return kind(f"{what}: {finding.message}", evidence=evidence_of(self.read, finding, self.boundary))

    # -- waiting ------------------------------------------------------------------------------------------------

    def wait(
        self,
        check: Callable[[], T | None],
        deadline: Deadline,
        *,
        what: str,
        watched: bool = True,
        grown_to: int = 0,
        quiet: float = math.inf,
    ) -> T:
        """Call ``check`` after each chunk until it returns something.

        Who knows that it will not before the log has ``grown_to`` some offset is not woken before, which is cheaper.
        Raises ``Timeout`` ("no *what* in time", also if nothing comes for ``quiet`` seconds), ``ConsoleLost`` at end of
        file, ``KernelCrash`` on a finding.
        """
        silence, heard = Deadline.after(quiet), self.end
        while True:
            last_look = deadline.expired  # also on a line that never falls silent
            seen = self.end
            if seen != heard:
                silence, heard = Deadline(self._heard_at + quiet), seen
            last_look |= silence.expired
            value = check()
            if value is not None:
                return value
            until = deadline
            if watched and (finding := self.finding) is not None and finding.offset < seen:
                if not self._may_live(finding):
                    raise self.crash(finding)
                until = Deadline.after(_LOOK)
            if (left := self.cut.left(self._heard_at) if watched else math.inf) <= 0:
                raise self.cut.error(what, self._last_lines())
            with self._bell:
                new = self._bytes.end != seen
                if self.lost is not None and not new:
                    raise self._ended(f"the console ended while waiting for {what}: {self.lost}")
                if last_look:
                    raise Timeout(f"no {what} in time", evidence=self._last_lines())
                need = max(grown_to, seen + 1)
                if self.lost is None and self._bytes.end < need:
                    self._needs.append(need)
                    try:
                        with self.cut:
                            self._await_bell(min(deadline.remaining(), until.remaining(), silence.remaining(), left))
                    finally:
                        self._needs.remove(need)

    def expect(
        self,
        patterns: Sequence[re.Pattern[bytes]],
        *,
        deadline: Deadline,
        start: int | None = None,
        what: str = "answer",
        watched: bool = True,
    ) -> Found:
        """Wait for the earliest match of any pattern at or after ``start`` (default: the last boundary).

        A pattern sees a window of 4096 bytes before the newest chunk, never the whole log again.
        """
        search = Search(self.read, patterns, max(self.boundary, start or 0))
        return self.wait(search, deadline, what=what, watched=watched)

    # -- inside -------------------------------------------------------------------------------------------------

    def _await_bell(self, seconds: float) -> None:
        end = Deadline.after(seconds)
        while not self._bell.wait(end.at_one_go()) and not end.expired:
            pass

    def _may_live(self, finding: Finding) -> bool:
        """Whether an answer may still come: it is asked for, or the kernel is not done with its last words."""
        doubt = self._doubt
        if finding.doubtful and doubt is not None:
            lives = doubt.judge(self, finding)
            if lives:
                self.kernel_lives()
            return lives is not False
        seen = self.end
        done = ends_trace(self.read(finding.offset, finding.offset + _TRACE))
        return not done and self._more(seen, Deadline.after(_TRACE_QUIET))

    def _more(self, seen: int, deadline: Deadline) -> bool:
        try:
            return self.wait(lambda: self.end > seen or None, deadline, what="more output", watched=False)
        except (Timeout, ConsoleLost):
            return False

    def _ended(self, why: str) -> ConsoleLost:
        return LogFull(f"free some space, for the console log too: {why}") if self._full else ConsoleLost(why)

    def _last_lines(self) -> str:
        return self._bytes.read(max(self.boundary, self._bytes.end - 2000)).decode(errors="replace")

    def _line(self) -> Transport:
        transport, lost = self._transport, self.lost
        if transport is None:
            raise ConsoleLost("the board has no console: it is switched off")
        if lost is not None:
            raise self._ended(lost)
        return transport

    def _release(self) -> None:
        with self._bell:
            transport, self._transport, self._reader = self._transport, None, None
            reading, self._reading = self._reading, None
            self.lost = "the line is closed"
            self._bell.notify_all()
        if reading is not None:
            reading.close()
        if transport is not None:
            transport.close()

    def _read(self, line: LineReader, name: str) -> None:
        try:
            reason = self._read_to_end(line)
        except Exception as error:  # a bug, but whoever waits must hear of it
            reason = f"reading failed: {error!r}"
        with self._bell:
            self.lost = f"{name}: {reason}"
            self._bell.notify_all()

    def _read_to_end(self, line: LineReader) -> str:
        for data in line.chunks():
            try:
                self._take(data)
            except OSError as error:
                self._full = error.errno in NO_ROOM
                return f"cannot write {self.log}: {error.strerror}"
        return line.reason

    def _take(self, data: bytes) -> None:
        with self._bell:
            offset = self._bytes.end
            self._bytes.append(data)
            self._heard_at = monotonic()
            found = self._findings.feed(data, offset, self._doubt)
            if found or any(need <= self._bytes.end for need in self._needs):
                self._bell.notify_all()

"""A monitor of a LAVA job: from one message on the console to another, what a pattern matches is a result."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_lava.console.console import Console
from pytest_lava.deadline import Deadline
from pytest_lava.errors import Bug, KernelCrash, LavaError, Timeout
from pytest_lava.jobs.expecting import Expecting
from pytest_lava.suites.api import STDOUT, Case, Report, Surroundings
from pytest_lava.suites.signals import BadSignal, outcome

__all__ = ["Monitor", "MonitorSuite"]

_CHUNK = 1 << 16  # bytes that are looked through at once
_TAIL = 4096  # bytes in which a message may still be incomplete
_QUIET = 1.0  # seconds after which a line that has no end is whole all the same


@dataclass(frozen=True)
class Monitor:
    """Regular expressions, as LAVA has them: the end wins over a result that begins with it."""

    name: str
    start: str
    end: str
    pattern: str
    fixup: Mapping[str, str] = field(default_factory=dict)
    expected: tuple[str, ...] = ()


class MonitorSuite:
    """A :class:`~pytest_lava.suites.api.Suite` that only reads."""

    def __init__(self, monitor: Monitor, source: Path) -> None:
        self.monitor = monitor
        self.name = monitor.name
        self.source = source
        self.expected = monitor.expected
        self.metadata: Mapping[str, str] = {"name": monitor.name}

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """See :meth:`pytest_lava.suites.api.Suite.run`. ``Timeout`` if the end does not come."""
        if surroundings.console is None:
            raise Bug("a monitor was given no console")
        with Expecting(self.expected, report) as expecting:
            _Watching(self.monitor, surroundings.console, surroundings, expecting).run()


class _Watching:
    """One run of one monitor."""

    def __init__(self, monitor: Monitor, console: Console, around: Surroundings, expecting: Expecting) -> None:
        self._monitor, self._console, self._around = monitor, console, around
        self._expecting = expecting
        self._start, self._end, self._pattern = (
            re.compile(text.encode(), re.MULTILINE) for text in (monitor.start, monitor.end, monitor.pattern)
        )
        self._deadline = Deadline.after(around.timeout)
        self._line, self._counted = 1, 0
        self._last = time.time()

    def run(self) -> None:
        console, begin = self._console, self._around.since
        what = f"start message of monitor {self._monitor.name!r} ({self._monitor.start!r})"
        found = console.expect([self._start], start=begin, deadline=self._deadline, what=what)
        self._counted = found.end
        try:
            self._read(found.end)
        finally:
            (self._around.folder / STDOUT).write_bytes(console.read(found.end))

    def _read(self, begin: int) -> None:
        """Results until the end; of a kernel that dies, what it said until then counts too."""
        console, at = self._console, begin
        dead: LavaError | None = None
        while True:
            data = console.read(at, at + _CHUNK)
            used, ended = self._look(data, at, final=dead is not None)
            if ended:
                if dead is not None:  # its last words were awaited
                    console.dismiss_findings(begin)
                return
            at += used
            if dead is not None and not used:
                raise dead
            if used or len(data) == _CHUNK:
                continue
            try:
                self._wait(at, len(data))
            except KernelCrash as crash:
                dead = crash

    def _wait(self, at: int, have: int) -> None:
        """For more; a line that stays without an end is looked at as it is."""
        console, what = self._console, f"end message of monitor {self._monitor.name!r} ({self._monitor.end!r})"
        if have and console.read(at).rfind(b"\n") < have - 1:
            with suppress(Timeout):
                limit = self._deadline.at_most(_QUIET)
                console.wait(lambda: console.end > at + have or None, limit, what="more")
                return
            if not self._deadline.expired:
                data = console.read(at)
                _, ended = self._look(data, at, final=True)
                if ended:
                    return
        console.wait(lambda: console.end > at + have or None, self._deadline, what=what)

    def _look(self, data: bytes, at: int, *, final: bool) -> tuple[int, bool]:
        """How many bytes are done with, and whether the end was among them."""
        whole = len(data) if final else data.rfind(b"\n") + 1
        done = 0
        end = self._end.search(data)
        for match in self._matches(data, whole):
            if end is not None and end.start() <= match.start():
                break
            self._tell(match, at + match.start())
            done = match.end()
        if end is not None:
            return len(data), True
        # what is whole and no result may still be the beginning of an end that has several lines
        return max(done, whole - _TAIL if len(data) == _CHUNK else whole), False

    def _matches(self, data: bytes, whole: int) -> Iterator[re.Match[bytes]]:
        for match in self._pattern.finditer(data):
            if match.end() > whole:
                return
            yield match

    def _tell(self, match: re.Match[bytes], offset: int) -> None:
        values = {name: _text(value) for name, value in match.groupdict().items()}
        name = re.sub(r"\W+", "_", (values.get("test_case_id") or "").strip().lower())
        if not name:
            return
        try:
            told = outcome({**values, "test_case_id": name}, self._monitor.fixup)
        except BadSignal as error:
            self._around.tell(f"{self._monitor.name}: a line that is no result: {error}")
            return
        self._line += self._console.read(self._counted, offset).count(b"\n")
        self._counted = offset
        now, start = time.time(), self._last
        self._last = now
        case = Case(
            id=told.id,
            result=told.result,
            start=start,
            stop=now,
            message=told.message or told.remark,
            measurement=told.measurement,
            units=told.units if told.measurement is not None else "",
            line=self._line,
            output=_text(match[0]) or "",
            attributes={"measurement.bad": told.remark} if told.remark else {},
        )
        self._expecting.report(case)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace").strip()

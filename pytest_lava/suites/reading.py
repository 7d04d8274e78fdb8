"""Cases out of what a test prints: live from the console, and once more from its exact output at the end.

The console may have lost or mixed characters, so only what is whole counts there. The exact output has the rest, and
whatever did not come live is reported then. If the board dies before, what came live is what there is.
"""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pytest_lava.console.kernel_records import CALLER, RECORD, STAMP
from pytest_lava.suites.api import Case, Report
from pytest_lava.suites.definition import Pattern
from pytest_lava.suites.signals import BadSignal, Outcome, Signal, broken, outcome, outcome_of, scan
from pytest_lava.suites.tail import Tail

__all__ = ["Reader"]

_OF_CASES = ("TESTCASE", "TESTREFERENCE")
_CARRIED = 1 << 16  # characters of a line that does not end
_KEPT = 1 << 16  # characters of one case's output
_SHOWN = 4096  # of what stands before a case that has no begin
_KMSG = re.compile(rf"({STAMP}){CALLER} (?:<\d+>)?(<LAVA_SIGNAL_[^\r\n]*)")
_TRACED = re.compile(r"\++ ")


@dataclass
class _Said:
    """What the signals so far come to."""

    set_name: str = ""
    sets: int = 0
    started: dict[str, tuple[float, int]] = field(default_factory=dict)
    #: the case that began last, until it ends
    running: str = ""
    last: float = 0.0
    ended: bool = False
    raised: str = ""
    output: Tail = field(default_factory=lambda: Tail(_KEPT))


class Reader:
    """Reads one definition's output. ``remarks`` are what a person should know of it."""

    def __init__(
        self, report: Report, fixup: Mapping[str, str], pattern: Pattern | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._report, self._fixup, self._pattern, self._clock = report, fixup, pattern, clock
        self._live = _Said(last=clock())
        self._rest = b""
        self._line = 0
        self._heard: Counter[str] = Counter()
        self._kernel: set[str] = set()
        self._deferred: list[Signal] = []
        self.events: list[str] = []
        self.remarks: list[str] = []
        self.cases = 0
        self.failed = 0
        self.seen: set[str] = set()

    @property
    def ended(self) -> bool:
        """Whether the run said that it came to its end."""
        return self._live.ended

    @property
    def raised(self) -> str:
        """The message of lava-test-raise."""
        return self._live.raised

    def now(self) -> float:
        """The time of a case that is told now."""
        return self._clock()

    def begin(self) -> None:
        """A script begins, and with it a log."""
        self._line, self._rest = 0, b""
        self._live.last = self._clock()
        self._heard.clear()
        self._live.output.clear()

    # -- live ---------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """What comes from the console, kernel messages among it."""
        data = self._rest + data
        cut = data.rfind(b"\n") + 1
        head, tail = data[:cut], data[cut:]
        if b"[" in head:
            for record in RECORD.findall(head):
                self._of_kernel(record.decode(errors="replace"))
            head = RECORD.sub(b"", head)
            cut = head.rfind(b"\n") + 1
            tail, head = head[cut:] + tail, head[:cut]  # a record stood in a line that has not ended
        self._rest = tail[-_CARRIED:]
        for line in head.decode(errors="replace").split("\n")[:-1]:
            self._line += 1
            self._hear(line.rstrip("\r"))

    def _hear(self, line: str) -> None:
        found = False
        for signal in scan(line):
            found = True
            if signal.sets is not None and signal.kind == "TESTSET":
                self._live.sets = signal.sets
            elif signal.kind not in _OF_CASES:
                pass
            elif not signal.alone if signal.sets is None else signal.sets != self._live.sets:
                self._deferred.append(signal)  # one about a set was lost: this one's set is known at the end
                continue
            self._heard[signal.raw] += 1
            self._take(self._live, signal, self._line)
        if not found:
            self._live.output.keep(line)
            for told in self._matches(line):
                self._heard[f"match {told}"] += 1
                self._tell(self._live, told, self._line)

    def _of_kernel(self, record: str) -> None:
        """A signal that went through the kernel's log; a later ``dmesg`` shows it once more."""
        found = _KMSG.match(record)
        if found is None:
            return
        for signal in scan(found[2]):
            key = f"{found[1]} {signal.raw}"
            if key not in self._kernel:
                self._kernel.add(key)
                self._take(self._live, signal, self._line)

    # -- at the end ---------------------------------------------------------------------------------------------

    def finish(self, exact: bytes) -> None:
        """Report what the exact output has beside what was heard."""
        if self._rest:
            self.feed(b"\n")
        self._deferred.clear()
        said, heard = _Said(last=self._live.last), self._heard
        for line in _lines(exact):
            if _KMSG.match(line):
                continue
            found = False
            for signal in scan(line):
                found, new = True, not heard[signal.raw]
                if not new:
                    heard[signal.raw] -= 1
                self._take(said, signal, None, silent=not new)
            if not found:
                said.output.keep(line)
                if broken(line):
                    self._remark(f"this is no whole signal, so it is no result: {line.strip()[:200]}")
                for told in self._matches(line):
                    if heard[key := f"match {told}"]:
                        heard[key] -= 1
                        said.output.clear()
                    else:
                        self._tell(said, told, None)
        for raw, count in heard.items():
            if count > 0:
                self._remark(f"the console had what the test did not print: {raw[:200]}")
        self._live.ended = self._live.ended or said.ended
        self._live.raised = self._live.raised or said.raised

    def abandon(self) -> None:
        """There will be no exact output: what waited for it is told without its set."""
        said = _Said(last=self._live.last)
        for signal in self._deferred:
            self._take(said, signal, None)
        if self._deferred:
            self._remark(f"the sets of the last {len(self._deferred)} cases are not known")
        self._deferred.clear()

    def cut(self, why: str) -> None:
        """The definition was ended in the middle: the case that had begun, and did not end, has failed."""
        name = self._live.running
        if name and name not in self.seen:
            told = Outcome(name, "fail", message=f"it began, and gave no result: {why}")
            self._tell(self._live, told, self._line or None)

    # -- what signals mean --------------------------------------------------------------------------------------

    def _take(self, said: _Said, signal: Signal, line: int | None, *, silent: bool = False) -> None:
        kind = signal.kind
        if kind == "TESTSET":
            words = signal.words
            said.sets += 1
            said.set_name = words[1] if len(words) > 1 and words[0] == "START" else ""
        elif kind == "STARTTC" and signal.words:
            said.started[signal.words[0]] = self._clock(), line or 0
            said.running = signal.words[0]
            said.output.clear()
        elif kind == "ENDTC":
            said.running = ""
        elif kind == "ENDRUN":
            said.ended = True
        elif kind == "TESTRAISE":
            said.raised = signal.text or "lava-test-raise gave no reason"
        elif kind == "TESTEVENT" and not silent:
            self.events.append(signal.text)
        elif kind in _OF_CASES:
            try:
                told = outcome_of(signal, self._fixup)
            except BadSignal as error:
                if not silent:
                    self._remark(f"a signal that is no result: {error}")
                return
            self._tell(said, told, line, silent=silent)

    def _tell(self, said: _Said, told: Outcome, line: int | None, *, silent: bool = False) -> None:
        now = self._clock()
        start, begin = said.started.pop(told.id, (said.last, 0))
        said.running = "" if told.id == said.running else said.running
        limit = _KEPT if begin else _SHOWN
        output = said.output.take()[-limit:]
        said.last = now
        if silent:
            return
        self.cases += 1
        self.failed += told.result == "fail"
        self.seen.add(told.id)
        attributes = {"reference": told.reference, "measurement.bad": told.remark, "returncode": told.status}
        self._report(
            Case(
                id=told.id,
                result=told.result,
                start=start,
                stop=now,
                message=told.message or told.remark or _why(told),
                measurement=told.measurement,
                units=told.units if told.measurement is not None else "",
                set_name=said.set_name if told.set_name is None else told.set_name,
                line=line,
                output=output,
                attributes={name: text for name, text in attributes.items() if text},
            )
        )

    def _matches(self, line: str) -> Iterator[Outcome]:
        """What the definition's own pattern finds; names with a space are none, as in LAVA."""
        if self._pattern is None or _TRACED.match(line):
            return
        for found in self._pattern.regex.finditer(line):
            values = {name: value for name, value in found.groupdict().items() if value is not None}
            name = values.get("test_case_id", "").strip()
            if not name or " " in name:
                self._remark(f"a line that is no result, as its name has a space: {line.strip()[:200]}")
                continue
            try:
                yield outcome({**values, "test_case_id": name}, self._pattern.fixup)
            except BadSignal as error:
                self._remark(f"a line that is no result: {error}")

    def _remark(self, text: str) -> None:
        if text not in self.remarks and len(self.remarks) < 20:
            self.remarks.append(text)


def _why(told: Outcome) -> str:
    return f"its command returned {told.status}" if told.status not in ("", "0") else ""


def _lines(exact: bytes) -> Iterator[str]:
    for line in io.BytesIO(exact):
        yield line.decode(errors="replace").rstrip("\r\n")

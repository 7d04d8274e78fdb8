"""What belongs to one misfortune of a kernel, and what does not: real traces, what is between them and behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.console.incidents import Incident, evidence_of, incidents_of
from pytest_lava.console.watch import Finding, FindingKind, Watch

TRACES = Path(__file__).parent / "traces"
CUT = b"[    1.000000] ------------[ cut here ]------------\r\n"
WARNING = CUT + b"[    1.000001] WARNING: CPU: 0 PID: 7 at mm/slub.c:1 here\r\n[    1.000002] ---[ end trace 0 ]---\r\n"
PANIC = b"[    %d.000000] Kernel panic - not syncing: test\r\n"
PANIC_AT = b"[    %f] Kernel panic - not syncing: test\r\n"
HUNG = b"INFO: task kworker/0:1:12 blocked for more than 120 seconds.\r\n"


def found_in(said: bytes) -> list[Finding]:
    watch = Watch()
    watch.armed = frozenset(FindingKind)
    return watch.feed(said, 0)


def told(said: bytes) -> list[Incident]:
    return incidents_of(lambda begin, end: said[begin:end], found_in(said))


def test_a_trace_never_crosses_a_power_cycle() -> None:
    """The clock of a board that resumed a state goes on from there: it may follow on where the one before died."""
    dead = b"[    3.30] x\r\n[    3.350000] BUG: TASK stack guard page was hit\r\n" + PANIC_AT % 3.353
    fresh = b"[    3.770000] dd invoked oom-killer: order=0\r\n" + PANIC_AT % 3.78
    alone = [(one.name, len(dead) + one.start, len(dead) + one.end) for one in told(fresh)]
    assert [name for name, *_ in alone] == ["oom", "panic"]
    both = incidents_of(lambda begin, end: (dead + fresh)[begin:end], found_in(dead + fresh), [0, len(dead)])
    assert [(one.name, one.start, one.end) for one in both[-2:]] == alone
    assert both[-3].end == len(dead)


def oops(name: str) -> bytes:
    """As a real kernel said it."""
    return (TRACES / f"{name}.txt").read_bytes().replace(b"\n", b"\r\n")


@pytest.mark.parametrize("name", ["oops-x86_64", "bug-x86_64"])
def test_an_oops_is_one_incident_with_modules_registers_and_code(name: str) -> None:
    said = oops(name)
    after = b"[   99.000000] something else\r\n"
    (one,) = told(b"before\r\n" + said + after)
    assert one.kind is FindingKind.CRASH
    assert one.complete
    lines = one.trace.splitlines()
    assert lines == [line for line in said.decode().split("\r\n") if line]
    for part in ("Modules linked in:", "RIP: 0010:", "Code: ", "RAX: ", "Call Trace:", "CR2: "):
        assert any(part in line for line in lines), part
    end = next(number for number, line in enumerate(lines) if "end trace" in line)
    assert any("RIP: 0010:" in line for line in lines[end:])  # x86 shows the registers once more


def test_registers_behind_the_end_may_still_come() -> None:
    said = oops("oops-x86_64")
    cut = said.index(b"\r\n", said.index(b"end trace")) + 2
    (one,) = told(said[:cut])
    assert not one.complete


def test_a_task_that_hangs_meanwhile_is_an_incident_of_its_own() -> None:
    said = oops("oops-x86_64")
    at = said.index(b"\r\n", said.index(b"Call Trace")) + 2
    stamp = said[at : said.index(b"]", at) + 2]
    crash, hang = told(said[:at] + stamp + HUNG + said[at:])
    assert (crash.kind, hang.kind) == (FindingKind.CRASH, FindingKind.STALL)
    assert (crash.name, hang.name) == ("oops", "hung-task")
    assert hang.trace.startswith((stamp + HUNG.strip()).decode())
    assert "end trace" in crash.trace
    assert "Modules linked in:" in crash.trace


def test_a_panic_takes_the_oops_before_it() -> None:
    said = oops("oops-x86_64")
    last = said.rstrip().rsplit(b"\r\n", 1)[1]
    stamp = last[: last.index(b"]") + 2]
    (one,) = told(said + stamp + b"Kernel panic - not syncing: Fatal exception\r\n")
    assert one.kind is FindingKind.FATAL
    assert "Modules linked in:" in one.trace


@pytest.mark.parametrize(("seconds", "begins"), [(2, "Kernel panic"), (1, "cut here")])
def test_a_warning_of_some_time_ago_is_no_part_of_a_panic(seconds: int, begins: str) -> None:
    said = WARNING + PANIC % seconds
    finding = next(one for one in found_in(said) if one.kind is FindingKind.FATAL)
    first = evidence_of(lambda begin, end: said[begin:end], finding, 0).splitlines()[0]
    assert begins in first
    assert len(told(said)) == (2 if seconds == 2 else 1)

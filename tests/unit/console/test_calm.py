"""Stalls that a board complains of right after it was resumed are none: by its own clock, and nothing else."""

from __future__ import annotations

from pytest_lava.console.findings import Findings
from pytest_lava.console.watch import FindingKind, Watch


def stall(seconds: float) -> bytes:
    return b"[%12.6f] rcu: INFO: rcu_sched self-detected stall on CPU\r\n" % seconds


def found(findings: Findings) -> list[str]:
    return [finding.line.partition("]")[0].strip("[ ") for finding in findings.between(0, None)]


def armed() -> Findings:
    findings = Findings(Watch())
    findings.armed = {FindingKind.FATAL}
    return findings


def test_stalls_count_again_when_the_time_is_over() -> None:
    findings = armed()
    findings.calm(107.5)
    data = stall(103) + stall(107.4) + stall(107.5) + stall(200)
    assert findings.feed(data, 0, None)
    assert found(findings) == ["107.500000", "200.000000"]


def test_all_else_counts_at_once() -> None:
    findings = armed()
    findings.calm(107.5)
    findings.feed(b"[  103.000000] Kernel panic - not syncing: test\r\n", 0, None)
    assert found(findings) == ["103.000000"]
    assert findings.first()


def test_another_boot_is_not_excused() -> None:
    findings = armed()
    findings.calm(107.5)
    findings.new_board(0)
    findings.feed(stall(3), 0, None)
    assert found(findings) == ["3.000000"]

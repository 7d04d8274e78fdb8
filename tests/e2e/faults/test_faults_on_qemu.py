"""Real kernels that die in a test: one run of many faults, each recovered by the snapshot, each told apart."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from matrix import nothing_is_left
from support.face import Face

pytestmark = pytest.mark.emulated


@dataclass(frozen=True)
class Row:
    """What a test does, the class of its error, blame and bundle result, the rung that brings the board back, a part of
    the message, and the seconds that the command may take."""

    name: str
    do: str
    kind: str
    blame: str
    result: str
    by: str
    says: str = ""
    seconds: float = 4


CRASH, RESET, JOB, LAB = "KernelCrash", "UnexpectedReset", "job", "infrastructure"
ROWS = [
    Row("panic", "echo c >/proc/sysrq-trigger", CRASH, JOB, "fail", "snapshot", "sysrq triggered crash"),
    Row("reboot", "reboot -f", RESET, JOB, "fail", "snapshot"),
    Row("restart_by_sysrq", "echo b >/proc/sysrq-trigger", RESET, JOB, "fail", "snapshot"),
    Row("power_off", "poweroff -f", RESET, JOB, "fail", "snapshot", "Power down"),
    Row("shell_killed", "kill -9 $$", "Hang", JOB, "fail", "resync"),
    Row("shell_stopped", "kill -STOP $$; :", "Hang", JOB, "fail", "snapshot", seconds=1),
]  # fmt: skip


def written(rows: list[Row]) -> str:
    """A test for each fault, and one after it that must find a good board."""
    lines = ["import json, os, pathlib, signal", ""]
    for row in rows:
        lines += [f"def test_{row.name}(shell):", f"    shell.run({row.do!r}, timeout={row.seconds})", ""]
        lines += [f"def test_after_{row.name}(shell):", "    assert shell.run('echo on').stdout == 'on\\n'", ""]
    lines += ["def test_qemu_killed(shell, board):"]
    lines += ["    events = board.console_log.with_name('events.jsonl').read_text().splitlines()"]
    lines += ["    pids = [line['pid'] for line in map(json.loads, events) if line['message'] == 'power on']"]
    lines += ["    os.kill(pids[-1], signal.SIGKILL)", "    shell.run('sleep 60', timeout=20)", ""]
    lines += ["def test_after_qemu_killed(shell): shell.check('true')", ""]
    return "\n".join(lines)


def test_every_death_of_a_kernel(face: Face) -> None:
    face.snapshots = True
    (face.path / "test_it.py").write_text(written(ROWS))
    result = face.run("--board=qemu-arm64", "test_it.py")
    assert result.ret == 1
    rows = [*ROWS, Row("qemu_killed", "", "ConsoleLost", LAB, "unknown", "snapshot", "was killed by SIGKILL")]
    cases = face.results()["test-it.py"]
    found, wanted = {}, {}
    for row in rows:
        case = cases[f"test_{row.name}"]
        attributes, after = case["attributes"], cases[f"test_after_{row.name}"]["result"]
        said = row.says in case.get("message", "") or case["message"]
        told = attributes.get("error.class"), attributes.get("error.blame"), case["result"]
        found[row.name] = (*told, attributes.get("recovery", ""), said, after)
        wanted[row.name] = (row.kind, row.blame, row.result, row.by, True, "pass")
    assert found == wanted
    recoveries = face.journal("recovery")
    assert len(recoveries) == sum(bool(row.by) for row in rows)  # each death costs exactly one
    assert all(line["worked"] for line in recoveries)
    nothing_is_left(face)

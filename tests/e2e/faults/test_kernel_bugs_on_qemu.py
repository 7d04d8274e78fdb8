"""A real kernel's own bugs: oops, BUG(), WARN(), lockups, hung tasks, no memory; survived or the end of it.

``support.saboteur`` makes the modules that break it. All is one run on one board, that boots at most once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from matrix import nothing_is_left
from support.face import QUICK, Face
from support.saboteur import faulty_modules

from pytest_lava.images.module_strip import without_debug

pytestmark = pytest.mark.emulated

SOAK = bool(os.environ.get("LAVA_SOAK"))
AFTERMATH = ", warning"  # a kernel that has survived a bug may complain of its state later
BOARD = "extends = 'qemu-arm64'\n[power]\nmemory = '256M'\n"


def sysctl(**values: int) -> str:
    return "".join(f"echo {value} >/proc/sys/{name.replace('__', '/')}; " for name, value in values.items())


@dataclass(frozen=True)
class Bug:
    """A command, and what it costs: nothing but attributes (``kind`` is empty), or the board.

    ``noted`` is what the watch is to call it, ``says`` a part of the error's message; ``phase`` is where the test meets
    it, ``seconds`` the time limit of the command. With ``lab`` it is not the job's fault.
    """

    name: str
    do: str
    noted: str
    kind: str = "KernelCrash"
    says: str = ""
    by: str = "snapshot"
    phase: str = "call"
    seconds: float = 40
    soak: bool = False
    lab: bool = False


def survived(name: str, do: str, noted: str, **more: object) -> Bug:
    return Bug(name, do, noted, kind="", by="", **more)  # type: ignore[arg-type]


CRASH = "echo c >/proc/sysrq-trigger"
FILL = "mount -t ramfs none /mnt; dd if=/dev/zero of=/mnt/x bs=1M"
HUNG = sysctl(kernel__hung_task_timeout_secs=1)
PANICS = [
    Bug("oops_panics", sysctl(kernel__panic_on_oops=1) + "insmod /oopses.ko", "panic", says="Fatal exception"),
    Bug("bug_panics", sysctl(kernel__panic_on_oops=1) + "insmod /bugs.ko", "panic", says="BUG: Fatal exception"),
    Bug("stack_overflow", "insmod /overflows.ko", "panic", says="kernel stack overflow"),
    Bug("no_memory_panics", sysctl(vm__panic_on_oom=2) + FILL, "oom, panic", says="Out of memory"),
    Bug("hung_task_panics", sysctl(kernel__hung_task_panic=1) + HUNG + "insmod /blocks.ko", "panic",
        says="hung_task: blocked tasks"),
    Bug("lockup_panics", sysctl(kernel__softlockup_panic=1, kernel__watchdog_thresh=1) + "insmod /spins.ko", "panic",
        says="softlockup: hung tasks"),
    Bug("panic_restarts", sysctl(kernel__panic=1) + CRASH, "panic", says="sysrq triggered crash"),
    Bug("panic_in_a_fixture", CRASH, "panic", says="sysrq triggered crash", phase="setup"),
    Bug("panic_at_the_end", CRASH, "panic", says="sysrq triggered crash", phase="teardown"),
]  # fmt: skip
HANGS = [
    Bug("lockup", sysctl(kernel__watchdog_thresh=1) + "insmod /spins.ko", "soft-lockup", kind="Hang",
        says="the kernel is alive", seconds=6, soak=True),
    Bug("interrupts_off", "insmod /dies.ko", "", kind="Hang", says="nothing answers any more", seconds=1),
    Bug("qemu_stopped", "", "", kind="ConsoleLost", says="it hangs or this machine is overloaded", phase="stopped",
        lab=True),
]  # fmt: skip
#: no board comes back in between, so the order counts: after an oops the kernel tells of no hung task any more
SURVIVED = [
    # what stalls is not looked at in the first 5 s after a resume
    survived("hung_task", HUNG + "sleep 4; insmod /blocks.ko", "hung-task"),
    survived("warning", "insmod /warns.ko", "warning"),
    survived("oops", "insmod /oopses.ko; [ $? = 139 ]", "oops"),
    survived("bug", "insmod /bugs.ko; [ $? = 139 ]", "kernel-bug"),
]
ROWS = [bug for bug in (*PANICS, *HANGS, *SURVIVED) if SOAK or not bug.soak]

PHASES = {
    "stopped": (
        "def test_{name}(shell, board):\n"
        "    events = board.console_log.with_name('events.jsonl').read_text().splitlines()\n"
        "    pids = [line['pid'] for line in map(json.loads, events) if line['message'] == 'power on']\n"
        "    os.kill(pids[-1], signal.SIGSTOP)\n"
        "    shell.run('true', timeout=0.5)\n"
    ),
    "call": "def test_{name}(shell):\n    shell.check({do!r}, timeout={seconds})\n",
    "setup": (
        "@pytest.fixture\ndef broken(shell):\n    shell.check({do!r}, timeout={seconds})\n"
        "def test_{name}(broken): pass\n"
    ),
    "teardown": (
        "@pytest.fixture\ndef late(shell):\n    yield\n    shell.check({do!r}, timeout={seconds})\n"
        "def test_{name}(late): pass\n"
    ),
}


def written() -> str:
    """A test for each of them, and one behind it that must find a good board."""
    lines = ["import json, os, signal, pytest\n"]
    for bug in ROWS:
        lines.append(PHASES[bug.phase].format(name=bug.name, do=bug.do, seconds=bug.seconds))
        lines.append(f"def test_after_{bug.name}(shell): assert shell.run('echo on').stdout == 'on\\n'\n")
    return "\n".join(lines)


@pytest.fixture
def faulty(face: Face, tmp_path: Path) -> list[str]:
    """Options that put the modules on the board, as ``--modules`` would: without their debugging information."""
    (tmp_path / "modules").mkdir()
    modules = faulty_modules(tmp_path / "modules")
    for path in modules.values():
        pieces = without_debug(path.read_bytes())
        assert pieces is not None
        path.write_bytes(b"".join(pieces))
    return [f"--file={path}:/{path.name}" for path in modules.values()]


def test_every_bug(face: Face, faulty: list[str]) -> None:
    face.board("b", BOARD)
    (face.path / "test_it.py").write_text(written())
    result = face.pytester.runpytest_subprocess(*QUICK, "--board=b", *faulty, "test_it.py", timeout=600)
    print("\n".join(result.outlines[-40:]))
    assert result.ret == 1
    face.check_bundle()
    cases = next(cases for name, cases in face.results().items() if name != "lava")
    found, wanted = {}, {}
    for bug in ROWS:
        case = cases[f"test_{bug.name}"]
        facts, after = case["attributes"], cases[f"test_after_{bug.name}"]["result"]
        said = bug.says in case.get("message", "") or case["message"]
        found[bug.name] = (
            facts.get("error.class", ""), facts.get("error.blame", ""), case["result"], facts.get("recovery", ""),
            facts.get("kernel.messages", "").removesuffix(AFTERMATH), said, after,
        )  # fmt: skip
        verdict = (bug.kind, "job", "fail", bug.by) if bug.kind else ("", "", "pass", "")
        verdict = (bug.kind, "infrastructure", "unknown", bug.by) if bug.lab else verdict
        wanted[bug.name] = (*verdict, bug.noted, True, "pass")
    assert found == wanted
    recoveries = face.journal("recovery")
    assert len(recoveries) == sum(bool(bug.by) for bug in ROWS)  # each death costs exactly one
    assert all(line["worked"] for line in recoveries)
    nothing_is_left(face)

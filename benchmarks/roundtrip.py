"""Row 5: one ``run("true")``, beside labgrid's and a bare loop. For information."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import venvs
from benchmarks.boards import BareBoard, loop_round_trips, our_board, qemu_command_line
from benchmarks.items import labgrid_environment
from benchmarks.stats import Table, progress, spread
from pytest_lava.board.board import State

__all__ = ["roundtrip"]

_COUNT = 50  # commands in a round
_FIRST = 5  # of those, not counted

_LABGRID = """\
import json, sys, time
from labgrid import Environment
target = Environment("environment.yaml").get_target("main")
qemu = target.get_driver("QEMUDriver")
qemu.on()
shell = target.get_driver("ShellDriver")
seconds = []
cpu = time.process_time()
for number in range(int(sys.argv[1])):
    began = time.perf_counter()
    assert shell.run("true")[2] == 0
    seconds.append(time.perf_counter() - began)
cpu = time.process_time() - cpu
qemu.off()
print(json.dumps([seconds, cpu]))
"""

#: seconds of each command, processor seconds of all
Round = tuple[list[float], float]


def roundtrip(rounds: int, folder: Path) -> str:
    """A shell on a pty of this machine, and both emulated boards."""
    table = Table(
        'Round trip of one `run("true")`',
        ["board", "who", "median ms (quartiles)", "p95 ms", "CPU ms each"],
        remarks=[
            f"{rounds} rounds of {_COUNT} commands; the first {_FIRST} of a round are not counted.",
            "Ours returns both streams apart and the status, checked; the bare loop only the status.",
        ],
    )
    _row(table, "localhost", "ours", rounds, lambda: _ours("localhost", folder / "localhost"))
    _row(table, "localhost", "bare os.read loop, dash", rounds, _bare_pty)
    for name in ("qemu-x86_64", "qemu-arm64"):
        argv = qemu_command_line(name, folder / name)
        _row(table, name, "ours", rounds, lambda name=name: _ours(name, folder / name))  # type: ignore[misc]
        _row(table, name, "bare os.read loop", rounds, lambda name=name, argv=argv: _bare(name, argv))  # type: ignore[misc]
        if name == "qemu-x86_64":
            labgrid_environment(folder, argv)
            _row(table, name, "labgrid 26", rounds, lambda: _labgrid(folder))
    return str(table)


def _row(table: Table, board: str, who: str, rounds: int, run: Callable[[], Round]) -> None:
    seconds: list[float] = []
    cpu = 0.0
    for number in range(rounds):
        progress(f"{board}, {who}: round {number + 1} of {rounds}")
        found, used = run()
        seconds += found[_FIRST:]
        cpu += used
    progress("")
    late = sorted(seconds)[int(len(seconds) * 0.95)]
    table.add(board, who, spread(seconds, 1e3), f"{late * 1e3:.2f}", f"{cpu / rounds / _COUNT * 1e3:.2f}")


def _ours(name: str, folder: Path) -> Round:
    with our_board(name, folder) as board:
        board.reach(State.SHELL)
        cpu = time.process_time()
        seconds = []
        for _ in range(_COUNT):
            began = time.perf_counter()
            board.shell.run("true")
            seconds.append(time.perf_counter() - began)
        return seconds, time.process_time() - cpu


def _bare(name: str, argv: list[str]) -> Round:
    with BareBoard(name, argv) as board:
        cpu = time.process_time()
        return board.round_trips(_COUNT), time.process_time() - cpu


def _bare_pty() -> Round:
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(["sh"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""

    def expect(text: bytes) -> None:
        nonlocal seen
        while (at := seen.find(text)) < 0:
            seen += os.read(ours, 65536)
        seen = seen[at + len(text) :]

    try:
        cpu = time.process_time()
        found = loop_round_trips(lambda data: (os.write(ours, data), None)[1], expect, _COUNT)
        return found, time.process_time() - cpu
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def _labgrid(folder: Path) -> Round:
    command = [str(venvs.labgrid() / "python"), "-c", _LABGRID, str(_COUNT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    seconds, cpu = json.loads(done.stdout.splitlines()[-1])
    return seconds, cpu

"""Rows 2 and 3: boot and 100 trivial items as a whole pytest process, ours beside labgrid and the bare boot."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import venvs
from benchmarks.boards import BareBoard, direct_boot, qemu_command_line
from benchmarks.process import measure
from benchmarks.stats import Sample, Table, interleaved, spread

__all__ = ["items", "labgrid_environment"]

_BOARD = "qemu-x86_64"

_OUR_TESTS = """\
import time
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_true(number, shell):
    assert shell.run("true").returncode == 0

def test_last(shell):
    with open("last", "w") as stamp:
        stamp.write(repr(time.monotonic()))
"""

_LABGRID_TESTS = """\
import time
import pytest

@pytest.fixture(scope="session")
def shell(target):
    qemu = target.get_driver("QEMUDriver")
    qemu.on()
    shell = target.get_driver("ShellDriver")
    yield shell
    qemu.off()

@pytest.mark.parametrize("number", range({count}))
def test_true(number, shell):
    assert shell.run("true")[2] == 0

def test_last(shell):
    with open("last", "w") as stamp:
        stamp.write(repr(time.monotonic()))
"""

_LABGRID_ENVIRONMENT = """\
targets:
  main:
    drivers:
      QEMUDriver:
        qemu_bin: qemu
        machine: q35
        cpu: qemu64
        memory: 256M
        extra_args: "-nodefaults -no-user-config -accel tcg -initrd {initrd}"
        boot_args: {append}
        kernel: kernel
      ShellDriver:
        prompt: '~ # '
        login_prompt: 'login: '
        username: root
tools:
  qemu: {qemu}
images:
  kernel: {kernel}
"""


def items(rounds: int, folder: Path, count: int = 100) -> str:
    """Wall time over the bare boot of the same round, processor time without QEMU, and the tail after the last test."""
    argv = qemu_command_line(_BOARD, folder / "warm-up")
    ours, labgrid = folder / "ours", folder / "labgrid"
    for place, tests in ((ours, _OUR_TESTS), (labgrid, _LABGRID_TESTS)):
        place.mkdir(parents=True)
        (place / "test_items.py").write_text(tests.format(count=count))
        (place / "pytest.ini").write_text("[pytest]\n")
    labgrid_environment(labgrid, argv)
    our_pytest, their_pytest = venvs.ours() / "pytest", venvs.labgrid() / "pytest"
    competitors: dict[str, Callable[[], Sample]] = {
        "bare boot": lambda: _bare(argv),
        "pytest-lava": lambda: _run([our_pytest, f"--board={_BOARD}", "--no-snapshot", "test_items.py"], ours, count),
        "labgrid 26": lambda: _run([their_pytest, "--lg-env=environment.yaml", "test_items.py"], labgrid, count),
    }
    for competitor in list(competitors.values())[1:]:
        competitor()  # fills the caches of the machine and of Python
    samples = interleaved(rounds, competitors)
    return _report(samples, count)


def labgrid_environment(folder: Path, argv: list[str]) -> Path:
    """``environment.yaml`` for labgrid's QEMUDriver: the same machine, kernel, initrd and kernel arguments."""
    kernel, initrd, append = direct_boot(argv)
    path = folder / "environment.yaml"
    path.write_text(_LABGRID_ENVIRONMENT.format(qemu=argv[0], kernel=kernel, initrd=initrd, append=append))
    return path


def _bare(argv: list[str]) -> Sample:
    with BareBoard(_BOARD, argv) as board:
        return {"wall": board.seconds, "cpu": 0.0, "tail": 0.0}


def _run(argv: list[str | Path], folder: Path, count: int) -> Sample:
    shutil.rmtree(folder / "lava-runs", ignore_errors=True)
    said = folder / "output"
    done = measure(argv, folder=folder, output=said)
    text = said.read_text(errors="replace")
    if done.status != 0 or f"{count + 1} passed" not in text:
        sys.exit(f"{argv[0]} ended with status {done.status}:\n{text[-4000:]}")
    return {"wall": done.wall, "cpu": done.cpu, "tail": done.ended - float((folder / "last").read_text())}


def _report(samples: dict[str, list[Sample]], count: int) -> str:
    bare = [sample["wall"] for sample in samples["bare boot"]]
    table = Table(
        f"Boot and {count} items, one `run('true')` each, {_BOARD}",
        ["", "wall s", "over the bare boot s", "CPU without QEMU s", "last test to exit s"],
    )
    table.add("bare boot", spread(bare), "0", "", "")
    for name in ("pytest-lava", "labgrid 26"):
        walls = [sample["wall"] for sample in samples[name]]
        over = [wall - boot for wall, boot in zip(walls, bare, strict=True)]
        cpu = [sample["cpu"] for sample in samples[name]]
        tail = [sample["tail"] for sample in samples[name]]
        table.add(name, spread(walls), spread(over), spread(cpu), spread(tail))
        if name == "pytest-lava":
            table.target("wall over the bare boot", statistics.median(over), 1.5, "s")
            table.target("CPU without QEMU", statistics.median(cpu), 1.0, "s")
            table.target("last test to exit", statistics.median(tail), 0.3, "s")
    table.remarks += [
        f"{len(bare)} interleaved rounds: median (quartiles). Whole processes, from the start of Python to its exit.",
        "Ours writes HTML, JUnit, bundle, journal, events and console log, and watches for crashes; labgrid does not.",
        "The board's shell is busybox ash, which asks the terminal for its cursor at each prompt: labgrid pays that.",
    ]
    return str(table)

"""A run on a board that resumes its kept state, beside one that boots; and a panicked board brought back either way."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from benchmarks import venvs
from benchmarks.boards import our_board
from benchmarks.stats import Sample, Table, interleaved, spread
from pytest_lava.board.board import Board, State
from pytest_lava.errors import KernelCrash

__all__ = ["restore_row", "warm_row"]

_BOARD = "qemu-arm64"
_TEST = "def test_first(shell): shell.check('true')\n"


def warm_row(rounds: int, folder: Path) -> str:
    """From Enter to the result of the first test, a whole ``pytest`` process each."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(_TEST)
    _run(folder, "--snapshot")  # boots, and fills the cache
    samples = interleaved(
        rounds, {"warm": lambda: _run(folder, "--snapshot"), "cold": lambda: _run(folder, "--no-snapshot")}
    )
    table = Table(f"A run on {_BOARD}, from Enter", ["run", "first result s", "end s"])
    for name, text in (("warm", "resumed"), ("cold", "booted (`--no-snapshot`)")):
        table.add(text, *(spread([sample[figure] for sample in samples[name]]) for figure in ("first", "end")))
    table.target("resumed, to the first result", statistics.median(one["first"] for one in samples["warm"]), 1.5, "s")
    return str(table)


def restore_row(rounds: int, folder: Path) -> str:
    """From the recovery of a panicked board until its shell has answered."""
    with our_board(_BOARD, folder, snapshots=True) as board:
        board.reach(State.SHELL)
        samples = interleaved(
            rounds,
            {"snapshot": lambda: _brought_back(board, anew=False), "boot": lambda: _brought_back(board, anew=True)},
        )
    table = Table(f"A panicked {_BOARD} back at a shell that answers", ["way", "seconds"])
    for name in ("snapshot", "boot"):
        table.add(name, spread([sample["seconds"] for sample in samples[name]]))
    table.target("by snapshot", statistics.median(one["seconds"] for one in samples["snapshot"]), 0.6, "s")
    return str(table)


def _run(folder: Path, *options: str) -> Sample:
    command = [
        str(venvs.ours() / "pytest"), "-v", f"--board={_BOARD}", f"--lava-cache={folder}/cache", "--lava-dir=run",
        "-p", "no:cacheprovider", *options, "test_it.py",
    ]  # fmt: skip
    shutil.rmtree(folder / "run", ignore_errors=True)
    begin, first, said = time.monotonic(), 0.0, b""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, env=os.environ | {"COLUMNS": "80"}) as process:
        assert process.stdout
        while data := os.read(process.stdout.fileno(), 65536):
            said += data
            if not first and b"PASSED" in said:
                first = time.monotonic() - begin
    if process.returncode:
        raise RuntimeError(f"the run failed: {said.decode(errors='replace')}")
    return {"first": first, "end": time.monotonic() - begin}


def _brought_back(board: Board, *, anew: bool) -> Sample:
    with suppress(KernelCrash):
        board.shell.run("echo c >/proc/sysrq-trigger")
    board.lose("it panicked")
    begin = time.monotonic()
    board.recover(anew=anew)
    board.shell.check("true")
    assert board.last_boot
    assert bool(board.last_boot.resumed) is not anew
    return {"seconds": time.monotonic() - begin}

"""Row 1: from the start of QEMU until a shell answers, beside a bare loop on the same kernel and command line."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from benchmarks.boards import BareBoard, our_board, qemu_command_line
from benchmarks.stats import Sample, Table, interleaved, spread
from pytest_lava.board.board import State

__all__ = ["boot"]


def boot(rounds: int, folder: Path, boards: Sequence[str] = ("qemu-arm64", "qemu-x86_64")) -> str:
    """Both emulated boards; the target is for the one with the boot loader."""
    table = Table("Boot to shell, from the start of QEMU", ["board", "ours s", "bare os.read loop s", "ratio of pairs"])
    for name in boards:
        samples = _samples(name, rounds, folder / name)
        ours = [sample["seconds"] for sample in samples["ours"]]
        bare = [sample["seconds"] for sample in samples["bare"]]
        ratios = [one / other for one, other in zip(ours, bare, strict=True)]
        table.add(name, spread(ours), spread(bare), spread(ratios))
        if name == "qemu-arm64":
            table.target(f"{name}, median ratio of {rounds} pairs", statistics.median(ratios), 1.1, "x")
    table.remarks += [
        "Ours: `Board.reach(SHELL)` from power-on to its BootRecord: log, watch, shell taken over, `uname` asked.",
        "Bare: until the shell at its prompt has answered one `echo`. Same QEMU, kernel, initrd and arguments.",
    ]
    return str(table)


def _samples(name: str, rounds: int, folder: Path) -> dict[str, list[Sample]]:
    argv = qemu_command_line(name, folder / "warm-up")
    number = count(1)

    def ours() -> Sample:
        with our_board(name, folder / str(next(number))) as board:
            board.reach(State.SHELL)
            assert board.last_boot is not None
            return {"seconds": board.last_boot.seconds}

    def bare() -> Sample:
        with BareBoard(name, argv) as board:
            return {"seconds": board.seconds}

    return interleaved(rounds, {"ours": ours, "bare": bare})

"""Row 4: what the installed plugin costs a run that does not use it."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from benchmarks import venvs
from benchmarks.process import measure
from benchmarks.stats import Sample, Table, interleaved, spread

__all__ = ["idle"]

_NO_TESTS = 5


def idle(rounds: int, folder: Path) -> str:
    """``pytest --co -q`` in an empty folder, with and without ``-p no:lava``, in at least 25 pairs."""
    pytest = venvs.ours() / "pytest"
    rounds = max(rounds, 25)
    folder.mkdir(parents=True)

    def run(*more: str) -> Sample:
        done = measure([pytest, "--co", "-q", *more], folder=folder)
        if done.status != _NO_TESTS:
            sys.exit(f"pytest {' '.join(more)} ended with status {done.status}")
        return {"wall": done.wall, "cpu": done.cpu_all}

    run(), run("-p", "no:lava")
    samples = interleaved(rounds, {"with": run, "without": lambda: run("-p", "no:lava")})
    table = Table("Plugin installed and unused: `pytest --co -q`, empty folder", ["", "wall ms", "CPU ms"])
    more: dict[str, list[float]] = {}
    for what in ("wall", "cpu"):
        pairs = zip(samples["with"], samples["without"], strict=True)
        more[what] = [one[what] - other[what] for one, other in pairs]
    for name, label in (("with", "with"), ("without", "`-p no:lava`")):
        table.add(label, *(spread([sample[what] for sample in samples[name]], 1e3, 1) for what in ("wall", "cpu")))
    table.add("more, pair by pair", *(spread(more[what], 1e3, 1) for what in ("wall", "cpu")))
    table.target(f"median of {rounds} pairs, wall", statistics.median(more["wall"]) * 1e3, 20, "ms")
    return str(table)

"""Where runs go, and how the folder of a new one is named: ``lava-runs/TIME-TITLE``, the newest behind ``latest``."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LATEST", "RUNS", "claimed", "name_of_now", "names"]

RUNS = Path("lava-runs")
LATEST = RUNS / "latest"


def name_of_now(title: str) -> str:
    """The name of a run that begins now, by the clock of this machine."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{title}"


def names(parent: Path, name: str) -> Iterator[Path]:
    """``name`` in ``parent``, then ``name~2``, ``name~3`` and so on."""
    return (parent / (name if number == 1 else f"{name}~{number}") for number in itertools.count(1))


def claimed(parent: Path, name: str) -> Path:
    """The first of them that was not there, made: another run may begin in the same second. Raises ``OSError``."""
    for folder in names(parent, name):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError

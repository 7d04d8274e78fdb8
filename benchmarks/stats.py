"""Medians and quartiles of interleaved rounds, and Markdown tables that say when and where they were made."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pytest_lava.power.qemu import kvm_usable

__all__ = ["Sample", "Table", "interleaved", "machine", "spread"]

#: what one round of one competitor measured: name of the figure -> value in seconds
Sample = Mapping[str, float]


def interleaved(rounds: int, competitors: Mapping[str, Callable[[], Sample]]) -> dict[str, list[Sample]]:
    """Run every competitor once per round, each round in the opposite order, so that drift of the machine cancels.

    The samples of one round stand at the same index, so that they can be compared pair by pair.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in competitors}
    names = list(competitors)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            progress(f"round {number + 1} of {rounds}: {name}")
            samples[name].append(competitors[name]())
    progress("")
    return samples


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 2) -> str:
    """``median (first quartile - third quartile)``; all values if there are too few for quartiles."""
    scaled = [value * scale for value in values]
    if len(scaled) < 4:
        return f"{statistics.median(scaled):.{digits}f} ({', '.join(f'{value:.{digits}f}' for value in scaled)})"
    low, middle, high = statistics.quantiles(scaled, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


def progress(text: str) -> None:
    """One line on the terminal that the next one replaces."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


@dataclass
class Table:
    """A Markdown table with a title, a line about the machine and remarks below."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """One more row."""
        self.rows.append(cells)

    def target(self, what: str, value: float, limit: float, unit: str) -> None:
        """A remark that says whether ``value`` is within ``limit``."""
        verdict = "met" if value <= limit else "**missed**"
        self.remarks.append(f"Target: {what} <= {limit:g} {unit}: {value:.3g} {unit}, {verdict}.")

    def __str__(self) -> str:
        widths = [max(len(row[at]) for row in [self.columns, *self.rows]) for at in range(len(self.columns))]

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        body = [line(self.columns), rule, *map(line, self.rows)]
        return "\n".join(
            [f"## {self.title}", "", machine(), "", *body, "", *(f"- {text}" for text in self.remarks), ""]
        )


def machine() -> str:
    """Date, processor, load and versions in one line."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    kvm = "KVM" if kvm_usable("qemu-system-x86_64") else "no KVM"
    parts = [
        f"{datetime.now().astimezone():%d %b %Y %H:%M}",
        f"{os.cpu_count()} x {model or platform.machine()}, {kvm}",
        f"load {os.getloadavg()[0]:.2f}",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        f"QEMU {_qemu_version()}",
        f"commit {_commit()}",
    ]
    return "; ".join(parts) + "."


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _qemu_version() -> str:
    for program in ("qemu-system-x86_64", "qemu-system-aarch64"):
        if shutil.which(program):
            return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    return "none"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--tags"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"

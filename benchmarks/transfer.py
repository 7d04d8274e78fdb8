"""Files over a serial line at 115200 baud, good and bad: share of the line and bytes on it, all lines side by side."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stats import Table, progress, spread
from benchmarks.venvs import CHECKOUT
from pytest_lava.errors import ConsoleLost

sys.path.insert(0, str(CHECKOUT / "tests"))  # the throttled, faulty line is the tests' own

from support.transfers import Bench, noise, open_bench, prose

__all__ = ["transfer"]

_RATE = 11_520  # bytes a second: 115200 baud, 8N1
_SIZE = 256 << 10
#: faults of the line, by name of the row; rates are per byte each way
_LINES: dict[str, dict[str, float]] = {
    "clean": {},
    "flips 1e-5": {"flips": 1e-5},
    "drops 1e-5": {"drops": 1e-5},
    "printk 20/s": {"printk": 20},
    "all three": {"flips": 1e-5, "drops": 1e-5, "printk": 20},
}


@dataclass(frozen=True)
class _Sample:
    """One transfer: payload rate as a share of the line's, bytes on the line a byte of payload."""

    share: float
    wire: float


def transfer(rounds: int, folder: Path) -> str:
    """Random data and text there and back, and what is sent again after a cut."""
    table = Table(
        f"{_SIZE >> 10} KB over a line of {_RATE} bytes/s (115200 baud), dash behind a pty",
        ["line", "what", "way", "% of the line (quartiles)", "wire / payload"],
        remarks=[
            f"{rounds} rounds, all lines at once; the session's first contact (10 KB, once a boot) is not counted.",
            "Wire bytes are those of both directions, but for kernel messages. Every transfer was byte-exact.",
        ],
    )
    jobs: list[tuple[str, str, dict[str, float], Callable[[int], bytes]]] = [
        *((name, "random", faults, lambda seed: noise(_SIZE, seed)) for name, faults in _LINES.items()),
        ("clean", "text", {}, lambda seed: prose(_SIZE, seed)),
    ]
    samples: dict[tuple[str, str, str], list[_Sample]] = {}
    again: dict[str, list[float]] = {"put": [], "get": []}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        with ThreadPoolExecutor(len(jobs) + 2) as pool:
            futures = {
                (line, what): pool.submit(
                    _there_and_back, folder / f"{number}-{line}-{what}", faults, make(number), number
                )
                for line, what, faults, make in jobs
            }
            cuts = {way: pool.submit(_cut, folder / f"{number}-cut-{way}", noise(_SIZE, number), way) for way in again}
            for (line, what), future in futures.items():
                for way, sample in zip(("put", "get"), future.result(), strict=True):
                    samples.setdefault((line, what, way), []).append(sample)
            for way, cut in cuts.items():
                again[way].append(cut.result())
    progress("")
    for (line, what, way), found in samples.items():
        wires = [sample.wire for sample in found]
        table.add(line, what, way, spread([s.share for s in found], 100, 1), spread(wires, digits=3))
    for way in ("put", "get"):
        clean = samples["clean", "random", way]
        table.target(f"wire / payload of random data, {way}", max(s.wire for s in clean), 1.01, "")
        table.target(f"line left unused, {way}", 100 - min(s.share for s in clean) * 100, 5, "%")
        worst = max(s.wire for (line, what, w), found in samples.items() if w == way for s in found)
        table.target(f"worst wire / payload of a bad line, {way}", worst, 1.4, "")
    for way, found in again.items():
        table.target(f"sent twice after a cut in the middle (a block is 33 KB), {way}", max(found) / 1024, 34, "KB")
    text = [sample.share for way in ("put", "get") for sample in samples["clean", "text", way]]
    table.target("text, slowest: time on the line as a share of its plain size", 100 / min(text), 100 / 3, "%")
    return str(table)


def _there_and_back(folder: Path, faults: dict[str, float], data: bytes, seed: int) -> tuple[_Sample, _Sample]:
    folder.mkdir(parents=True)
    with open_bench(folder, seed=seed) as bench:
        _throttle(bench, faults)
        path = folder / "there"
        put = _timed(bench, len(data), lambda: bench.files.write_bytes(str(path), data))
        if path.read_bytes() != data:
            raise RuntimeError("what was put is not what was sent")
        got: list[bytes] = []
        get = _timed(bench, len(data), lambda: got.append(bench.files.read_bytes(str(path))))
        if got != [data]:
            raise RuntimeError("what was got is not what was there")
    return put, get


def _cut(folder: Path, data: bytes, way: str) -> float:
    """Bytes that had been on the line when it was cut in the middle, but did not count."""
    folder.mkdir(parents=True)
    with open_bench(folder) as bench:
        there, here = folder / "there", folder / "here"
        if way == "get":
            there.write_bytes(data)
        move = {
            "put": lambda: bench.files.write_bytes(str(there), data),
            "get": lambda: bench.files.get(str(there), here),
        }[way]
        _throttle(bench, {})
        bench.line.cut = bench.wire + len(data) // 2
        before = bench.line.sent if way == "put" else bench.line.received
        with suppress(ConsoleLost):
            move()
        first = (bench.line.sent if way == "put" else bench.line.received) - before
        (part,) = folder.glob(".lava*.part")
        twice = first - part.stat().st_size
        bench.again()
        move()
        if (there if way == "put" else here).read_bytes() != data:
            raise RuntimeError(f"what was {way} after a cut is not what was sent")
        return twice


def _throttle(bench: Bench, faults: dict[str, float]) -> None:
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    bench.throttle(_RATE)
    for name, value in faults.items():
        setattr(bench.line, name, value)


def _timed(bench: Bench, size: int, move: Callable[[], object]) -> _Sample:
    wire, began = bench.wire, time.monotonic()
    move()
    return _Sample(size / (time.monotonic() - began) / _RATE, (bench.wire - wire) / size)

"""Large files are never in memory as a whole, whatever way they go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.transfers import open_bench

from pytest_lava.transfer.api import Mode, Network

SOAK = bool(os.environ.get("LAVA_SOAK"))
SIZE = 500_000_000 if SOAK else 150_000_000


def peak() -> int:
    """Bytes of memory that this process had at most since the last call."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.parametrize("mode", ["http", "serial"])
def test_a_large_file_takes_little_memory(tmp_path: Path, mode: Mode) -> None:
    source, there, back = (tmp_path / name for name in ("source", "there", "back"))
    with source.open("wb") as file:
        file.truncate(SIZE)
        file.seek(SIZE // 2)
        file.write(os.urandom(1_000_000))
    with open_bench(tmp_path, mode=mode, network=Network(address="127.0.0.1")) as bench:
        bench.files.write_bytes(str(tmp_path / "first"), b"")
        if bench.serial is not None and mode == "serial":
            bench.throttle(2e6)  # so that it is compressed, there and here
            bench.line.rate = 0
        peak()
        before = peak()
        bench.files.put(source, str(there))
        bench.files.get(str(there), back)
        grown = peak() - before
    assert back.stat().st_size == SIZE
    with source.open("rb") as ours, back.open("rb") as theirs:
        while chunk := ours.read(1 << 20):
            assert theirs.read(1 << 20) == chunk
    print(f"{mode}: {SIZE >> 20} MB there and back grew memory by {grown >> 20} MB")
    assert grown < 60_000_000

"""Blocks over lines that are slow, noisy, cut or not 8-bit clean, with every shell that can be had."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from support.lines import SHELLS
from support.transfers import Bench, noise, open_bench, prose

from pytest_lava.errors import ConsoleLost, OperationFailed, Timeout
from pytest_lava.transfer.pace import GRAIN, Pace

UART = 11_520.0  # bytes a second at 115200 baud
SOAK = bool(os.environ.get("LAVA_SOAK"))


@pytest.fixture(params=sorted(SHELLS))
def any_shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path, SHELLS[request.param]) as bench:
        yield bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path) as bench:
        yield bench


def there_and_back(bench: Bench, data: bytes) -> None:
    path = bench.folder / "there"
    bench.files.write_bytes(str(path), data)
    assert path.read_bytes() == data
    assert bench.files.read_bytes(str(path)) == data
    assert bench.shell.run("echo usable").stdout == "usable\n"
    assert not list(bench.folder.glob(".lava*"))


@pytest.mark.parametrize("size", [0, 1, 2, 1023, 1024, 1025, 16384, 70_001, 1_000_000])
def test_every_shell_and_size(any_shell: Bench, size: int) -> None:
    there_and_back(any_shell, noise(size))


def test_awkward_bytes(any_shell: Bench) -> None:
    for data in (bytes(range(256)) * 30, b"\0" * 900, b"\n" * 900, b"\xff" * 70_000, b"~G0;1;2~\n~0.\n@1 T\nT\n" * 40):
        there_and_back(any_shell, data)


def test_a_line_that_is_not_8_bit_clean(tmp_path: Path) -> None:
    with open_bench(tmp_path, strips=True) as bench:
        there_and_back(bench, noise(50_000))
        assert bench.wire < 3.1 * 50_000  # no block was tried raw, but for those of the probe
        there_and_back(bench, prose(50_000))


def best_share(bench: Bench, size: int, enough: float, move: Callable[[], object]) -> tuple[float, int]:
    """Payload a second as a share of the line, and bytes on it. More tries, as a busy machine can only be slower."""
    share, wire = 0.0, 0
    for _ in range(4):
        before, began = bench.wire, time.monotonic()
        move()
        share = max(share, size / (time.monotonic() - began) / UART)
        wire = bench.wire - before
        if share >= enough:
            break
    return share, wire


def test_as_fast_as_the_line(bench: Bench) -> None:
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    size = (512 if SOAK else 64) << 10
    seeds, path = count(), str(bench.folder / "there")
    bench.throttle(UART)
    put = best_share(bench, size, 0.95, lambda: bench.files.write_bytes(path, noise(size, next(seeds))))
    got = best_share(bench, size, 0.95, lambda: bench.files.read_bytes(path))
    for share, wire in (put, got):
        assert share >= 0.95
        # what comes before and after the blocks is 900 bytes, more than 1 % of 64 KB
        assert wire <= 1.01 * size + (0 if SOAK else 900)


def test_text_is_faster_than_the_line(bench: Bench) -> None:
    bench.line.rate = UART  # so that the first contact shows how slow it is
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    size = (256 if SOAK else 96) << 10
    seeds, path = count(), bench.folder / "there"
    put = best_share(bench, size, 3, lambda: bench.files.write_bytes(str(path), prose(size, next(seeds))))
    data = path.read_bytes()
    assert len(data) == size
    got = best_share(bench, size, 3, lambda: bench.files.read_bytes(str(path)))
    for share, wire in (put, got):
        assert share >= 3
        assert wire < size / 3
    assert bench.files.read_bytes(str(path)) == data


def over_a_bad_line(bench: Bench, size: int, **faults: float) -> None:
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    bench.line.rate = 20 * UART
    for name, value in faults.items():
        setattr(bench.line, name, value)
    path, data, wire = bench.folder / "there", noise(size), bench.wire
    bench.files.write_bytes(str(path), data)
    assert path.read_bytes() == data
    assert bench.wire - wire < 1.4 * size
    wire = bench.wire
    assert bench.files.read_bytes(str(path)) == data
    assert bench.wire - wire < 1.4 * size


@pytest.mark.parametrize(
    "faults", [{"flips": 1e-5}, {"drops": 1e-5}, {"printk": 20}, {"printk": 200}], ids=lambda faults: f"{faults}"
)
def test_one_fault(bench: Bench, faults: dict[str, float]) -> None:
    over_a_bad_line(bench, 2_000_000 if SOAK else 250_000, **faults)


def test_all_faults(any_shell: Bench) -> None:
    over_a_bad_line(any_shell, 2_000_000 if SOAK else 250_000, flips=1e-5, drops=1e-5, printk=20)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_put_goes_on_after_a_cut(any_shell: Bench, share: float) -> None:
    bench, data = any_shell, noise(400_000)
    source = bench.folder / "source"
    source.write_bytes(data)
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    bench.line.rate = 30 * UART
    bench.line.cut = bench.wire + int(share * len(data))
    with pytest.raises(ConsoleLost):
        bench.files.put(source, str(bench.folder / "there"))
    assert not (bench.folder / "there").exists()
    (part,) = bench.folder.glob(".lava*.part")
    had = part.stat().st_size
    assert share * len(data) - had < (128 << 10) + 2000  # one block and what is around the others
    line = bench.again()
    bench.files.put(source, str(bench.folder / "there"))
    assert line.sent < len(data) - had + 2000
    assert (bench.folder / "there").read_bytes() == data
    assert not list(bench.folder.glob(".lava*"))


@pytest.mark.parametrize(
    ("data", "whole"), [(noise(600_000), 600_000), (prose(3_000_000), None)], ids=["noise", "text"]
)
def test_get_goes_on_after_a_cut(bench: Bench, data: bytes, whole: int | None) -> None:
    source, here = bench.folder / "source", bench.folder / "here"
    source.write_bytes(data)
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    bench.line.rate = 30 * UART
    bench.line.cut = bench.wire + 300_000
    with pytest.raises(ConsoleLost):
        bench.files.get(str(source), here)
    assert not here.exists()
    (part,) = bench.folder.glob(".lava*.part")
    had = part.stat().st_size
    assert had > 300_000 - 2 * (128 << 10)
    line = bench.again()
    bench.files.get(str(source), here)
    assert here.read_bytes() == data
    assert whole is None or line.received < whole - had + 2 * (128 << 10)  # what was under way comes, too
    assert not list(bench.folder.glob(".lava*"))


def test_a_part_that_a_power_cut_spoiled_is_not_used(bench: Bench) -> None:
    data = noise(300_000)
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    bench.line.rate = 30 * UART
    bench.line.cut = bench.wire + 150_000
    with pytest.raises(ConsoleLost):
        bench.files.write_bytes(str(bench.folder / "there"), data)
    (part,) = bench.folder.glob(".lava*.part")
    part.write_bytes(b"\0" * part.stat().st_size)
    bench.again()
    bench.files.write_bytes(str(bench.folder / "there"), data)
    assert (bench.folder / "there").read_bytes() == data


def test_time_over_leaves_a_usable_shell(bench: Bench) -> None:
    data = noise(200_000)
    path = bench.folder / "there"
    bench.files.write_bytes(str(path), data)
    bench.line.rate = UART
    for move in (
        lambda: bench.files.write_bytes(str(bench.folder / "other"), noise(200_000, 2), timeout=1),
        lambda: bench.files.read_bytes(str(path), timeout=1),
    ):
        began = time.monotonic()
        with pytest.raises(Timeout):
            move()
        bench.line.rate = 0
        assert bench.shell.run("echo usable", timeout=10).stdout == "usable\n"
        assert time.monotonic() - began < 10
        bench.line.rate = UART
    bench.line.rate = 0
    (part,) = bench.folder.glob(".lava*")  # to go on with
    part.unlink()
    there_and_back(bench, data)


def test_file_that_changes_while_it_is_read(bench: Bench) -> None:
    path = bench.folder / "there"
    path.write_bytes(noise(300_000))
    bench.files.write_bytes(str(bench.folder / "first"), b"")
    bench.line.rate = 20 * UART

    def change() -> None:
        time.sleep(0.3)
        with path.open("r+b") as file:
            file.seek(299_000)
            file.write(b"changed")

    thread = threading.Thread(target=change)
    thread.start()
    with pytest.raises(OperationFailed, match="did it change while it was read"):
        bench.files.read_bytes(str(path))
    thread.join()
    there_and_back(bench, noise(1000))


def test_board_that_stops_in_the_middle(tmp_path: Path) -> None:
    with open_bench(tmp_path) as bench:
        bench.files.write_bytes(str(tmp_path / "first"), b"")
        pid = int(bench.shell.run("echo $$").stdout)
        bench.line.rate = 10 * UART
        timer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
        timer.start()
        with pytest.raises((ConsoleLost, OperationFailed)):
            bench.files.write_bytes(str(tmp_path / "there"), noise(500_000))
        timer.join()


def test_blocks_shrink_with_errors_and_grow_without() -> None:
    pace = Pace()
    sizes = []
    for _ in range(40):
        sizes.append(pace.size)
        pace.ok(pace.size, pace.size / 1e7)
    assert sizes == sorted(sizes)
    assert sizes[-1] == 256 << 10
    pace.failed(pace.size)
    assert pace.size <= 16 << 10
    slow = Pace(rate=960)
    assert slow.size == 2 * GRAIN
    for _ in range(40):
        slow.failed(slow.size)
    assert slow.size == GRAIN
    with pytest.raises(ConsoleLost, match="damages every block"):
        slow.failed(slow.size)

from __future__ import annotations

import os
import struct
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_lava.console import bytelog
from pytest_lava.console.bytelog import ByteLog, came_after


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.binary(max_size=300), max_size=30),
    reads=st.lists(st.tuples(st.integers(0, 5000), st.none() | st.integers(0, 5000)), max_size=20),
    kept=st.integers(1, 400),
)
def test_reads_what_was_written_from_memory_and_from_the_file(
    chunks: list[bytes], reads: list[tuple[int, int | None]], kept: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bytelog, "_KEEP", kept)
        log, whole = ByteLog(Path(folder, "console.log")), b""
        for chunk in chunks:
            log.append(chunk)
            whole += chunk
            assert log.end == len(whole)
            for start, end in reads:
                assert log.read(start, end) == whole[start : len(whole) if end is None else end]
        assert log.path.read_bytes() == whole
        log.close()


def test_index_says_when_which_byte_came(tmp_path: Path) -> None:
    log = ByteLog(tmp_path / "console.log")
    before = time.time_ns()
    for chunk in (b"one", b"two", b"three"):
        log.append(chunk)
        time.sleep(0.002)
    entries = list(struct.iter_unpack("<QQ", (tmp_path / "console.idx").read_bytes()))
    assert [offset for _, offset in entries] == [0, 3, 6]
    times = [when for when, _ in entries]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.time_ns()
    at = [came_after(log.path, when) for when in (before, times[1], times[1] + 1, time.time_ns())]
    assert at == [0, 3, 6, None]
    log.close()


def test_full_disk_leaves_log_and_index_whole(tmp_path: Path) -> None:
    """A pipe in place of the disk takes 65536 bytes and no more."""
    log = ByteLog(tmp_path / "console.log")
    log.append(b"good")
    read, write = os.pipe2(os.O_NONBLOCK)
    file, log._file = log._file, write
    with pytest.raises(BlockingIOError):
        log.append(b"x" * 100_000)
    os.close(read)
    os.close(write)
    log._file = file
    assert (log.end, log.read(0)) == (4, b"good")
    log.append(b" again")
    assert log.path.read_bytes() == log.read(0) == b"good again"
    assert (tmp_path / "console.idx").stat().st_size % 16 == 0
    log.close()


def test_nothing_is_left_open_when_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "console.idx").mkdir()
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    with pytest.raises(IsADirectoryError):
        ByteLog(tmp_path / "console.log")
    assert {path.name for path in Path("/proc/self/fd").iterdir()} == before


def test_a_new_log_replaces_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_bytes(b"old")
    log = ByteLog(tmp_path / "console.log")
    assert log.read(0) == b""
    log.close()
    log.close()

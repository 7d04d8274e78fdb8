"""Slices of a console log: exact as bytes, readable as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.results.console_slice import excerpt, write_slice


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "console.log"
    path.write_bytes(b"boot\r\n\x1b[1;32mgreen\x1b[0m\r\r\nbad \xff\rlast")
    return path


def test_text_is_readable(log: Path) -> None:
    assert excerpt(log, 0, None) == "boot\ngreen\nbad \ufffd\nlast"
    assert excerpt(log, 0, 6) == "boot\n"


def test_the_tail_is_kept_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(1000)))
    assert excerpt(path, 0, None, lines=2) == "line 998\nline 999\n"
    assert excerpt(path, 0, 17, lines=1) == "lin"
    assert excerpt(path, 0, None, limit=20) == "line 998\nline 999\n"
    path.write_bytes(b"x" * 1000)
    assert excerpt(path, 0, None, limit=20) == "x" * 20


@pytest.mark.parametrize("start, end", [(5, 5), (9, 3), (10_000, 20_000), (10_000, None)])
def test_empty_ranges(log: Path, start: int, end: int | None) -> None:
    assert excerpt(log, start, end) == ""
    assert write_slice(log, start, end, log.with_name("out")) == 0


def test_a_lost_log_is_empty(tmp_path: Path) -> None:
    assert excerpt(tmp_path / "console.log", 0, 10) == ""


def test_bytes_are_exact(tmp_path: Path) -> None:
    path, out = tmp_path / "console.log", tmp_path / "slice.log"
    data = bytes(range(256)) * 9000
    path.write_bytes(data)
    for start, end in ((0, None), (7, 2_000_000), (3, 4), (1_000_000, None)):
        assert write_slice(path, start, end, out) == len(data[start:end])
        assert out.read_bytes() == data[start:end]

"""Faults of the lab are counted per board, for a while."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_lava.lab.trouble import faults, forget, note, recent

LAB = {"type": "PowerError", "message": "silent", "blame": "infrastructure"}


def test_counted_and_forgotten(tmp_path: Path) -> None:
    assert recent("b", 60, tmp_path) == []
    note("b", "one", folder=tmp_path)
    note("b", "two", folder=tmp_path)
    note("c", "three", folder=tmp_path)
    assert recent("b", 60, tmp_path) == ["one", "two"]
    forget("b", tmp_path)
    assert recent("b", 60, tmp_path) == []
    assert recent("c", 60, tmp_path) == ["three"]
    note("b", "four", folder=tmp_path)
    assert recent("b", 60, tmp_path) == ["four"]


def test_only_of_late(tmp_path: Path) -> None:
    now = time.time()
    lines = [b'{"time": %f, "why": "old"}' % (now - 100), b"torn {", b"[]", b'{"time": "x"}',
             b'{"time": %f, "why": "new"}' % (now - 10)]  # fmt: skip
    (tmp_path / "b.trouble").write_bytes(b"\n".join(lines))
    assert recent("b", 60, tmp_path) == ["new"]
    assert recent("b", 1000, tmp_path) == ["old", "new"]


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    for _ in range(400):
        note("b", "x" * 1000, folder=tmp_path)
    assert (tmp_path / "b.trouble").stat().st_size < 70_000


def test_every_user_may_count(tmp_path: Path) -> None:
    note("b", "mine", folder=tmp_path)
    assert (tmp_path / "b.trouble").stat().st_mode & 0o666 == 0o666


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ({"kind": "outcome", "outcome": "failed", "error": LAB}, True),
        ({"kind": "outcome", "outcome": "skipped", "error": LAB}, False),  # of a board that was told already
        ({"kind": "outcome", "outcome": "failed", "error": LAB | {"blame": "job"}}, False),
        ({"kind": "outcome", "outcome": "failed", "error": None}, False),
        *(
            ({"kind": "outcome", "outcome": "failed", "error": LAB | {"type": name}}, False)
            for name in ("BoardBusy", "BoardQuarantined", "NetworkError", "DiskFull")
        ),
        ({"kind": "attempt", "last": False, "error": LAB}, True),
        ({"kind": "attempt", "last": True, "error": LAB}, False),  # its outcome follows
        ({"kind": "phase", "error": LAB}, False),
    ],
)
def test_what_counts(line: dict[str, object], counted: bool) -> None:
    assert faults([{"board": "b", **line}]) == ([("b", "silent")] if counted else [])

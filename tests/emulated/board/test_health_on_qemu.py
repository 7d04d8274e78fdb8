"""A health check of an emulated board: its own known-good kernel, a real reset, a real network."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.errors import ConfigurationError
from pytest_lava.lab.health import STEPS
from pytest_lava.lab.health_commands import check_board
from pytest_lava.lab.health_record import history
from pytest_lava.registry import Registry
from pytest_lava.results.journal import read
from pytest_lava.results.record import collect

pytestmark = pytest.mark.emulated

BOARD = """
extends = "qemu-x86_64"
[health]
kernel = "{cache}/debian-x86_64/vmlinuz"
append = "loglevel=7 lava.word"
"""


def files(folder: Path, text: str) -> BoardFiles:
    (folder / "machine.toml").write_text(text)
    return BoardFiles([folder, shipped("boards")], Registry())


def test_every_step_on_the_known_good_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = files(tmp_path, BOARD)
    health = check_board(found.load("machine"), found, tmp_path / "run")
    assert [(step.name, step.outcome) for step in health.steps] == [(name, "passed") for name in STEPS], health
    assert health.steps[-1].told == "64 KiB by http"
    record = collect(read(tmp_path / "run"))
    (told,) = [line for line in read(tmp_path / "run") if line["kind"] == "target"]
    assert told["kernel"]["release"] == health.steps[2].told.removeprefix("Linux ")
    assert len(record.boots) == 2  # booted twice, and never resumed
    assert not record.resumes
    assert record.end
    assert record.end["status"] == 0
    assert (tmp_path / "run" / "console.log").read_bytes().count(b"lava.word") >= 2
    (entry,) = history(["machine"])
    assert (entry.healthy, list(entry.steps or {})) == (True, list(STEPS))
    assert history(["another"]) == []


def test_a_known_good_kernel_that_is_gone(tmp_path: Path) -> None:
    found = files(tmp_path, BOARD.replace("vmlinuz", "nosuch"))
    with pytest.raises(ConfigurationError, match="nosuch"):
        check_board(found.load("machine"), found, tmp_path / "run")
    assert not (tmp_path / "run").exists()

"""What emulated boards of three architectures tell of themselves, and that a resumed one is not asked again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import State
from pytest_lava.board.inventory import Core

pytestmark = pytest.mark.emulated


@pytest.mark.parametrize(
    "name, model, core, feature",
    [
        ("qemu-x86_64", "Standard PC (Q35 + ICH9, 2009)", Core(0, "QEMU Virtual CPU version 2.5+"), "sse2"),
        ("qemu-arm64", "linux,dummy-virt", Core(0, "ARM Cortex-A57", "0x41:0xd07"), "asimd"),
        ("qemu-arm", "linux,dummy-virt", Core(0, "ARM Cortex-A15", "0x41:0xc0f"), "neon"),
    ],
)
def test_boards_tell_what_they_are(tmp_path: Path, name: str, model: str, core: Core, feature: str) -> None:
    with open_board(tmp_path, name, append="quiet lava.test=1") as board:
        board.reach(State.SHELL)
        assert board.last_boot is not None
        found = board.last_boot.inventory
        assert (found.model, found.cores) == (model, (core,))
        assert feature in found.features.split()
        megabytes = 256 if name == "qemu-x86_64" else 512
        assert 0.8 * megabytes < found.memory / (1 << 20) < megabytes
        assert found.cmdline.endswith("lava.test=1")
        assert found.compatible == (() if name == "qemu-x86_64" else ("linux,dummy-virt",))
        assert found.vendor == ("QEMU" if name == "qemu-x86_64" else "")


def test_two_cores_and_markers(tmp_path: Path) -> None:
    """The marker protocol serves as well; what is asked it hears once a boot."""
    text = """
        extends = "qemu-x86_64"
        [power]
        arguments = ["-smp", "2"]
        [login]
        protocol = "marker"
    """
    with open_board(tmp_path, "two", text) as board:
        board.reach(State.SHELL)
        assert board.last_boot is not None
        found = board.last_boot.inventory
        assert [core.id for core in found.cores] == [0, 1]
        assert found.model == "Standard PC (Q35 + ICH9, 2009)"


def test_a_resumed_board_is_not_asked(tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        with open_board(tmp_path, "qemu-x86_64", cache=tmp_path / "cache", snapshots=True) as board:
            board.reach(State.SHELL)
            assert board.last_boot is not None
            told.append(board.last_boot.inventory)
            assert bool(board.last_boot.resumed) is (len(told) == 2)
    assert told[0] == told[1]
    assert told[0].cores
    asked = [line for line in (tmp_path / "events.jsonl").read_text().splitlines() if "cpuinfo" in line]
    assert len(asked) == 1

"""A cache with one state in it, made by one real boot, and places to use copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import Board, BootRecord, State
from pytest_lava.images.cache import cache_dir

Open = Callable[..., AbstractContextManager[Board]]

#: what it leaves in RAM after its first boot tells whether it boots again
TEXT = """
    extends = "qemu-arm64"
    [login]
    commands = ["cat /proc/sys/kernel/random/boot_id >/tmp/id", "cat /proc/uptime >/tmp/up", "date +%s >/tmp/date"]
"""


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BootRecord, str]:
    """A cache with a state, how the board booted, and its boot's id."""
    folder = tmp_path_factory.mktemp("kept")
    cache = folder / "cache"
    cache.mkdir()
    with open_board(folder, "b", TEXT, cache=cache, snapshots=True) as board:
        boot_id = board.shell.run("cat /tmp/id").stdout
        assert board.last_boot
        assert not board.last_boot.resumed
        record = board.last_boot
    (state,) = (cache / "snapshots").glob("[!.]*")
    assert sorted(path.name for path in state.iterdir()) == ["about.json", "drives.json", "memory"]
    return cache, record, boot_id


@pytest.fixture
def opens(kept: tuple[Path, BootRecord, str], tmp_path: Path) -> Iterator[Open]:
    """Opens that board with a copy of the cache, in which nothing is half made at the end."""
    cache = tmp_path / "cache"
    shutil.copytree(kept[0], cache)
    yield partial(open_board, tmp_path, "b", TEXT, cache=cache, snapshots=True)
    assert not [path for path in (cache / "snapshots").glob(".*") if path.suffix != ".json"]


def booted(board: Board) -> bool:
    """Bring it to its shell; whether that took a boot."""
    board.reach(State.SHELL)
    assert board.last_boot
    return not board.last_boot.resumed


def default(pattern: str) -> Path:
    (found,) = (cache_dir() / "debian-arm64").glob(pattern)
    return found

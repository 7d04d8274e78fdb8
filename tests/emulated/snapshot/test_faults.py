"""Whatever happens to a state while it is kept or afterwards: the board boots, says why, and nothing is left behind."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated.snapshot.conftest import TEXT, Open, booted

pytestmark = pytest.mark.emulated

#: boots the board with a cache, as another process
OTHER = f"""
import sys
from pathlib import Path
from support.boards import open_board
folder, cache = map(Path, sys.argv[1:])
with open_board(folder, "b", '''{TEXT}''', cache=cache, snapshots=True) as board:
    print("booted" if not (board.shell and board.last_boot.resumed) else "resumed", flush=True)
"""


def other(folder: Path, cache: Path, *wrapped: str) -> subprocess.Popen[str]:
    folder.mkdir()
    return subprocess.Popen(
        [*wrapped, sys.executable, "-c", OTHER, str(folder), str(cache)],
        env=os.environ | {"PYTHONPATH": "tests:."}, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def state_of(folder: Path) -> Path:
    (state,) = (folder / "cache/snapshots").glob("[!.]*")
    return state


def flip(state: Path) -> None:
    with (state / "memory").open("r+b") as file:
        file.seek(12_345_678)
        byte = file.read(1)
        file.seek(12_345_678)
        file.write(bytes([byte[0] ^ 1]))


def cut(state: Path) -> None:
    os.truncate(state / "memory", 1 << 20)


def lose(state: Path) -> None:
    (state / "memory").unlink()


def scribble(state: Path) -> None:
    (state / "about.json").write_text("{}")


@pytest.mark.parametrize("damage", [flip, cut, lose, scribble])
def test_damage(opens: Open, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(state_of(tmp_path))
    with opens() as board:
        assert booted(board)
        assert board.shell.run("echo works").stdout == "works\n"
        board.recover()
        assert not booted(board)  # it was kept anew
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    (told,) = [event["message"] for event in events if event["level"] == "warning"]
    assert told.startswith("the board really boots, its snapshot ")
    assert "cannot be used: it is damaged: " in told


def test_a_state_that_does_not_fit(opens: Open, tmp_path: Path) -> None:
    """Whole, but of another machine: QEMU refuses it."""
    state = state_of(tmp_path)
    (state / "memory").write_bytes(b"not a state at all" * 1000)
    about = json.loads((state / "about.json").read_text())
    about["checks"]["memory"] = zlib.crc32((state / "memory").read_bytes())
    (state / "about.json").write_text(json.dumps(about))
    with opens() as board:
        assert booted(board)
        board.recover()
        assert not booted(board)
    assert "the board really boots, its snapshot" in (tmp_path / "events.jsonl").read_text()


def test_killed_while_keeping(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    victim = other(tmp_path / "first", cache)
    assert victim.stdout
    while not list(cache.glob("snapshots/.*.tmp-*/memory")):
        assert not select.select([victim.stdout], [], [], 0.002)[0], "it was over before it could be killed"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert not list(cache.glob("snapshots/[!.]*"))
    second = other(tmp_path / "second", cache)
    assert second.communicate(timeout=100)[0] == "booted\n"
    (state,) = cache.glob("snapshots/[!.]*")
    assert [path.name for path in cache.glob("snapshots/.*")] == [f".{state.name}.json"]
    third = other(tmp_path / "third", cache)
    assert third.communicate(timeout=100)[0] == "resumed\n"


def test_disk_full_while_keeping(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "snapshots").mkdir(parents=True)
    mount = f'mount -t tmpfs -o size=20m none {cache}/snapshots && "$@" && ls -A {cache}/snapshots'
    run = other(tmp_path / "run", cache, "unshare", "-rm", "sh", "-c", mount, "sh")
    assert run.communicate(timeout=100)[0] == "booted\n"
    events = (tmp_path / "run/events.jsonl").read_text()
    assert "no snapshot: the state of the machine could not be kept" in events
    assert "No space left on device" in events


def test_a_folder_that_cannot_be_written(opens: Open, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache/snapshots")
    (tmp_path / "cache/snapshots").write_text("in the way")
    with opens() as board:
        assert booted(board)
        assert board.shell.run("echo works").stdout == "works\n"
    assert "no snapshots: " in (tmp_path / "events.jsonl").read_text()
    (tmp_path / "cache/snapshots").unlink()


def test_two_at_once(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    runs = [other(tmp_path / name, cache) for name in ("one", "two")]
    assert sorted(run.communicate(timeout=200)[0] for run in runs) in (["booted\n"] * 2, ["booted\n", "resumed\n"])
    assert len(list(cache.glob("snapshots/[!.]*"))) == 1
    again = [other(tmp_path / name, cache) for name in ("three", "four")]
    assert [run.communicate(timeout=200)[0] for run in again] == ["resumed\n"] * 2
    assert all(run.returncode == 0 for run in (*runs, *again))

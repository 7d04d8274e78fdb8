"""The cache: whole entries or none, built once however many ask, nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, InfrastructureError
from pytest_lava.images.cache import cache_dir, entry, locked, produce, replace_file
from pytest_lava.images.memo import remembered, sha256_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_where_it_is(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_dir() == cache
    assert entry("media", "abc.fat", cache_dir()) == cache / "media" / "abc.fat"
    monkeypatch.delenv("PYTEST_LAVA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "pytest-lava"
    monkeypatch.setenv("PYTEST_LAVA_CACHE", "here")
    with pytest.raises(ConfigurationError, match="give an absolute one"):
        cache_dir()


@pytest.mark.parametrize("key", ["", "..", "a/b", ".hidden", "a b"])
def test_keys_stay_inside(key: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        entry("media", key, cache_dir())


def test_made_once() -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("content")

    path = entry("things", "one", cache_dir())
    assert produce(path, make) == path
    assert produce(path, make).read_text() == "content"
    assert len(made) == 1
    assert files(path.parent) == ["one"]


def test_a_folder_can_be_an_entry() -> None:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "file").write_text("x")

    assert files(produce(entry("things", "tree", cache_dir()), make)) == ["file"]


def test_failure_leaves_nothing() -> None:
    path = entry("things", "bad", cache_dir())

    def make(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        produce(path, make)
    assert files(path.parent) == []


def test_a_killed_build_is_swept(cache: Path) -> None:
    code = (
        "import os, signal; from pytest_lava.images.cache import cache_dir, entry, produce\n"
        "def make(path):\n path.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "produce(entry('things', 'killed', cache_dir()), make)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    path = entry("things", "killed", cache_dir())
    assert not path.exists()
    produce(path, lambda temporary: temporary.write_text("whole") and None)
    assert path.read_text() == "whole"
    assert files(path.parent) == ["killed"]


def _slow(path: Path, log: Path) -> None:
    def make(temporary: Path) -> None:
        with log.open("a") as out:
            out.write("made\n")
        time.sleep(0.2)
        temporary.write_text(str(os.getpid()))

    produce(path, make)


def test_parallel_runs_build_once(tmp_path: Path) -> None:
    path, log = entry("things", "shared", cache_dir()), tmp_path / "log"
    context = multiprocessing.get_context("fork")
    runs = [context.Process(target=_slow, args=(path, log)) for _ in range(6)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(20)
        assert run.exitcode == 0
    assert log.read_text() == "made\n"
    assert files(path.parent) == ["shared"]


def test_waiting_ends() -> None:
    path = entry("things", "busy", cache_dir())
    with locked(path), pytest.raises(InfrastructureError, match="another run has been building busy for too long"):
        produce(path, lambda temporary: None, deadline=Deadline.after(0.1))
    assert files(path.parent) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "file"))
    with pytest.raises(InfrastructureError, match=r"cannot be written.*PYTEST_LAVA_CACHE"):
        produce(entry("things", "x", cache_dir()), lambda path: None)


def test_replace_file(cache: Path) -> None:
    replace_file(cache / "a" / "b", b"1")
    replace_file(cache / "a" / "b", b"2")
    assert (cache / "a" / "b").read_bytes() == b"2"
    assert files(cache / "a") == ["b"]


def settled(path: Path, data: bytes) -> None:
    """Write a file and make sure that it counts as settled: facts about files of this very moment are not kept."""
    path.write_bytes(data)
    time.sleep(0.06)


def test_facts_are_found_out_once(tmp_path: Path) -> None:
    path, calls = tmp_path / "file", []

    def count(_: Path) -> int:
        calls.append(1)
        return len(calls)

    settled(path, b"1")
    assert [remembered(path, "count", count, cache_dir()) for _ in range(3)] == [1, 1, 1]
    settled(path, b"2")
    assert remembered(path, "count", count, cache_dir()) == 2
    os.utime(path, (1, 1))
    time.sleep(0.06)
    assert remembered(path, "count", count, cache_dir()) == 3


def test_a_file_of_this_moment_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for number in range(50):
        path.write_bytes(b"%02d" % number)
        before = sha256_of(path, cache_dir())
        path.write_bytes(b"%02d" % (number + 1))
        assert sha256_of(path, cache_dir()) != before


def test_a_damaged_fact_is_found_out_again(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "file"
    settled(path, b"1")
    good = sha256_of(path, cache_dir())
    for fact in (cache / "facts").iterdir():
        fact.write_text("{")
    assert sha256_of(path, cache_dir()) == good


def test_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        sha256_of(tmp_path / "nothing", cache_dir())

"""The run folder: chosen before anything runs, made when it does, and gone again if nothing did."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_lava.plugin.named_files import jobs_named
from pytest_lava.results.run_folders import LATEST, RUNS, claimed, name_of_now

__all__ = ["begin", "choose", "remove_empty", "runs_tests"]


def choose(config: pytest.Config) -> Path:
    """The run folder, ours from now on; ``pytest.UsageError`` if it cannot be made."""
    if config.option.lava_dir:
        return _named_folder(config)
    named = [*(config.option.lava_board or ()), *(path.stem for path in jobs_named(config)), "none"]
    board = re.sub(r"[^\w.-]", "_", named[0])
    name = name_of_now(board)
    # without a configuration file pytest guesses, and `--kernel /boot/vmlinuz` makes it guess the root folder
    parent = (config.rootpath if config.inipath else Path(config.invocation_params.dir)) / RUNS
    try:
        return claimed(parent, name) if runs_tests(config) else parent / name
    except OSError as error:
        raise _cannot_make(parent / name, error) from None


def _named_folder(config: pytest.Config) -> Path:
    folder = Path(config.invocation_params.dir, config.option.lava_dir).absolute()
    if folder.exists() and not folder.is_dir():
        raise pytest.UsageError(f"--lava-dir {config.option.lava_dir} is no folder: give another one")
    if runs_tests(config):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".writable").touch()
            (folder / ".writable").unlink()
        except OSError as error:
            raise _cannot_make(folder, error) from None
        _occupy(folder)()
    return folder


def runs_tests(config: pytest.Config) -> bool:
    """Whether this is more than a look at what there is."""
    looks = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test", "markers", "cacheshow")
    return not any(getattr(config.option, name, None) for name in looks)


def remove_empty(folder: Path) -> None:
    """A run folder that was not needed, and ``lava-runs`` if it is empty too."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        if folder.parent.name == RUNS.name:
            folder.parent.rmdir()


def begin(folder: Path, *, named: bool) -> Callable[[], None]:
    """Make it, and move an earlier run of the same name aside; ``lava-runs/latest`` leads to one that was not named.

    It is this run's alone until what comes back is called. ``pytest.UsageError`` if another run is going on in it.
    """
    try:
        if folder.exists():
            _occupy(folder)()
        if (folder / "events.jsonl").exists():
            folder.rename(folder.with_name(f"{folder.name}~{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"))
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_make(folder, error) from None
    if not named:
        _link(folder.parent / LATEST.name, folder.name)
    return _occupy(folder)


def _occupy(folder: Path) -> Callable[[], None]:
    """Keep other runs out of a folder; to be called at the end. The kernel ends it with this process."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise pytest.UsageError(f"another run is going on in {folder}: give another --lava-dir") from None
    except OSError:
        pass  # a file system without locks: nobody is kept out
    return lambda: os.close(fd)


def _link(link: Path, name: str) -> None:
    temporary = link.with_name(f".latest-{os.getpid()}")
    try:
        temporary.symlink_to(name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)  # a convenience; some file systems have no links


def _cannot_make(folder: Path, error: OSError) -> pytest.UsageError:
    return pytest.UsageError(f"cannot make the run folder {folder}: {error.strerror}; give another one with --lava-dir")

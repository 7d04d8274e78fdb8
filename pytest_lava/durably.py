"""Files that are whole and on the disk, or not there: what results, the spool and states of boards are kept with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["place_file", "place_folder", "sync_file", "sync_folder", "sync_tree", "write_file"]


def write_file(path: Path, data: bytes | Iterable[bytes]) -> None:
    """A new file, on the disk when this returns; its name is only there once its folder is synced. ``OSError``."""
    with path.open("wb") as out:
        for piece in [data] if isinstance(data, bytes) else data:
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())


def place_file(path: Path, data: bytes | Iterable[bytes], *, alone: bool = False) -> None:
    """Temporary file, fsync, rename, fsync of the folder: whoever looks sees the old or the new one. ``OSError``.

    ``alone``: no other process places this file, so what a killed one left behind is written over by the next try.
    """
    temporary = path.with_name(f".{path.name}.tmp" if alone else f".{path.name}.{os.getpid()}.tmp")
    try:
        write_file(temporary, data)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def place_folder(folder: Path, source: Path) -> None:
    """Copy ``source`` to ``folder``, which appears whole or not at all; it must not exist. ``OSError``."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    if temporary.exists():
        shutil.rmtree(temporary)  # of a try that was killed
    try:
        shutil.copytree(source, temporary)
        sync_tree(temporary)
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def sync_tree(folder: Path) -> None:
    """Bring a folder and all below it to the disk. ``OSError``."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(Path(path, name))
        sync_folder(Path(path))


def sync_file(path: Path) -> None:
    """Bring what a file holds to the disk. ``OSError``."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. ``OSError``."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

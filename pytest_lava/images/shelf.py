"""One cache folder in use: what was made once (boot media, initramfs, unpacked kernels) and what was fetched.

What a shelf gave stays until it is closed, whoever makes space meanwhile: it holds a shared lock on each thing, which
goes with the process. Beside each thing stands what it is and when it was used last.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from pytest_lava.deadline import Deadline
from pytest_lava.errors import DiskFull
from pytest_lava.images.cache import FULL, disk_full, entry, produce, replace_file
from pytest_lava.images.store import Store

__all__ = ["KINDS", "MUCH", "Made", "MakesRoom", "Shelf", "check_of", "made", "remove"]

#: bytes to free on a full disk where nobody knows how much is needed
MUCH = 2 << 30

#: the folders of things that are made, and may be made again
KINDS = ("kernels", "initrd", "media", "injected", "snapshots")
_PIECE = 1 << 20


@dataclass(frozen=True)
class Made:
    """What is known of a thing: ``name`` is what people call it, ``size`` bytes on the disk, ``check`` a check value of
    its content (-1 for none), ``used`` when it was used last (seconds since 1970)."""

    name: str
    size: int
    check: int
    used: float = 0.0


class MakesRoom(Protocol):
    """See :class:`~pytest_lava.images.housekeeping.Room`."""

    def reserve(self, size: int) -> None: ...
    def free(self, size: int) -> int: ...


class Shelf:
    """Cheap to make: folders appear with the first thing. ``store`` is that of fetched contents.

    ``room`` removes older things for a new one where the disk is full.
    """

    def __init__(self, folder: Path, room: MakesRoom | None = None) -> None:
        self.folder, self.room = folder, room
        self.store = Store(folder / "objects")
        self._pins: dict[Path, int] = {}

    def make(
        self, kind: str, key: str, make: Callable[[Path], None],
        *, name: str = "", deadline: Deadline | None = None, summed: bool = True,
    ) -> Path:  # fmt: skip
        """The file or folder ``key`` of ``kind``, made by ``make(temporary)`` if it is not there yet.

        Without ``summed`` no check value is kept: for what is large and made again sooner than it is read. Errors are
        those of :func:`~pytest_lava.images.cache.produce`.
        """
        path = entry(kind, key, self.folder)

        def make_and_note(temporary: Path) -> None:
            try:
                make(temporary)
                size, check = check_of(temporary) if summed else (_disk_usage(temporary), -1)
                replace_file(_facts(path), json.dumps(asdict(Made(name or key, size, check))).encode())
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise disk_full(name or key, path.parent, error) from error

        try:
            made = produce(path, make_and_note, deadline=deadline)
        except DiskFull:
            if self.room is None or not self.room.free(MUCH):
                raise
            made = produce(path, make_and_note, deadline=deadline)
        while not self._pin(made):
            made = produce(path, make_and_note, deadline=deadline)  # it was removed as soon as it was there
        with suppress(OSError):
            os.utime(_facts(path))
        return path

    def find(self, kind: str, key: str) -> Path | None:
        """The file or folder ``key`` of ``kind`` if it is there; it stays as if it had been made."""
        path = entry(kind, key, self.folder)
        if not self._pin(path):
            return None
        with suppress(OSError):
            os.utime(_facts(path))
        return path

    def drop(self, path: Path) -> bool:
        """Remove what this shelf gave, as it is of no use, unless others use it too; whether it is gone."""
        if path in self._pins:
            os.close(self._pins.pop(path))
        return remove(path)

    def close(self) -> None:
        """Nothing is in use any more."""
        self.store.close()
        while self._pins:
            os.close(self._pins.popitem()[1])

    def _pin(self, path: Path) -> bool:
        if path in self._pins:
            return path.exists()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        fcntl.flock(fd, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), path.stat()):
                self._pins[path] = fd
                return True
        os.close(fd)
        return False


def made(folder: Path) -> Iterator[tuple[Path, Made]]:
    """All that was made in a cache folder."""
    for kind in KINDS:
        for path in sorted((folder / kind).glob("[!.]*")):
            yield path, _about(path)


def remove(path: Path) -> bool:
    """Remove a thing unless somebody uses it; whether it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        aside = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")  # swept when it is made again
        path.rename(aside)
        _facts(path).unlink(missing_ok=True)
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def check_of(path: Path) -> tuple[int, int]:
    """Bytes that a file or folder takes on the disk, and a check value of all names and contents in it."""
    size = check = 0
    for found in [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]:
        size += found.lstat().st_blocks * 512
        check = zlib.crc32(os.fsencode(found.relative_to(path)), check)
        if found.is_symlink():
            check = zlib.crc32(os.fsencode(found.readlink()), check)
        elif found.is_file():
            with found.open("rb", buffering=0) as file:
                while data := file.read(_PIECE):
                    check = zlib.crc32(data, check)
    return size, check


def _disk_usage(path: Path) -> int:
    return sum(found.lstat().st_blocks * 512 for found in [path, *path.rglob("*")])


def _about(path: Path) -> Made:
    facts = _facts(path)
    try:
        known = json.loads(facts.read_bytes())
        return Made(**known | {"used": facts.stat().st_mtime})
    except (OSError, ValueError, TypeError):  # of an older version, or its maker was killed
        size, check = check_of(path)
        return Made(path.name, size, check, path.lstat().st_mtime)


def _facts(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")

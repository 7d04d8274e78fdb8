"""The folder of things made once and used often: entries named by their content, built under a lock, renamed whole."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.durably import sync_file
from pytest_lava.errors import ConfigurationError, DiskFull, InfrastructureError

__all__ = ["FULL", "cache_dir", "disk_full", "entry", "locked", "produce", "replace_file", "sweep"]

#: errors of a disk, or of a user's share of it, that has no room
FULL = (errno.ENOSPC, errno.EDQUOT)

#: seconds to wait for another run that is building the same entry
_PATIENCE = 1800.0
_POLL = 0.05
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def cache_dir() -> Path:
    """The user's cache folder: ``$PYTEST_LAVA_CACHE``, or that of the desktop standards. It need not exist yet.

    For the edge of the house (options, the command line): rooms are handed their folder. Raises ``ConfigurationError``
    if the variable holds a relative path: runs from two folders would not share it.
    """
    given = os.environ.get("PYTEST_LAVA_CACHE")
    if given:
        path = Path(given).expanduser()
        if not path.is_absolute():
            raise ConfigurationError(f"PYTEST_LAVA_CACHE={given} is a relative path: give an absolute one")
        return path
    from platformdirs import user_cache_path

    return user_cache_path("pytest-lava")


def entry(kind: str, key: str, cache: Path) -> Path:
    """Where the entry ``key`` (a hash, perhaps with a suffix) of ``kind`` is or will be in ``cache``.

    Nothing is created.
    """
    for word in (kind, key):
        if not _SAFE.fullmatch(word):
            raise ValueError(f"not a name for a cache entry: {word!r}")
    return cache / kind / key


def produce(path: Path, make: Callable[[Path], None], *, deadline: Deadline | None = None) -> Path:
    """Return ``path``, built by ``make(temporary)`` if it is not there yet.

    ``make`` writes a file or a folder at the path it is given; that is renamed to ``path`` when complete, so nobody
    ever sees half of it. Of several runs at once one builds and the others wait for it. What a failed or killed
    build left is swept by the next. Raises what ``make`` raises, and ``InfrastructureError`` if the wait for another
    run exceeds ``deadline`` (30 minutes if not given) or the cache folder cannot be written.
    """
    if path.exists():
        return path
    with locked(path, deadline=deadline):
        if not path.exists():
            for rest in path.parent.glob(f".{path.name}.tmp-*"):
                _remove(rest)  # we hold the lock, so its maker is gone
            temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
            try:
                make(temporary)
                if temporary.is_file():  # nobody looks at its content again, so after a power cut too it must be whole
                    sync_file(temporary)
                temporary.rename(path)
            finally:
                _remove(temporary)
    return path


def sweep(folder: Path) -> None:
    """Remove what killed runs left half made in a folder of entries; nobody holds the lock of it any more."""
    for rest in folder.glob(".*.tmp-*"):
        name = rest.name.rpartition(".tmp-")[0].lstrip(".").removesuffix(".json")  # facts are written by its maker too
        with suppress(InfrastructureError), locked(folder / name, deadline=Deadline.after(0)):
            _remove(rest)


def disk_full(what: str, folder: Path, error: OSError) -> DiskFull:
    """The error for a cache folder without room for ``what``."""
    try:
        left = f"{shutil.disk_usage(folder).free >> 20} MiB left"
    except OSError:
        left = "nobody knows how much is left"
    return DiskFull(
        f"cannot keep {what} in the cache: {error.strerror}: free some space, or set --lava-cache to another folder "
        f"than {folder} ({left})"
    )


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file so that readers see the old or the new content, never a part. Creates the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, deadline: Deadline | None = None) -> Iterator[None]:
    """Hold the lock of one entry. It goes with its process, and its file is removed after use.

    Raises ``InfrastructureError`` when another process keeps it beyond ``deadline``, or the folder is not writable.
    """
    deadline = deadline or Deadline.after(_PATIENCE)
    name = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = _take(name, deadline)
    except OSError as error:
        raise InfrastructureError(
            f"the cache folder {path.parent} cannot be written ({error.strerror}): free it, or choose another one "
            "(--lava-cache, PYTEST_LAVA_CACHE)"
        ) from error
    try:
        yield
    finally:
        name.unlink(missing_ok=True)  # while still held: see _take
        os.close(fd)


def _take(name: Path, deadline: Deadline) -> int:
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _flock(fd, name, deadline)
            # The holder before us removed the file: then we hold the lock of a name that is gone, and begin again.
            if name.exists() and os.path.samestat(os.fstat(fd), name.stat()):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _flock(fd: int, name: Path, deadline: Deadline) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline.expired:
                raise InfrastructureError(
                    f"another run has been building {name.name[1:-5]} for too long: end it, then start again"
                ) from None
            threading.Event().wait(_POLL)  # flock has no time limit of its own
        else:
            return


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

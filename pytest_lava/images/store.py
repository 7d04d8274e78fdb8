"""The store of contents: files named by what they hold, verified on use, removed when they are too many, never in use.

An object is made once and never written to again. Who uses one holds a shared lock on it, so that a run at the same
time that has to make space leaves it alone; the lock goes with the process. Beside each object stands what it was when
it was stored: as long as size, times, inode and the machine's boot are the same nobody reads it again; if they differ,
its check value decides. So nothing has to be forced to the disk: what a power cut spoils is noticed after it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_lava.images.cache import replace_file
from pytest_lava.images.sparse import Written, check_value, write_sparse

__all__ = ["About", "Store"]


@dataclass(frozen=True)
class About:
    """What is known of an object: ``name`` is what people called it, ``identity`` what its file looked like."""

    name: str
    size: int
    check: int
    identity: str
    used: float = 0.0


class Store:
    """Objects in one folder. What :meth:`get` gave is safe from :meth:`prune` (of any run) until :meth:`close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pins: dict[str, int] = {}

    def get(self, key: str) -> Path | None:
        """The object, or ``None`` if there is none or it is damaged (it is removed then)."""
        path = self._folder / key
        if key in self._pins and path.exists():
            return path
        fd = _pinned(path)
        if fd is None:
            return None
        if not self._sound(path):
            os.close(fd)
            self.remove(key)
            return None
        self._pins[key] = fd
        with suppress(OSError):
            os.utime(_facts(path))  # used now
        return path

    def add(self, name: str, pieces: Iterable[bytes], key: Callable[[], str]) -> Path:
        """Store a content, and give it. Its ``key`` is asked for when all of it was written.

        ``OSError``, and what ``pieces`` or ``key`` raise: then nothing is stored.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.sweep()
        temporary, claim = _claimed(self._folder)
        try:
            written = write_sparse(temporary, pieces)
            path = self._folder / key()
            temporary.chmod(0o444)
            temporary.replace(path)  # which changes its ctime, so it is looked at only now
            about = About(name, written.size, written.check, _identity(path))
            replace_file(_facts(path), json.dumps(asdict(about)).encode())
        finally:
            temporary.unlink(missing_ok=True)
            os.close(claim)
        found = self.get(path.name)
        if found is None:
            raise FileNotFoundError(2, "was removed as soon as it was there", str(path))
        return found

    def about(self, key: str) -> About | None:
        """What is known of an object."""
        facts = _facts(self._folder / key)
        try:
            known = json.loads(facts.read_bytes())
            return About(**known | {"used": facts.stat().st_mtime})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keys(self) -> Iterator[str]:
        """Of all objects."""
        if self._folder.is_dir():
            yield from sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))

    def remove(self, key: str) -> bool:
        """Remove an object unless somebody else uses it; whether it is gone."""
        path = self._folder / key
        if (pin := self._pins.pop(key, None)) is not None:
            os.close(pin)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            _facts(path).unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def prune(self, limit: int, progress: Callable[[str, About], None] = lambda key, about: None) -> int:
        """Remove what was not used for longest until all take at most ``limit`` bytes on the disk; bytes freed."""
        found = [(about, key) for key in self.keys() if (about := self.about(key))]
        taken = sum(self.disk_usage(key) for _, key in found)
        freed = 0
        for about, key in sorted(found, key=lambda pair: pair[0].used):
            if taken - freed <= limit:
                break
            size = self.disk_usage(key)
            if key not in self._pins and self.remove(key):
                freed += size
                progress(key, about)
        return freed

    def disk_usage(self, key: str) -> int:
        """Bytes that an object takes; a hole takes none."""
        try:
            return (self._folder / key).stat().st_blocks * 512
        except OSError:
            return 0

    def verify(self, key: str) -> bool:
        """Read an object and tell whether it is what was stored."""
        about, path = self.about(key), self._folder / key
        return about is not None and check_value(path) == Written(about.size, about.check)

    def close(self) -> None:
        """Nothing is in use any more."""
        while self._pins:
            os.close(self._pins.popitem()[1])

    def sweep(self) -> None:
        """Remove what killed runs left half written: nobody holds a lock on it."""
        for rest in self._folder.glob(".*.tmp"):
            with suppress(OSError):
                fd = os.open(rest, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    rest.unlink()
                finally:
                    os.close(fd)

    def _sound(self, path: Path) -> bool:
        about = self.about(path.name)
        if about is None:
            return False
        identity = _identity(path)
        if identity == about.identity:
            return True
        if not self.verify(path.name):
            return False
        moved = About(about.name, about.size, about.check, identity)  # copied with its folder, say
        with suppress(OSError):
            replace_file(_facts(path), json.dumps(asdict(moved)).encode())
        return True


def _claimed(folder: Path) -> tuple[Path, int]:
    """A new file to write to, and a descriptor whose lock keeps others from sweeping it."""
    while True:
        path = folder / f".{secrets.token_hex(6)}.tmp"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if path.exists():  # else it was swept before it was locked
            return path, fd
        os.close(fd)


def _pinned(path: Path) -> int | None:
    """A descriptor that holds a shared lock; not if the file went while it was waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.path.samestat(os.fstat(fd), path.stat()):
            return fd
    except FileNotFoundError:
        pass
    os.close(fd)
    return None


def _identity(path: Path) -> str:
    status = path.stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}-{boot}"


def _facts(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")

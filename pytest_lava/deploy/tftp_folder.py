"""Files in the folder that a TFTP server of the lab serves, shared with other runs; gone when nobody uses them."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

from pytest_lava.errors import ConfigurationError, of_this_machine
from pytest_lava.power.api import Forget, Guard

__all__ = ["TftpFolder"]

_PIECE = 1 << 20


class TftpFolder:
    """Who uses a file holds a shared lock on it, which goes with the process; who gets it exclusively may remove it."""

    def __init__(self, folder: Path, guard: Guard) -> None:
        self._folder = folder
        self._guard = guard
        self._used: dict[Path, tuple[int, Forget]] = {}

    def check(self) -> None:
        """``ConfigurationError`` if the folder is not there or not ours to write to."""
        if not self._folder.is_dir():
            raise ConfigurationError(f"the TFTP folder {self._folder} is not there: correct [deploy] folder")
        ours = self._folder / "pytest-lava"
        if not os.access(ours if ours.is_dir() else self._folder, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"the TFTP folder {self._folder} cannot be written: let its group write to a folder pytest-lava in it "
                '(install -d -m 2775 -g GROUP pytest-lava), or set [deploy] server = "own"'
            )

    def put(self, name: str, source: Path) -> str:
        """Have ``source`` there as ``name``, which tells its content; readable for all. Returns ``name``.

        ``InfrastructureError`` if that is not possible, ``DiskFull`` where there is no room.
        """
        target = self._folder / name
        try:
            self._sweep(target.parent)
            while not self._use(target):
                self._copy(source, target)
        except OSError as error:
            raise of_this_machine(f"cannot write to the TFTP folder {self._folder}: {error}", error) from error
        return name

    def clear(self) -> None:
        """Remove what nobody uses any more."""
        while self._used:
            target, (fd, forget) = self._used.popitem()
            _remove_unused(target, fd)
            os.close(fd)
            forget()
            with suppress(OSError):  # there is more in it
                target.parent.rmdir()

    def _use(self, target: Path) -> bool:
        if target in self._used:
            return True
        try:
            fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        fcntl.flock(fd, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), target.stat()):  # else it was removed meanwhile
                path = shlex.quote(str(target))
                forget = self._guard.command(f"flock -n {path} rm -f {path}; rmdir {shlex.quote(str(target.parent))}")
                self._used[target] = fd, forget
                return True
        os.close(fd)
        return False

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in (target.parent, target.parent.parent):
            with suppress(OSError):  # somebody else's
                folder.chmod(folder.stat().st_mode | 0o755)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with source.open("rb") as file, temporary.open("xb") as copy:
                fcntl.flock(copy, fcntl.LOCK_SH)  # in use already, for a sweep
                shutil.copyfileobj(file, copy, _PIECE)
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        """What killed runs of this board left."""
        for path in folder.glob("*") if folder.is_dir() else ():
            if path in self._used or not path.is_file():
                continue
            with suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    _remove_unused(path, fd)
                finally:
                    os.close(fd)


def _remove_unused(path: Path, fd: int) -> None:
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.stat()):
            path.unlink()

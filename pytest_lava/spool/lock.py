"""A lock on a folder of the spool: nobody else works on it, and it goes with its holder, however that dies."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from pytest_lava.deadline import Deadline

__all__ = ["POLL", "FolderLock"]

#: seconds between two looks, as flock has no time limit of its own
POLL = 0.05


class FolderLock:
    """Held from ``take`` to ``release``, or to the end of a ``with``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, folder: Path, deadline: Deadline | None = None) -> FolderLock | None:
        """None if somebody else has it, until the deadline if there is one, or if the folder was moved away."""
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if _locked(fd, folder, deadline or Deadline.after(0)):
                return cls(fd)
        except OSError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def release(self) -> None:
        """A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _locked(fd: int, folder: Path, deadline: Deadline) -> bool:
    """``OSError`` if the folder is not there any more, or cannot be locked at all."""
    while os.path.samestat(folder.stat(), os.fstat(fd)):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline.remaining() <= POLL:
                return False
            threading.Event().wait(POLL)
        else:
            return os.path.samestat(folder.stat(), os.fstat(fd))
    return False

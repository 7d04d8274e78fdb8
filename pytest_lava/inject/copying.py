"""Copies an image with its holes: as a reflink where the file system has them, without reading what is not there."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

__all__ = ["copy_sparse"]

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_PIECE = 1 << 20
_NO_CLONE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)


def copy_sparse(source: Path, destination: Path) -> None:
    """Make a new file of the same content, which its owner may write to. ``OSError``."""
    here = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.ioctl(there, _FICLONE, here)
            except OSError as error:
                if error.errno not in _NO_CLONE:
                    raise
                _copy(here, there)
        finally:
            os.close(there)
    finally:
        os.close(here)


def _copy(here: int, there: int) -> None:
    size = os.fstat(here).st_size
    os.ftruncate(there, size)
    buffer = memoryview(bytearray(_PIECE))  # one, and warm: copy_file_range(2) takes twice the processor time
    at = 0
    while at < size:
        try:
            begin = os.lseek(here, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # a hole up to the end
            raise
        at = min(os.lseek(here, begin, os.SEEK_HOLE), size)
        _copy_range(here, there, begin, at, buffer)


def _copy_range(here: int, there: int, begin: int, end: int, buffer: memoryview) -> None:
    while begin < end:
        count = os.preadv(here, [buffer[: min(end - begin, _PIECE)]], begin)
        if not count:
            return  # it became shorter meanwhile
        begin += os.pwrite(there, buffer[:count], begin)

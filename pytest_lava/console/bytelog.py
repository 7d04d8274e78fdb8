"""The byte log: everything a line ever said, in one append-only file with an index of when.

``console.log`` holds the raw bytes. ``console.idx`` holds little-endian pairs of unsigned 64 bit numbers: wall clock in
nanoseconds since 1970, offset in ``console.log``. One pair per read, at most one a millisecond.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import os
import struct
import time
from io import FileIO
from itertools import pairwise
from pathlib import Path

__all__ = ["ByteLog", "came_after", "moment", "pauses"]

_ENTRY = struct.Struct("<QQ")
_EVERY_NS = 1_000_000
_KEEP = 1 << 20  # bytes kept in memory; older ones are read back from the file


class ByteLog:
    """Append-only log; offsets are absolute and stay valid for ever. Not locked: the console does that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o644)
        try:
            self._index = os.open(path.with_suffix(".idx"), flags, 0o644)
        except OSError:
            os.close(self._file)
            raise
        self._entries = 0
        self._tail = bytearray()
        self._tail_start = 0
        self._indexed_at = 0
        #: offset behind the last byte
        self.end = 0

    def append(self, data: bytes) -> None:
        """Add ``data``; one write to the file and, at most every millisecond, one to the index.

        ``OSError`` if the disk is full: then nothing of ``data`` is in the log.
        """
        try:
            self._write(data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.end)
                os.ftruncate(self._index, self._entries * _ENTRY.size)
            raise
        self._tail += data
        self.end += len(data)
        if len(self._tail) > 2 * _KEEP:
            dropped = len(self._tail) - _KEEP
            del self._tail[:dropped]
            self._tail_start += dropped

    def read(self, start: int, end: int | None = None) -> bytes:
        """The bytes from ``start`` to ``end`` (default: all there are)."""
        end = self.end if end is None else min(end, self.end)
        if start >= end:
            return b""
        if start >= self._tail_start:
            return bytes(self._tail[start - self._tail_start : end - self._tail_start])
        chunks = []
        while start < end:
            chunk = os.pread(self._file, end - start, start)
            if not chunk:
                break
            chunks.append(chunk)
            start += len(chunk)
        return b"".join(chunks)

    def _write(self, data: bytes) -> None:
        now = time.time_ns()
        if now - self._indexed_at >= _EVERY_NS:
            entry = _ENTRY.pack(now, self.end)
            if os.write(self._index, entry) < len(entry):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._indexed_at = now
            self._entries += 1
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def close(self) -> None:
        """Close both files; what is still in memory can be read on."""
        if self._file >= 0:
            os.close(self._file)
            os.close(self._index)
            self._file = self._index = -1


def moment(log: Path, offset: int) -> int:
    """When the byte at this offset came: nanoseconds since 1970, at most a millisecond too early; 0 if unknown."""
    index = log.with_suffix(".idx")
    with contextlib.suppress(OSError), index.open("rb", buffering=0) as file:
        number = _entry_of(file, offset)
        return _entry(file, number)[0] if number >= 0 else 0
    return 0


def came_after(log: Path, nanoseconds: int) -> int | None:
    """The offset of the first byte that came after a moment since 1970, at most a millisecond of bytes too far.

    None if there is none, or nobody knows.
    """
    index = log.with_suffix(".idx")
    with contextlib.suppress(OSError), index.open("rb", buffering=0) as file:
        count = os.fstat(file.fileno()).st_size // _ENTRY.size
        number = bisect.bisect_left(range(count), nanoseconds, key=lambda number: _entry(file, number)[0])
        return _entry(file, number)[1] if number < count else None
    return None


def pauses(log: Path, start: int, seconds: float) -> list[int]:
    """Offsets from ``start`` on before which nothing came for so long."""
    index = log.with_suffix(".idx")
    with contextlib.suppress(OSError), index.open("rb", buffering=0) as file:
        file.seek(max(0, _entry_of(file, start)) * _ENTRY.size)
        data = file.read()
        entries = list(_ENTRY.iter_unpack(data[: len(data) - len(data) % _ENTRY.size]))
        return [entry[1] for last, entry in pairwise(entries) if entry[0] - last[0] >= seconds * 1e9]
    return []


def _entry_of(file: FileIO, offset: int) -> int:
    """The number of the entry that ``offset`` belongs to; -1 before the first."""
    count = os.fstat(file.fileno()).st_size // _ENTRY.size
    return bisect.bisect_right(range(count), offset, key=lambda number: _entry(file, number)[1]) - 1


def _entry(file: FileIO, number: int) -> tuple[int, int]:
    nanoseconds, offset = _ENTRY.unpack(os.pread(file.fileno(), _ENTRY.size, number * _ENTRY.size))
    return nanoseconds, offset

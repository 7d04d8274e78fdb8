"""What makes files smaller for a slow line: the best that both ends can do, and only where it helps."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import IO

from pytest_lava.errors import InfrastructureError

__all__ = ["SAMPLES", "SMALLEST", "known_here", "pack", "shrinks", "unpack"]

#: smaller files are not worth the work
SMALLEST = 1 << 10

_SLICE = 16 << 10
_WORTH = 0.95  # of its size, what a sample must become smaller than
_DICTIONARY = 4 << 20  # bytes of memory that xz takes on the board
_TRY_ALL = 4 << 20  # bytes up to which all formats are tried
_CHUNK = 1 << 20
_FAST = 2e6, 200e3  # bytes a second from which no compression, or only the quickest, keeps up with the line


def _xz(data: bytes) -> bytes:
    # busybox can check a CRC32 only, and a board may have little memory
    size = 1 << max(12, min(_DICTIONARY, len(data)).bit_length())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": min(size, _DICTIONARY)}]
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-19", "-c"], input=data, capture_output=True, check=True).stdout


#: best first
_PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "xz": _xz,
    "zstd": _zstd,
    "bzip2": lambda data: bz2.compress(data, 9),
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
}

_OPEN: Mapping[str, Callable[[IO[bytes]], bz2.BZ2File | gzip.GzipFile | lzma.LZMAFile]] = {
    "xz": lzma.LZMAFile,
    "bzip2": bz2.BZ2File,
    "gzip": lambda source: gzip.GzipFile(fileobj=source),
}

#: ``lava`` in each format: a board that makes the word of it can undo the rest, too
SAMPLES: Mapping[str, bytes] = {
    "xz": _xz(b"lava"),
    "zstd": b"(\xb5/\xfd\x00h!\x00\x00lava",
    "bzip2": bz2.compress(b"lava"),
    "gzip": gzip.compress(b"lava", mtime=0),
}


def known_here() -> tuple[str, ...]:
    """What this machine can do and undo, best first."""
    return tuple(name for name in _PACK if name != "zstd" or shutil.which("zstd"))


def shrinks(data: bytes) -> bool:
    """Whether compressing is worth it, by three samples."""
    if len(data) < SMALLEST:
        return False
    starts = {0, max(0, len(data) // 2 - _SLICE // 2), max(0, len(data) - _SLICE)}
    samples = [data[start : start + _SLICE] for start in sorted(starts)]
    return sum(len(zlib.compress(one, 6)) for one in samples) < _WORTH * sum(map(len, samples))


def pack(data: bytes, can_undo: Sequence[str], rate: float) -> tuple[str, bytes]:
    """The best of what the board can undo and what keeps up with a line of ``rate`` bytes a second, or ``"none"``."""
    useless, quick = _FAST
    names = [name for name in known_here() if name in can_undo]
    if not names or rate > useless or not shrinks(data):
        return "none", data
    if rate > quick and "gzip" in names:
        return "gzip", gzip.compress(data, 1, mtime=0)
    # which is best depends on the contents, and trying takes less time than the difference on a slow line
    tried = {name: _PACK[name](data) for name in (names if len(data) <= _TRY_ALL else names[:1])}
    best = min(tried, key=lambda name: len(tried[name]))
    return (best, tried[best]) if len(tried[best]) < len(data) else ("none", data)


def unpack(name: str, source: IO[bytes], write: Callable[[bytes], object]) -> None:
    """Undo what the board did. ``InfrastructureError`` if it makes no sense."""
    try:
        if name == "zstd":
            write(subprocess.run(["zstd", "-q", "-dc"], stdin=source, capture_output=True, check=True).stdout)
            return
        with _OPEN[name](source) if name in _OPEN else nullcontext(source) as stream:
            while chunk := stream.read(_CHUNK):
                write(chunk)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, subprocess.CalledProcessError) as error:
        raise InfrastructureError(f"what the board compressed with {name} cannot be undone here: {error}") from error

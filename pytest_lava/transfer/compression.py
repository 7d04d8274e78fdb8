"""What makes files smaller for a slow line: the best that both ends can do, and only where it helps."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from io import BytesIO
from typing import IO

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError
from pytest_lava.transfer.api import Contents

__all__ = ["SAMPLES", "keeps_up", "known_here", "packed", "unpack"]

_SMALLEST = 1 << 10  # bytes; smaller files are not worth the work
_SLICE = 16 << 10
_WORTH = 0.95  # of its size, what a sample must become smaller than
_DICTIONARY = 4 << 20  # bytes of memory that xz takes on the board
_TRY_ALL = 4 << 20  # bytes up to which all formats are tried
_CHUNK = 1 << 20
_FAST = 2e6, 200e3  # bytes a second from which no compression, or only the quickest, keeps up with the line


def _xz(size: int, out: IO[bytes]) -> lzma.LZMAFile:
    # busybox can check a CRC32 only, and a board may have little memory
    dictionary = min(_DICTIONARY, 1 << max(12, min(_DICTIONARY, size).bit_length()))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": dictionary}]
    return lzma.LZMAFile(out, "w", format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


#: what a compressor of each format writes through, given the size; best first
_PACK: Mapping[str, Callable[[int, IO[bytes]], lzma.LZMAFile | bz2.BZ2File | gzip.GzipFile]] = {
    "xz": _xz,
    "bzip2": lambda size, out: bz2.BZ2File(out, "w", compresslevel=9),
    "gzip": lambda size, out: gzip.GzipFile("", "wb", 9, out, mtime=0),
    "quick gzip": lambda size, out: gzip.GzipFile("", "wb", 1, out, mtime=0),
}

_OPEN: Mapping[str, Callable[[IO[bytes]], bz2.BZ2File | gzip.GzipFile | lzma.LZMAFile]] = {
    "xz": lzma.LZMAFile,
    "bzip2": bz2.BZ2File,
    "gzip": lambda source: gzip.GzipFile(fileobj=source),
}

#: ``lava`` in each format: a board that makes the word of it can undo the rest, too
SAMPLES: Mapping[str, bytes] = {
    "xz": lzma.compress(b"lava", check=lzma.CHECK_CRC32),
    "zstd": b"(\xb5/\xfd\x00h!\x00\x00lava",
    "bzip2": bz2.compress(b"lava"),
    "gzip": gzip.compress(b"lava", mtime=0),
}


def known_here() -> tuple[str, ...]:
    """What this machine can do and undo, best first."""
    return tuple(name for name in ("xz", "zstd", "bzip2", "gzip") if name != "zstd" or shutil.which("zstd"))


def keeps_up(rate: float) -> bool:
    """Whether compressing is quicker than a line of ``rate`` bytes a second (0: nobody knows, so it is slow)."""
    return rate <= _FAST[0]


def _shrinks(contents: Contents) -> bool:
    """Whether compressing is worth it, by three samples."""
    size = contents.size
    if size < _SMALLEST:
        return False
    starts = {0, max(0, size // 2 - _SLICE // 2), max(0, size - _SLICE)}
    samples = [contents.read(start, _SLICE) for start in sorted(starts)]
    return sum(len(zlib.compress(one, 6)) for one in samples) < _WORTH * sum(map(len, samples))


@contextmanager
def packed(
    contents: Contents, can_undo: Sequence[str], rate: float, deadline: Deadline
) -> Iterator[tuple[str, Contents]]:
    """The best of what the board can undo and what keeps up with a line of ``rate`` bytes a second, or ``"none"``.

    ``Timeout`` if that takes longer than ``deadline``.
    """
    names = [name for name in known_here() if name in can_undo]
    if not names or not keeps_up(rate) or not _shrinks(contents):
        yield "none", contents
        return
    if rate > _FAST[1] and "gzip" in names:
        names = ["quick gzip"]
    elif contents.size > _TRY_ALL:
        names = names[:1]
    # which is best depends on the contents, and trying takes less time than the difference on a slow line
    tried = {name: _pack(name, contents, deadline) for name in names}
    best = min(tried, key=lambda name: tried[name].size)
    try:
        smaller = tried[best].size < contents.size
        yield (best.rpartition(" ")[2], tried[best]) if smaller else ("none", contents)
    finally:
        for made in tried.values():
            made.file.close()


def _pack(name: str, contents: Contents, deadline: Deadline) -> Contents:
    out: IO[bytes] = BytesIO() if contents.size <= _TRY_ALL else tempfile.TemporaryFile()  # noqa: SIM115 - ours to hand on
    if name == "zstd":
        _zstd(contents, out, deadline)
    else:
        with _PACK[name](contents.size, out) as packer:
            for chunk in contents.chunks(deadline):
                packer.write(chunk)
    return Contents(out, out.seek(0, 2))


def _zstd(contents: Contents, out: IO[bytes], deadline: Deadline) -> None:
    with tempfile.TemporaryFile() as made:
        with subprocess.Popen(
            ["zstd", "-q", "-19", "-c"], stdin=subprocess.PIPE, stdout=made, stderr=subprocess.DEVNULL
        ) as packer:
            assert packer.stdin is not None
            for chunk in contents.chunks(deadline):
                packer.stdin.write(chunk)
        if packer.returncode:
            raise InfrastructureError(f"zstd ended with status {packer.returncode} here")
        made.seek(0)
        shutil.copyfileobj(made, out)


def unpack(name: str, source: IO[bytes], write: Callable[[bytes], object]) -> None:
    """Undo what the board did. ``InfrastructureError`` if it makes no sense; what ``write`` raises is its own."""
    for chunk in _undone(name, source):
        write(chunk)


def _undone(name: str, source: IO[bytes]) -> Iterator[bytes]:
    try:
        if name == "zstd":
            yield from _unzstd(source)
            return
        with _OPEN[name](source) if name in _OPEN else nullcontext(source) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except (OSError, EOFError, lzma.LZMAError, zlib.error, subprocess.CalledProcessError) as error:
        raise InfrastructureError(f"what the board compressed with {name} cannot be undone here: {error}") from error


def _unzstd(source: IO[bytes]) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as given:  # what came may be in memory only
        shutil.copyfileobj(source, given)
        given.seek(0)
        argv = ["zstd", "-q", "-dc"]
        with subprocess.Popen(argv, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            while chunk := process.stdout.read(_CHUNK):
                yield chunk
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "zstd")

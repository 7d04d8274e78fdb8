"""Decompression as a stream in bounded memory: gzip, bzip2, xz or zstd, as the first bytes say, or none at all.

Formats: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.1. Several streams one after the other are one content,
as with the programs of these names.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Protocol

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

__all__ = ["FAULTS", "PACKINGS", "Damaged", "Unpacks", "at_most", "packing_of", "unpacked", "unpacks"]

#: how the first bytes of each begin
PACKINGS = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "zstd": b"\x28\xb5\x2f\xfd",
}
_IN = 1 << 17
_OUT = 1 << 17
_XZ_MEMORY = 256 << 20  # bytes; xz -9 takes 65 MB
_ZSTD = {int(DecompressionParameter.window_log_max): 27}  # 128 MB, which zstd takes without --long, too

#: what decompressors raise for damaged data
FAULTS = (OSError, lzma.LZMAError, zlib.error, ZstdError)

#: gives at most so many bytes, and none at the end
Read = Callable[[int], bytes]


def at_most(file: IO[bytes], size: int) -> Read:
    """Reads no further than so many bytes."""
    left = size

    def read(wanted: int) -> bytes:
        nonlocal left
        data = file.read(min(wanted, left))
        left -= len(data)
        return data

    return read


class Damaged(Exception):
    """The data is not what its first bytes promise, or it ends too early."""


class _Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


def packing_of(head: bytes) -> str:
    """``gzip``, ``bzip2``, ``xz``, ``zstd``, or nothing."""
    return next((name for name, magic in PACKINGS.items() if head.startswith(magic)), "")


class Unpacks(Protocol):
    """One stream of packed data, as far as all four have it in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def unpacks(packing: str) -> Unpacks:
    """A decompressor for one stream, for who has to know where it ends. It raises what :data:`FAULTS` lists."""
    match packing:
        case "gzip":
            return zlib.decompressobj(wbits=31)
        case "zstd":
            return ZstdDecompressor(options=_ZSTD)
        case "bzip2":
            return bz2.BZ2Decompressor()
        case _:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)


def unpacked(packing: str, read: Read) -> Iterator[bytes]:
    """The content in pieces of at most 128 KiB. ``Damaged``; ``ValueError`` for an unknown packing."""
    if packing not in (*PACKINGS, ""):
        raise ValueError(f"unknown packing {packing!r}")
    try:
        match packing:
            case "":
                yield from iter(lambda: read(_OUT), b"")
            case "gzip":
                yield from _gzip(read)
            case "zstd":
                yield from _streams(lambda: ZstdDecompressor(options=_ZSTD), read, PACKINGS["zstd"])
            case "bzip2":
                yield from _streams(bz2.BZ2Decompressor, read, PACKINGS["bzip2"])
            case _:
                yield from _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), read, PACKINGS["xz"])
    except FAULTS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # reading failed, not unpacking
        raise Damaged(f"this is damaged {packing} data: {error}") from error


def _gzip(read: Read) -> Iterator[bytes]:
    data = read(_IN)
    while data:
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            if not data and not (data := read(_IN)):
                raise Damaged("the gzip data ends too early")
            if piece := stream.decompress(data, _OUT):
                yield piece
            data = stream.unconsumed_tail
        data = _next(stream.unused_data, read, PACKINGS["gzip"])


def _streams(new: Callable[[], _Decompressor], read: Read, magic: bytes) -> Iterator[bytes]:
    data = read(_IN)
    while data:
        stream = new()
        while not stream.eof:
            given = b""
            if stream.needs_input:
                if not data and not (data := read(_IN)):
                    raise Damaged("the packed data ends too early")
                given, data = data, b""
            if piece := stream.decompress(given, _OUT):
                yield piece
        data = _next(stream.unused_data, read, magic)


def _next(rest: bytes, read: Read, magic: bytes) -> bytes:
    """The beginning of one more stream; zero bytes between streams and at the end (of a tape block) are no data."""
    while True:
        rest = rest.lstrip(b"\0")
        if len(rest) >= len(magic):
            break
        if not (more := read(_IN)):
            break
        rest += more
    if rest and not rest.startswith(magic):
        raise Damaged("behind the packed data there is something else")
    return rest

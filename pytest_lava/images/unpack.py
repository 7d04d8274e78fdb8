"""Decompression as a stream in bounded memory: gzip, bzip2, xz or zstd, as the first bytes say, or none at all.

Formats: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.1. Several streams one after the other are one content,
as with the programs of these names.
"""

from __future__ import annotations

import bz2
import lzma
import re
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
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a frame that holds no content: pzstd begins with one
_IN = 1 << 20  # as much as a download hands over at once: nothing is cut, and so copied
_FED = 1 << 17  # what a decompressor is given at once: what it cannot take yet it copies
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
    def decompress(self, data: bytes | memoryview, max_length: int = -1, /) -> bytes: ...


def packing_of(head: bytes) -> str:
    """``gzip``, ``bzip2``, ``xz``, ``zstd``, or nothing."""
    found = next((name for name, magic in PACKINGS.items() if head.startswith(magic)), "")
    return found or ("zstd" if _SKIPPABLE.match(head) else "")


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
                yield from _gzip(_Input(read, packing))
            case "zstd":
                yield from _streams(lambda: ZstdDecompressor(options=_ZSTD), _Input(read, packing))
            case "bzip2":
                yield from _streams(bz2.BZ2Decompressor, _Input(read, packing))
            case _:
                yield from _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), _Input(read, packing))
    except FAULTS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # reading failed, not unpacking
        raise Damaged(f"this is damaged {packing} data: {error}") from error


class _Input:
    """Packed data for decompressors, each of which takes one stream. The next one is of the same ``packing``."""

    def __init__(self, read: Read, packing: str) -> None:
        self._read, self._packing = read, packing
        self._data = memoryview(b"")
        self._at = 0

    def piece(self) -> memoryview:
        """What comes next, but not much at once; nothing at the end."""
        if self._at == len(self._data):
            self._data, self._at = memoryview(self._read(_IN)), 0
        piece = self._data[self._at : self._at + _FED]
        self._at += len(piece)
        return piece

    def another(self, unused: int) -> bool:
        """Whether one more stream begins, where so many bytes of the last piece belonged to nobody.

        Zero bytes between streams and at the end (of a tape block) are no data.
        """
        self._at -= unused
        while True:
            held = bytes(self._data[self._at : self._at + _FED])
            rest = held.lstrip(b"\0")
            self._at += len(held) - len(rest)
            if packing_of(rest) == self._packing:
                return True
            if len(rest) >= len(PACKINGS[self._packing]):
                raise Damaged("behind the packed data there is something else")
            more = self._read(_IN)
            if not more and rest:
                raise Damaged("behind the packed data there is something else")
            if not more:
                return False
            self._data, self._at = memoryview(bytes(self._data[self._at :]) + more), 0


def _gzip(given: _Input) -> Iterator[bytes]:
    begins = True
    while begins:
        stream = zlib.decompressobj(wbits=31)
        data: bytes | memoryview = b""
        while not stream.eof:
            if not data and not (data := given.piece()):
                raise Damaged("the gzip data ends too early")
            if piece := stream.decompress(data, _OUT):
                yield piece
            data = stream.unconsumed_tail
        begins = given.another(len(stream.unused_data))


def _streams(new: Callable[[], _Decompressor], given: _Input) -> Iterator[bytes]:
    begins = True
    while begins:
        stream = new()
        while not stream.eof:
            data: bytes | memoryview = b""
            if stream.needs_input and not (data := given.piece()):
                raise Damaged("the packed data ends too early")
            if piece := stream.decompress(data, _OUT):
                yield piece
        begins = given.another(len(stream.unused_data))

"""What is inside of a file, as a stream: unpacked, and out of a tar or zip archive."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from pytest_lava.images.unpack import Damaged, Read, packing_of, unpacked

__all__ = ["Stream", "contents", "is_tar", "is_zip", "plain", "whole", "zip_contents"]

_PIECE = 1 << 20
_BLOCK = 512
_LISTED = 5  # names of members in a message
_LAYERS = 4  # of packing: a disk.img.xz in a tar.gz has two


class Stream:
    """Reads from ``source``, and can look ahead. It is a file for those who only read."""

    def __init__(self, source: Read) -> None:
        self._source = source
        self._held = b""

    def peek(self, size: int) -> bytes:
        """The next bytes, fewer only at the end; they are read again."""
        while len(self._held) < size and (data := self._source(_PIECE)):
            self._held += data
        return self._held[:size]

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        if not self._held:
            return self._source(size)
        data, self._held = self._held[:size], self._held[size:]
        return data


def contents(source: Read, member: str = "", *, deep: bool = True) -> Iterator[bytes]:
    """Pieces of the content: unpacked, and of an archive ``member``, or the only file in it.

    ``deep``: that file is unpacked too.

    ``Damaged`` if it is damaged, or if that member is not there or none is named and there are several.
    """
    stream = _opened(Stream(source))
    if is_tar(stream.peek(_BLOCK)):
        yield from plain(_member(stream, member)) if deep else _member(stream, member)
    elif member:
        raise Damaged(f"it is no archive that could hold {member}")
    else:
        yield from iter(lambda: stream.read(_PIECE), b"")


def plain(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same without what it is packed in, for a file that came packed out of an archive. ``Damaged``."""
    stream = _opened(_stream_of(pieces))
    yield from iter(lambda: stream.read(_PIECE), b"")


def _opened(stream: Stream) -> Stream:
    """What is in it, however often it was packed."""
    for _ in range(_LAYERS):
        packing = packing_of(stream.peek(8))
        if not packing:
            break
        stream = _stream_of(unpacked(packing, stream.read))
    return stream


def _stream_of(pieces: Iterator[bytes]) -> Stream:
    return Stream(lambda size: next(pieces, b""))


def is_tar(head: bytes) -> bool:
    """Whether 512 bytes are the first header of a tar archive."""
    return head[257:262] == b"ustar"


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip archive, which cannot be read as a stream."""
    return head.startswith(b"PK\x03\x04")


def zip_contents(path: Path, member: str = "") -> Iterator[bytes]:
    """The same of a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
            with archive.open(_chosen(names, member)) as file:
                yield from iter(lambda: file.read(_PIECE), b"")
    except zipfile.BadZipFile as error:
        raise Damaged(f"this is damaged zip data: {error}") from error
    except (NotImplementedError, RuntimeError) as error:  # an unknown method; a password
        raise Damaged(f"this zip archive cannot be read: {error}") from error


def _member(stream: Stream, wanted: str) -> Iterator[bytes]:
    """All of the archive is read, as more of it may stand behind: several files would be a doubt."""
    names: list[str] = []
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", whole(stream)), mode="r|", bufsize=_BLOCK * 128) as archive:
            for entry in archive:
                if not entry.isreg():
                    continue
                name = entry.name.removeprefix("./")
                names.append(name)
                if (name == wanted.removeprefix("./") if wanted else len(names) == 1) and (
                    file := archive.extractfile(entry)
                ):
                    yield from iter(lambda: file.read(_PIECE), b"")
    except (tarfile.TarError, EOFError) as error:
        raise Damaged(f"this is a damaged tar archive: {error}") from error
    _chosen(names, wanted.removeprefix("./"))


def whole(stream: Stream) -> Stream:
    """tarfile takes a short read for the end."""

    def read(size: int) -> bytes:
        data = b""
        while len(data) < size and (more := stream.read(size - len(data))):
            data += more
        return data

    return Stream(read)


def _chosen(names: list[str], wanted: str) -> str:
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    if wanted:
        if wanted not in names:
            raise Damaged(f"there is no {wanted} in this archive, which has {listed or 'no files'}")
        return wanted
    if len(names) != 1:
        raise Damaged(
            f"this archive has several files ({listed}): name one, as #member=NAME" if names else "it is empty"
        )
    return names[0]

"""One initial RAM file system from another one and kernel modules: the modules as one more archive behind it."""

from __future__ import annotations

import stat
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.images.contents import Stream
from pytest_lava.images.cpio import concatenate, modules_archive
from pytest_lava.images.memo import remembered, sha256_of
from pytest_lava.images.shelf import Shelf
from pytest_lava.images.unpack import Damaged, packing_of, unpacked

__all__ = ["with_modules"]

_HEADER = 110  # bytes of a newc header
_VERSION = 1


def with_modules(initrd: Path, modules: Path, shelf: Shelf, deadline: Deadline) -> Path:
    """``initrd`` with a folder of modules in it. ``modules`` is one that a shelf gave: its name tells its content."""
    root = str(remembered(initrd, f"modules-root{_VERSION}", _root, shelf.folder))

    def make(target: Path) -> None:
        archive = target.with_name(f"{target.name}.modules")
        try:
            modules_archive(modules, archive, root=root)
            concatenate([initrd, archive], target)
        finally:
            archive.unlink(missing_ok=True)

    key = f"{sha256_of(initrd, shelf.folder)[:40]}-{'-'.join(modules.parts[-2:])[:60]}.img"
    return shelf.make("initrd", key, make, name=f"{initrd.name} with modules", deadline=deadline)


def _root(initrd: Path) -> str:
    """Where modules live: the kernel would replace a link ``/lib`` by a folder, so not below it."""
    with initrd.open("rb") as file:
        try:
            return "usr/lib/modules" if _lib_is_link(Stream(file.read)) else "lib/modules"
        except (Damaged, ValueError, EOFError):
            return "lib/modules"  # packed in a way that is not known here


def _lib_is_link(stream: Stream) -> bool:
    """Whether ``lib`` is a symbolic link in a sequence of archives, of which the last ones may be packed."""
    while head := stream.peek(8):
        if head.startswith(b"\0"):
            stream.read(4)
        elif packing := packing_of(head):
            pieces = iter(unpacked(packing, stream.read))
            stream = Stream(lambda size, pieces=pieces: next(pieces, b""))  # type: ignore[misc]
        else:
            name, mode = _entry(stream)
            if name == "lib":
                return stat.S_ISLNK(mode)
    return False


def _entry(stream: Stream) -> tuple[str, int]:
    """The next entry's name and mode; its content is skipped. ``ValueError`` if there is none."""
    header = _exactly(stream, _HEADER)
    if header[:6] not in (b"070701", b"070702"):
        raise ValueError("this is no newc archive")
    mode, size, length = (int(header[at : at + 8], 16) for at in (14, 54, 94))
    name = _exactly(stream, length + (-(_HEADER + length) % 4))[: length - 1]
    _skip(stream, size + (-size % 4))
    return name.decode(errors="surrogateescape").removeprefix("./"), mode


def _exactly(stream: Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _skip(stream: Stream, size: int) -> None:
    while size:
        more = stream.read(min(size, 1 << 20))
        if not more:
            raise EOFError
        size -= len(more)

"""One initial RAM file system from another one and kernel modules: the modules as one more archive behind it."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.images.contents import Stream
from pytest_lava.images.cpio import CpioWriter, concatenate, modules_archive
from pytest_lava.images.memo import remembered, sha256_of
from pytest_lava.images.shelf import Shelf
from pytest_lava.images.unpack import Damaged, Read, packing_of, unpacked

__all__ = ["with_modules"]

_HEADER = 110  # bytes of a newc header
_VERSION = 2
_TABLE = re.compile(r"(?:usr/)?lib/modules/([^/]+)/modules\.dep")


def with_modules(initrd: Path, modules: Path, shelf: Shelf, deadline: Deadline) -> Path:
    """``initrd`` with a folder of modules in it. ``modules`` is one that a shelf gave: its name tells its content.

    Modules of the same release that ``initrd`` has already stay known to modprobe.
    """
    facts = remembered(initrd, f"initrd{_VERSION}", _look, shelf.folder)
    root = str(facts["root"])

    def make(target: Path) -> None:
        archive, tables = target.with_name(f"{target.name}.modules"), target.with_name(f"{target.name}.tables")
        try:
            modules_archive(modules, archive, root=root)
            with tables.open("wb") as out, CpioWriter(out) as writer:
                for release, known in facts["dependencies"].items():
                    if (merged := _merged(modules / "lib" / "modules" / release / "modules.dep", known)) is not None:
                        writer.file(f"{root}/{release}/modules.dep", merged)
            concatenate([initrd, archive, tables], target)
        finally:
            archive.unlink(missing_ok=True)
            tables.unlink(missing_ok=True)

    key = f"{sha256_of(initrd, shelf.folder)[:40]}-{'-'.join(modules.parts[-2:])[:60]}.img"
    return shelf.make("initrd", key, make, name=f"{initrd.name} with modules", deadline=deadline)


def _merged(new: Path, known: str) -> bytes | None:
    """``modules.dep`` of both; None if nothing of this release is added."""
    if not new.is_file():
        return None
    lines = {line.partition(":")[0]: line for line in (known + new.read_text()).splitlines() if ":" in line}
    return "".join(f"{line}\n" for line in lines.values()).encode()


def _look(initrd: Path) -> dict[str, Any]:
    """``root``: where modules live (the kernel would replace a link ``/lib`` by a folder, so not below it);
    ``dependencies``: release -> its ``modules.dep``."""
    found: dict[str, Any] = {"root": "lib/modules", "dependencies": {}}
    with initrd.open("rb") as file, suppress(Damaged, ValueError, EOFError):  # packed in a way that is not known here
        for name, mode, content in _entries(Stream(file.read)):
            if name == "lib" and stat.S_ISLNK(mode):
                found["root"] = "usr/lib/modules"
            elif match := _TABLE.fullmatch(name):
                found["dependencies"][match[1]] = content.decode(errors="replace")
    return found


def _entries(stream: Stream) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and content (of tables only) of all in a sequence of archives, the last perhaps packed."""
    while head := stream.peek(8):
        if head.startswith(b"\0"):
            stream.read(4)
        elif packing := packing_of(head):
            stream = Stream(_reader(unpacked(packing, stream.read)))
        else:
            name, mode, size = _entry(stream)
            content = b""
            if _TABLE.fullmatch(name):
                content = _exactly(stream, size)
                _skip(stream, -size % 4)
            else:
                _skip(stream, size + (-size % 4))
            yield name, mode, content


def _reader(pieces: Iterator[bytes]) -> Read:
    rest = b""

    def read(size: int) -> bytes:
        nonlocal rest
        rest = rest or next(pieces, b"")
        piece, rest = rest[:size], rest[size:]
        return piece

    return read


def _entry(stream: Stream) -> tuple[str, int, int]:
    """The next entry's name, mode and size. ``ValueError`` if there is none."""
    header = _exactly(stream, _HEADER)
    if header[:6] not in (b"070701", b"070702"):
        raise ValueError("this is no newc archive")
    mode, size, length = (int(header[at : at + 8], 16) for at in (14, 54, 94))
    name = _exactly(stream, length + (-(_HEADER + length) % 4))[: length - 1]
    return name.decode(errors="surrogateescape").removeprefix("./"), mode, size


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

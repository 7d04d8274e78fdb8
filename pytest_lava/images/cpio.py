"""Initramfs archives: a newc writer, and kernel modules from a folder or tarball as an archive to append.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. An initramfs buffer is any sequence
of cpio archives (each perhaps compressed) and zero bytes; an uncompressed archive must begin at a multiple of 4. So
kernel modules can be added to any initramfs by appending a second archive, without unpacking the first.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.contents import Stream, whole
from pytest_lava.images.pump import Pump
from pytest_lava.images.unpack import Damaged, at_most, packing_of, unpacked

__all__ = ["CpioWriter", "concatenate", "module_files", "modules_archive", "open_tar", "placed_module"]

_RELEASE = re.compile(r"\d+\.\d+[^/]*")
_MODULES = re.compile(r"(?:^|/)modules/(\d+\.\d+[^/]*(?:/.*)?)$")
_BLOCK = 512


class _Writes(Protocol):
    def write(self, data: bytes, /) -> object: ...


class CpioWriter:
    """Writes a newc archive: owned by root unless told otherwise, all times 0, so the same input gives the same bytes.

    >>> import io
    >>> buffer = io.BytesIO()
    >>> with CpioWriter(buffer) as archive:
    ...     archive.folder("dev")
    ...     archive.device("dev/console", "c", 5, 1, mode=0o600)
    ...     archive.file("init", b"#!/bin/sh\\n", mode=0o755)
    """

    def __init__(self, out: _Writes) -> None:
        self._out = out
        self._written = 0
        self._inode = 0
        self._folders: set[str] = set()

    def __enter__(self) -> CpioWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()

    def folder(self, name: str, *, mode: int = 0o755, owner: int = 0) -> None:
        """A folder of the user and group ``owner``. Missing parents are made; one written before is left alone."""
        if name not in self._folders:
            self._add(name, stat.S_IFDIR | mode, b"", owner=owner)
            self._folders.add(name)

    def file(self, name: str, data: bytes, *, mode: int = 0o644) -> None:
        """A regular file."""
        self._add(name, stat.S_IFREG | mode, data)

    def symlink(self, name: str, target: str) -> None:
        """A symbolic link that holds ``target``."""
        self._add(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def device(self, name: str, kind: str, major: int, minor: int, *, mode: int = 0o600) -> None:
        """A device node; ``kind`` is ``"c"`` or ``"b"``. Needs no root: it is only a line in the archive."""
        self._add(name, {"c": stat.S_IFCHR, "b": stat.S_IFBLK}[kind] | mode, b"", (major, minor))

    def raw(
        self, name: str, mode: int, data: bytes = b"", *, owner: tuple[int, int] = (0, 0), mtime: int = 0,
        device: tuple[int, int] = (0, 0), inode: int | None = None, links: int = 1,
    ) -> None:  # fmt: skip
        """Anything, without its parents. ``mode`` has the type in it; names of one file share ``inode`` and ``links``.

        An inode is a number of the caller's; those of other entries do not clash with it.
        """
        self._inode += 1
        number = self._inode if inode is None else 0x80000000 + inode
        self._header(name, (number, mode, *owner, links, mtime, len(data), 0, 0, *device))
        self._write(data)
        self._write(bytes(-self._written % 4))

    def close(self) -> None:
        """Write the trailer, padded to 512 bytes so that another archive can follow."""
        self._entry("TRAILER!!!", 0, b"", (0, 0))
        self._write(bytes(-self._written % _BLOCK))

    def _add(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0), owner: int = 0) -> None:
        parent = str(PurePosixPath(name).parent)
        if parent != ".":
            self.folder(parent)
        self._entry(name, mode, data, device, owner)

    def _entry(self, name: str, mode: int, data: bytes, device: tuple[int, int], owner: int = 0) -> None:
        self._inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        self._header(name, (self._inode, mode, owner, owner, links, 0, len(data), 0, 0, *device))
        self._write(data)
        self._write(bytes(-self._written % 4))

    def _header(self, name: str, fields: tuple[int, ...]) -> None:
        """Of ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor."""
        raw = os.fsencode(name) + b"\0"
        self._write(b"070701" + b"".join(b"%08X" % field for field in (*fields, len(raw), 0)) + raw)
        self._write(bytes(-self._written % 4))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)


def concatenate(parts: Sequence[Path], destination: Path) -> None:
    """Write one initramfs from several (the first perhaps compressed), each beginning at a multiple of 512 bytes."""
    with destination.open("wb") as out:
        for part in parts:
            out.write(bytes(-out.tell() % _BLOCK))
            with part.open("rb") as file:
                shutil.copyfileobj(file, out, 1 << 20)
        out.write(bytes(-out.tell() % _BLOCK))


def modules_archive(source: Path, destination: Path, *, root: str = "lib/modules") -> None:
    """Make an uncompressed archive, to be appended to an initramfs, with the kernel modules of ``source``.

    ``source`` is what ``make modules_install INSTALL_MOD_PATH=...`` made, as a folder or tarball (plain, gz, bz2, xz
    or zst): it holds ``lib/modules/RELEASE/...`` (also below another folder, or ``usr/lib/modules``), or begins with
    ``RELEASE/...``, or is the folder ``RELEASE`` itself. All else in it, and the links to the build tree, is left out.
    ``root`` is where modules live in the initramfs: the kernel would *replace* a link ``/lib`` by a folder, so an
    initramfs with merged /usr needs ``usr/lib/modules``. Raises ``ConfigurationError`` if there are no modules in it.
    """
    found = False
    with destination.open("wb") as out, CpioWriter(out) as archive:
        for name, mode, content in module_files(source):
            found = True
            if isinstance(content, str):
                archive.symlink(f"{root}/{name}", content)
            elif content is None:
                archive.folder(f"{root}/{name}", mode=mode)
            else:
                archive.file(f"{root}/{name}", content, mode=mode)
    if not found:
        raise ConfigurationError(
            f"there is no lib/modules/RELEASE in {source}: give what 'make modules_install INSTALL_MOD_PATH=DIR' made"
        )


@contextmanager
def open_tar(source: Path, file: IO[bytes] | None = None, size: int | None = None) -> Iterator[tarfile.TarFile]:
    """Read a tarball (plain, gz, bz2, xz, zst) from front to back; ``file`` is an open stream of it, if there is one,
    and ``size`` how many bytes of that it has.

    ``ConfigurationError`` if this is no tarball, or not a whole one.
    """
    with file or source.open("rb") as raw:
        packed = Stream(raw.read if size is None else at_most(raw, size))
        pieces = iter(unpacked(packing_of(packed.peek(8)), packed.read))
        try:
            # while one member is worked on, the next ones are unpacked
            with Pump(lambda size: next(pieces, b""), lambda: None) as ahead, _open_plain(ahead) as tar:
                yield tar
        except (tarfile.TarError, EOFError, Damaged) as error:
            raise ConfigurationError(f"{source} is not a complete tarball ({error}): pack it again") from error


def _open_plain(ahead: Pump) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast("IO[bytes]", whole(Stream(ahead.read))), mode="r|")


_Item = tuple[str, int, bytes | str | None]


def module_files(source: Path) -> Iterator[_Item]:
    """What :func:`modules_archive` takes: name from the release on, mode, content (a link's text, a folder's None)."""
    yield from _from_folder(source) if source.is_dir() else _from_tar(source)


def _from_folder(source: Path) -> Iterator[_Item]:
    bare = any((source / name).exists() for name in ("modules.dep", "modules.order", "kernel"))
    if bare and not _RELEASE.fullmatch(source.resolve().name):
        raise ConfigurationError(
            f"{source} holds modules, but its name is not a kernel release: give its parent folder"
        )
    prefix = f"{source.resolve().name}/" if bare else ""
    for path in sorted(source.rglob("*")):
        name = placed_module(prefix + path.relative_to(source).as_posix())
        if name is None:
            continue
        if path.is_symlink():
            yield name, 0o777, str(path.readlink())
        elif path.is_dir():
            yield name, 0o755, None
        elif path.is_file():
            yield name, path.stat().st_mode & 0o777, path.read_bytes()


def _from_tar(source: Path) -> Iterator[_Item]:
    with open_tar(source) as tar:
        for member in tar:
            name = placed_module(member.name)
            if name is None:
                continue
            if member.isdir():
                yield name, 0o755, None
            elif member.issym():
                yield name, 0o777, member.linkname
            elif member.islnk():
                raise ConfigurationError(f"{source} has a hard link ({member.name}): pack with tar --hard-dereference")
            elif member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                yield name, member.mode & 0o777, file.read()


def placed_module(name: str) -> str | None:
    """The part of a name from the kernel release on; None for what is not below a release."""
    name = name.removeprefix("./").strip("/")
    match = _MODULES.search(name)
    placed = match[1] if match else name if _RELEASE.match(name.split("/")[0]) else None
    if placed is None or placed.split("/")[1:] in (["build"], ["source"]):
        return None  # links into the build tree lead nowhere on the board
    return placed

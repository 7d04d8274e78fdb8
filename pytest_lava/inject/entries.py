"""Additions taken apart: one ``Entry`` for each file, folder, link and device, its content a file on this machine."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pytest_lava.errors import ConfigurationError, InjectFailed
from pytest_lava.images.cpio import open_tar
from pytest_lava.images.deb import open_data
from pytest_lava.images.sparse import write_sparse
from pytest_lava.inject.additions import Addition

__all__ = ["Entry", "EntryKind", "Staging", "entries_of", "from_archive", "from_tree"]

EntryKind = Literal["folder", "file", "symlink", "link", "char", "block", "fifo"]

_KINDS: dict[int, EntryKind] = {
    stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo",
}  # fmt: skip
_TAR_KINDS: dict[bytes, EntryKind] = {
    tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "link",
    tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo",
}  # fmt: skip
_XATTR = "SCHILY.xattr."
#: labels of this machine's policy, which mean nothing on the board
_NOT_OURS = ("security.selinux", "security.ima", "security.evm", "trusted.", "system.nfs4_acl")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing below the root of the board: ``path`` has no leading slash and no ``..``.

    ``target`` is what a symbolic link holds, or the path of what a hard link is another name of; ``content`` the file
    with the bytes; ``mode`` the permission bits; ``mtime`` in seconds; ``device`` major and minor number.
    ``gentle``: a folder that is there already is kept where this is a symbolic link (as dpkg does).
    """

    path: str
    kind: EntryKind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    content: Path | None = None
    size: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    gentle: bool = False


class Staging:
    """A folder for contents that come out of archives: under their own names where these can be had, else numbered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._folders: set[Path] = set()

    def tree(self) -> Path:
        """A folder for what comes out of one archive."""
        return self.new()

    def under(self, tree: Path, path: str) -> Path:
        """``tree/path`` if nothing is there: programs that read the tree then need no links to each file."""
        place = tree / path
        try:
            if place.parent not in self._folders:
                place.parent.mkdir(parents=True, exist_ok=True)
                self._folders.add(place.parent)
            place.lstat()
        except FileNotFoundError:
            return place
        except OSError:  # a file is where a folder should be, or a name is too long for this machine
            pass
        return self.new()

    def new(self) -> Path:
        """A path where nothing is."""
        self._count += 1
        return self.folder / str(self._count)


def entries_of(addition: Addition, staging: Staging) -> Iterator[Entry]:
    """All that an addition consists of, folders before what is in them as far as it has them.

    ``InjectFailed`` for a damaged archive, or one that reaches out of its folder.
    """
    try:
        yield from _entries(addition, staging)
    except ConfigurationError as error:  # only seen when all of it is read
        raise InjectFailed(f"{addition.option}: {error}") from error


def _entries(addition: Addition, staging: Staging) -> Iterator[Entry]:
    base = addition.target.strip("/")
    match addition.kind:
        case "file":
            yield _file(addition, base)
        case "tree":
            yield from from_tree(addition.source, base)
        case "tar":
            with open_tar(addition.source) as tar:
                yield from from_archive(tar, base, staging, addition.option)
        case "deb":
            with open_data(addition.source) as tar:
                for entry in from_archive(tar, base, staging, addition.option):
                    yield replace(entry, gentle=True) if entry.kind == "symlink" else entry


def from_tree(folder: Path, base: str) -> Iterator[Entry]:
    """What is in a folder, owned by root, hard links as such. Sockets are left out."""
    seen: dict[tuple[int, int], str] = {}
    yield from _walk(folder, base, seen)


def from_archive(tar: tarfile.TarFile, base: str, staging: Staging, option: str) -> Iterator[Entry]:
    """What is in an archive, with the numbers of its owners; contents go to ``staging``."""
    tree = staging.tree()
    for member in tar:
        path = _inside(base, member.name, option)
        if path == base:
            continue  # the archive's own root: the folder is there, and stays as it is
        kind = _TAR_KINDS.get(member.type, "file" if member.isreg() else None)
        if kind is None:
            raise InjectFailed(f"{option}: {member.name} is of a kind that no file system has: pack it again")
        entry = Entry(
            path, kind, member.mode & 0o7777, member.uid, member.gid, int(member.mtime),
            target=_inside(base, member.linkname, option) if kind == "link" else member.linkname,
            device=(member.devmajor, member.devminor) if kind in ("char", "block") else (0, 0),
            xattrs=_tar_xattrs(member),
        )  # fmt: skip
        if kind == "file":
            content = staging.under(tree, path)
            _stage(tar, member, content)
            entry = replace(entry, content=content, size=member.size)
        yield entry


def _file(addition: Addition, path: str) -> Entry:
    status = addition.source.stat()
    mode = stat.S_IMODE(status.st_mode) if addition.mode is None else addition.mode
    return Entry(path, "file", mode, mtime=int(status.st_mtime), content=addition.source, size=status.st_size)


def _walk(folder: Path, base: str, seen: dict[tuple[int, int], str]) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        names = sorted(found, key=lambda entry: entry.name)
    for found_entry in names:
        status = found_entry.stat(follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            continue
        path = f"{base}/{found_entry.name}" if base else found_entry.name
        where = found_entry.path
        identity = (status.st_dev, status.st_ino)
        if kind != "folder" and status.st_nlink > 1 and seen.setdefault(identity, path) != path:
            yield Entry(path, "link", target=seen[identity])
            continue
        yield Entry(
            path, kind, stat.S_IMODE(status.st_mode), mtime=int(status.st_mtime),
            content=Path(where) if kind == "file" else None,
            size=status.st_size if kind == "file" else 0,
            target=str(Path(where).readlink()) if kind == "symlink" else "",
            device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in ("char", "block") else (0, 0),
            xattrs=_xattrs(where),
        )  # fmt: skip
        if kind == "folder":
            yield from _walk(Path(where), path, seen)


def _inside(base: str, name: str, option: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InjectFailed(f"{option}: {name} would leave the folder that it is unpacked in: pack it again")
    return "/".join(filter(None, [base, *parts]))


def _stage(tar: tarfile.TarFile, member: tarfile.TarInfo, content: Path) -> None:
    file = tar.extractfile(member)
    assert file is not None
    with file:
        if member.size <= _PIECE and not member.issparse():
            data = file.read()
            size = len(data)
            _write(content, data)
        else:
            size = write_sparse(content, iter(lambda: file.read(_PIECE), b"")).size
    if size != member.size:
        raise tarfile.ReadError(f"{member.name} is cut off")


def _write(path: Path, data: bytes) -> None:
    """A new file. Thousands of them: what Python's files ask the kernel beside would be half of it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _tar_xattrs(member: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    found = [
        (key.removeprefix(_XATTR), value.encode("utf-8", "surrogateescape"))
        for key, value in member.pax_headers.items()
        if key.startswith(_XATTR)
    ]
    return tuple(sorted((name, value) for name, value in found if not name.startswith(_NOT_OURS)))


def _xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return tuple(
            (name, os.getxattr(path, name, follow_symlinks=False))
            for name in sorted(names)
            if not name.startswith(_NOT_OURS)
        )
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENODATA):
            return ()
        raise

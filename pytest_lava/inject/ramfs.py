"""Edits an initial RAM file system by one more archive behind it: what comes later replaces what came before.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel, which unpacks any number of newc
archives, packed or not, one after the other. What is in it is read, for its links must be followed here: the kernel
would replace a link ``/lib`` by a folder. It keeps a name that is there open for writing, so a file with several names
is first replaced by a link, which makes it a name of its own.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_lava.errors import InjectFailed
from pytest_lava.images.cpio import CpioWriter
from pytest_lava.images.unpack import FAULTS, Unpacks, packing_of, unpacks
from pytest_lava.inject.entries import Entry
from pytest_lava.inject.filesystem import Node, NodeKind, NotEditable, Placed

__all__ = ["Ramfs", "content_size"]

_MAGIC = (b"070701", b"070702")
_PIECE = 1 << 18
_CUT = "its archive ends too early"
_BLOCK = 512
_PAGE = 4096  # bytes: what the smallest file takes in memory
_LARGEST = 0xFFFFFFFF  # bytes of a file, as newc writes sizes with eight digits
_FORMATS: dict[int, NodeKind] = {stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "symlink"}
_TYPES = {
    "folder": stat.S_IFDIR, "file": stat.S_IFREG, "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO,
}  # fmt: skip

_Read = Callable[[], bytes]


class Ramfs:
    """The archives of ``image``; :meth:`apply` writes one more to its end."""

    folds = False

    def __init__(self, image: Path, name: str) -> None:
        self.name = name
        self._image = image
        self._tree = _Tree()
        with image.open("rb") as file:
            try:
                _read_all(_Bytes(lambda: file.read(_PIECE)), self._tree)
            except FAULTS as error:
                raise NotEditable(f"{name} is damaged: {error}") from error

    def listings(self, folders: Sequence[str]) -> Mapping[str, Mapping[str, Node]]:
        """See :class:`~pytest_lava.inject.filesystem.Editable`."""
        return {folder: self._tree.folders.get(folder, {}) for folder in folders}

    def targets(self, symlinks: Sequence[str]) -> Mapping[str, str]:
        """See :class:`~pytest_lava.inject.filesystem.Editable`."""
        return {path: self._tree.targets[path] for path in symlinks}

    def _inodes(self, placed: Sequence[Placed]) -> list[int]:
        """For each the number of the one that brings its content: itself, but for hard links."""
        numbers: list[int] = []
        latest: dict[str, int] = {}
        for number, item in enumerate(placed):
            entry = item.entry
            if entry.kind == "link" and entry.target not in latest:
                raise InjectFailed(
                    f"/{entry.path} is another name of /{entry.target}, which {self.name} has already: "
                    "a file in it cannot get one more name; give the file itself"
                )
            latest[entry.path] = latest[entry.target] if entry.kind == "link" else number
            numbers.append(latest[entry.path])
        return numbers

    def apply(self, placed: Sequence[Placed]) -> Sequence[str]:
        """See :class:`~pytest_lava.inject.filesystem.Editable`. Extended attributes have no place in it."""
        inodes = self._inodes(placed)
        with self._image.open("r+b") as out:
            out.seek(0, 2)
            out.write(bytes(-out.tell() % _BLOCK))
            with CpioWriter(out) as archive:
                _write_all(archive, placed, inodes)
        lost = [item.entry.path for item in placed if item.entry.xattrs]
        if not lost:
            return ()
        return (f"an initramfs holds no extended attributes: /{lost[0]} lost its own, {len(lost)} of all",)


def content_size(image: Path) -> int:
    """Bytes of memory that an initial RAM file system takes once it is unpacked, as far as it can be read here."""
    tree = _Tree()
    with image.open("rb") as file, suppress(NotEditable, *FAULTS):
        _read_all(_Bytes(lambda: file.read(_PIECE)), tree)
    return tree.size


class _Tree:
    """What is in the archives: nodes by folder, and what symbolic links hold."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, Node]] = {"": {}}
        self.targets: dict[str, str] = {}
        self.size = 0  # bytes of memory that all files take

    def add(self, name: str, mode: int, links: int, target: str) -> None:
        path = "/".join(part for part in name.split("/") if part not in ("", "."))
        if not path:
            return
        parent, _, last = path.rpartition("/")
        kind = _FORMATS.get(stat.S_IFMT(mode), "other")
        self.folders.setdefault(self._real(parent), {})[last] = Node(kind, shared=kind == "file" and links > 1)
        path = f"{self._real(parent)}/{last}".strip("/")
        if kind == "folder":
            self.folders.setdefault(path, {})
        elif kind == "symlink":
            self.targets[path] = target

    def _real(self, folder: str) -> str:
        """Archives may name what is behind a link that they made before."""
        first, slash, rest = folder.partition("/")
        return f"{self.targets[first].strip('/')}{slash}{rest}" if first in self.targets else folder


class _Bytes:
    """Reads pieces; can give some back."""

    def __init__(self, read: _Read) -> None:
        self._read, self._held, self._at = read, b"", 0

    def peek(self, size: int) -> bytes:
        while len(self._held) - self._at < size and (data := self._read()):
            self._held, self._at = self._held[self._at :] + data, 0
        return self._held[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        data = self.peek(size)
        if len(data) < size:
            raise NotEditable(_CUT)
        self._at += size
        return data

    def skip(self, size: int) -> None:
        while size > (there := len(self._held) - self._at):
            size -= there
            self._held, self._at = self._read(), 0
            if not self._held:
                raise NotEditable(_CUT)
        self._at += size

    def piece(self) -> bytes:
        """What is at hand, or is read next; nothing at the end."""
        data, self._held, self._at = self._held[self._at :], b"", 0
        return data or self._read()

    def give_back(self, data: bytes) -> None:
        self._held, self._at = data + self._held[self._at :], 0

    def skip_zeros(self) -> None:
        while data := self.piece():
            if rest := data.lstrip(b"\0"):
                self.give_back(rest)
                return


def _read_all(source: _Bytes, tree: _Tree) -> None:
    """Archives one after the other, packed ones and zero bytes among them."""
    while True:
        source.skip_zeros()
        head = source.peek(6)
        if not head:
            return
        if head in _MAGIC:
            _read_archive(source, tree)
        elif packing := packing_of(head):
            stream = unpacks(packing)
            _read_all(_Bytes(_plain(stream, source)), tree)
            source.give_back(stream.unused_data)
        else:
            raise NotEditable("it is packed in a way that is not read here (lz4, lzma, lzo?)")


def _plain(stream: Unpacks, source: _Bytes) -> _Read:
    def read() -> bytes:
        while not stream.eof:
            packed = source.piece()
            if not packed:
                raise NotEditable(_CUT)
            if data := stream.decompress(packed):
                return data
        return b""

    return read


def _read_archive(source: _Bytes, tree: _Tree) -> None:
    while True:
        header = source.take(110)
        if header[:6] not in _MAGIC:
            raise NotEditable("its archive is damaged")
        try:
            fields = [int(header[at : at + 8], 16) for at in range(6, 110, 8)]
        except ValueError:
            raise NotEditable("its archive is damaged") from None
        mode, links, size, name_size = fields[1], fields[4], fields[6], fields[11]
        name = source.take(name_size + -(110 + name_size) % 4)[: name_size - 1].decode("utf-8", "surrogateescape")
        if name == "TRAILER!!!":
            return
        target = source.take(size).decode("utf-8", "surrogateescape") if stat.S_ISLNK(mode) else ""
        source.skip(-size % 4 if target else size + -size % 4)
        tree.add(name, mode, links, target)
        tree.size += size + -size % _PAGE


def _write_all(archive: CpioWriter, placed: Sequence[Placed], inodes: Sequence[int]) -> None:
    names = Counter(inodes)
    for number, (item, inode) in enumerate(zip(placed, inodes, strict=True)):
        path = item.entry.path
        if item.over is not None and item.over.shared:
            archive.raw(path, stat.S_IFLNK | 0o777, b"gone")
        # another name brings no content, but the kernel sets owner and mode once more
        entry = placed[inode].entry
        archive.raw(
            path, _TYPES[entry.kind] | (0o777 if entry.kind == "symlink" else entry.mode),
            _content(entry) if number == inode else b"", owner=(entry.uid, entry.gid), mtime=max(entry.mtime, 0),
            device=entry.device, inode=inode, links=names[inode],
        )  # fmt: skip


def _content(entry: Entry) -> bytes:
    if entry.kind == "symlink":
        return entry.target.encode("utf-8", "surrogateescape")
    if entry.content is None:
        return b""
    if entry.size > _LARGEST:
        raise InjectFailed(f"/{entry.path} is larger than the 4 GiB that an initramfs can hold")
    return entry.content.read_bytes()

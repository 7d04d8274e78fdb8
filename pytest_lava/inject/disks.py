"""What an image is: a file system, an initramfs, or a disk with partitions; and which of them holds the root.

Formats: the MBR with its chain of extended partitions, UEFI 2.10 chapter 5 (GPT). File systems are known by their
magic numbers, as libmagic and the kernel's ``include/uapi/linux/magic.h`` have them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.unpack import packing_of
from pytest_lava.inject.filesystem import NotEditable

__all__ = ["Volume", "is_qcow2", "kind_at", "volumes"]

_SECTOR = 512
_EXTENDED = (0x05, 0x0F, 0x85)
_MOST = 128  # partitions of a disk
_MAGICS = (
    # at byte, magic, what it is
    (1080, b"\x53\xef", "ext4"),
    (82, b"FAT32   ", "fat"),
    (54, b"FAT", "fat"),
    (0, b"070701", "cpio"),
    (0, b"070702", "cpio"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"hsqs", "squashfs"),
    (65600, b"_BHRfS_M", "btrfs"),
    (0, b"XFSB", "XFS"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS"),
    (1024, b"\xe2\xe1\xf5\xe0", "EROFS"),
    (32769, b"CD001", "ISO 9660"),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image"),
    (0, b"UBI#", "UBI"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"ANDROID!", "an Android boot image"),
)
_HEAD = 65608


@dataclass(frozen=True)
class Volume:
    """A part of an image, from byte ``offset`` on; ``partition`` 0 is the whole of it. ``kind`` is ``ext4`` (ext2 and
    ext3 too), ``fat``, ``cpio``, or words for what cannot be edited, or nothing."""

    partition: int
    offset: int
    size: int
    kind: str

    @property
    def label(self) -> str:
        """For messages."""
        what = self.kind or "nothing known"
        return f"partition {self.partition} ({what})" if self.partition else what


def kind_at(image: Path, offset: int = 0) -> str:
    """The kind of what begins at this byte. ``OSError``."""
    with image.open("rb") as file:
        file.seek(offset)
        head = file.read(_HEAD)
    for at, magic, kind in _MAGICS:
        if head[at : at + len(magic)] == magic:
            return kind
    return "cpio" if offset == 0 and packing_of(head) else ""


def is_qcow2(image: Path) -> bool:
    """Whether this is a disk of QEMU's own format."""
    return kind_at(image) == "qcow2"


def volumes(image: Path) -> Sequence[Volume]:
    """The whole image if a file system is in it, or else its partitions. ``NotEditable`` for a damaged table.

    ``ConfigurationError`` for a folder.
    """
    if image.is_dir():
        raise ConfigurationError(f"{image} is a folder, not an image")
    size = image.stat().st_size
    kind = kind_at(image)
    fd = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        first = os.pread(fd, _SECTOR, 0)
        table: Sequence[tuple[int, int, int]] = ()
        if not kind and first[510:512] == b"\x55\xaa":
            table = list(_gpt(fd) if any(first[450 + 16 * n] == 0xEE for n in range(4)) else _mbr(fd, first))
    finally:
        os.close(fd)
    if not table:
        return [Volume(0, 0, size, kind)]
    for number, offset, length in table:
        if offset + length > size:
            raise NotEditable(f"its partition {number} ends behind the end of the file: it is cut off")
    return [Volume(number, offset, length, kind_at(image, offset)) for number, offset, length in table]


def _mbr(fd: int, first: bytes) -> Iterator[tuple[int, int, int]]:
    logical = 5
    for number in range(1, 5):
        kind, start, length = _entry(first, number - 1)
        if kind in _EXTENDED:
            for found in _chain(fd, start):
                yield (logical, *found)
                logical += 1
        elif kind and length:
            yield number, start * _SECTOR, length * _SECTOR


def _chain(fd: int, base: int) -> Iterator[tuple[int, int]]:
    """Logical partitions: each record has one, from itself on, and where the next record is, from the first on."""
    at = base
    for _ in range(_MOST):
        record = os.pread(fd, _SECTOR, at * _SECTOR)
        if record[510:512] != b"\x55\xaa":
            return
        kind, start, length = _entry(record, 0)
        if kind and length:
            yield (at + start) * _SECTOR, length * _SECTOR
        kind, start, _ = _entry(record, 1)
        if kind not in _EXTENDED:
            return
        at = base + start


def _entry(record: bytes, index: int) -> tuple[int, int, int]:
    """Type, first sector, sectors."""
    raw = record[446 + 16 * index : 462 + 16 * index]
    start, length = struct.unpack_from("<2I", raw, 8)
    return raw[4], start, length


def _gpt(fd: int) -> Iterator[tuple[int, int, int]]:
    for sector in (512, 4096):
        header = os.pread(fd, 92, sector)
        if header[:8] == b"EFI PART":
            break
    else:
        raise NotEditable("its GPT is damaged")
    (table,) = struct.unpack_from("<Q", header, 72)
    count, size = struct.unpack_from("<2I", header, 80)
    if not 128 <= size <= 4096:
        raise NotEditable("its GPT is damaged")
    for index in range(min(count, _MOST)):
        raw = os.pread(fd, 48, table * sector + index * size)
        if len(raw) == 48 and raw[:16].strip(b"\0"):
            first, last = struct.unpack_from("<2Q", raw, 32)
            yield index + 1, first * sector, (last - first + 1) * sector

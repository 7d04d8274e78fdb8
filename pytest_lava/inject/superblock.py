"""What the superblock of ext2, ext3 or ext4 tells: sizes, what is free, how it was left.

Format: Documentation/filesystems/ext4/super.rst of the kernel; little endian, 1,024 bytes into the file system.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SuperBlock", "read_superblock"]

_AT, _SIZE, _MAGIC = 1024, 1024, 0xEF53
_RECOVER, _64BIT = 0x4, 0x80  # of the incompatible features
_SHARED = 0x4000  # of those that allow reading only: Android's shared blocks


@dataclass(frozen=True)
class SuperBlock:
    """Sizes are in bytes, all else are counts."""

    block_size: int
    blocks: int
    free_blocks: int
    free_inodes: int
    blocks_per_group: int
    inodes_per_group: int
    clean: bool
    needs_recovery: bool
    read_only: bool


def read_superblock(image: Path, offset: int) -> SuperBlock | None:
    """``None`` if there is no such file system at this byte of the image. ``OSError``."""
    fd = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw = os.pread(fd, _SIZE, offset + _AT)
    finally:
        os.close(fd)
    if len(raw) < _SIZE or struct.unpack_from("<H", raw, 0x38)[0] != _MAGIC:
        return None
    (blocks,) = struct.unpack_from("<I", raw, 0x4)
    free_blocks, free_inodes, _, log_size = struct.unpack_from("<4I", raw, 0xC)
    per_group, _, inodes_per_group = struct.unpack_from("<3I", raw, 0x20)
    (state,) = struct.unpack_from("<H", raw, 0x3A)
    incompatible, read_only = struct.unpack_from("<2I", raw, 0x60)
    if incompatible & _64BIT:
        blocks |= struct.unpack_from("<I", raw, 0x150)[0] << 32
        free_blocks |= struct.unpack_from("<I", raw, 0x158)[0] << 32
    return SuperBlock(
        1024 << log_size, blocks, free_blocks, free_inodes, per_group, inodes_per_group,
        clean=state & 3 == 1, needs_recovery=bool(incompatible & _RECOVER), read_only=bool(read_only & _SHARED),
    )  # fmt: skip

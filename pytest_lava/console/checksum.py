"""The checksum that boards can compute: POSIX ``cksum`` (and MD5 where a small busybox has none), in chunks.

``cksum`` is the CRC with polynomial 0x04C11DB7, most significant bit first, over the data and its length (IEEE Std
1003.1, utilities, cksum). zlib computes the same polynomial least significant bit first, so bits are turned around.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

__all__ = ["cksum", "md5"]

_ALL = 0xFFFFFFFF
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def cksum(chunks: Iterable[bytes]) -> int:
    """What ``cksum`` prints first."""
    crc, length = _ALL, 0  # zlib starts from the complement: so this is 0
    for chunk in chunks:
        crc = zlib.crc32(chunk.translate(_TURNED), crc)
        length += len(chunk)
    tail = length.to_bytes((length.bit_length() + 7) // 8, "little")
    crc = zlib.crc32(tail.translate(_TURNED), crc) ^ _ALL
    return int(f"{crc:032b}"[::-1], 2) ^ _ALL


def md5(chunks: Iterable[bytes]) -> str:
    """What ``md5sum`` prints first."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()

"""Whether an initial RAM file system fits into the memory of its board.

The kernel unpacks it into memory and frees the file behind that, so both are there at once (init/initramfs.c). One that
does not fit is left half unpacked, and the kernel goes on with what there is.
"""

from __future__ import annotations

from pathlib import Path

from pytest_lava.errors import InjectFailed
from pytest_lava.images.memo import remembered
from pytest_lava.inject.ramfs import content_size

__all__ = ["check_memory"]

_MB = 1 << 20


def check_memory(initrd: Path, memory: int, cache: Path, named: str) -> None:
    """``InjectFailed``, beginning with ``named``, if it needs more than ``memory`` bytes (0: not known)."""
    packed, unpacked = initrd.stat().st_size, int(remembered(initrd, "content1", content_size, cache))
    if memory and packed + unpacked > memory:
        raise InjectFailed(
            f"{named} is too large for the board: it takes {(packed + unpacked) // _MB} MB of memory until it is "
            f"unpacked, and there are {memory // _MB} MB: leave out modules (--modules=none), give a root file system "
            "as --image, or set more memory in a board file of yours"
        )

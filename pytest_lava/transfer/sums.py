"""Sums that a board may be able to compute, by the names that its scripts use, over chunks of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pytest_lava.console.checksum import cksum, md5

__all__ = ["block_sum", "file_sum"]


def block_sum(kind: str, chunks: Iterable[bytes]) -> str:
    """``c`` (cksum), ``m`` (md5sum), or ``-`` for a board that has neither (``w``)."""
    match kind:
        case "c":
            return str(cksum(chunks))
        case "m":
            return md5(chunks)
    return "-"


def file_sum(program: str, chunks: Iterable[bytes]) -> str:
    """What the board's ``program`` prints first; ``-`` if it has none."""
    match program:
        case "sha256sum":
            digest = hashlib.sha256()
            for chunk in chunks:
                digest.update(chunk)
            return digest.hexdigest()
        case "md5sum":
            return md5(chunks)
        case "cksum":
            return str(cksum(chunks))
    return "-"

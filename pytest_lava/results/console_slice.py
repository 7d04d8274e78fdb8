"""The part of a console log that belongs to one test: as text for a person, or as exact bytes in a file."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_lava.results.text import strip_ansi

__all__ = ["excerpt", "write_slice"]

_CHUNK = 1 << 20


def excerpt(path: Path, start: int, end: int | None, *, lines: int = 200, limit: int = 64 * 1024) -> str:
    """The tail of bytes ``[start, end)`` of a console log as text; ``end=None`` means the end of the file.

    At most ``lines`` lines out of the last ``limit`` bytes, in whole lines, without escape sequences, with ``\\n`` as
    line end. A range that does not exist (any more) is empty: a lost log must not hide the failure it belongs to.
    """
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            start, end = max(start, 0), size if end is None else min(end, size)
            if end <= start:
                return ""
            begin = max(start, end - limit)
            log.seek(begin)
            data = log.read(end - begin)
    except OSError:
        return ""
    if begin > start:
        # a line cut in two could begin inside an escape sequence or a character
        head, newline, rest = data.partition(b"\n")
        data = rest if newline else head
    text = re.sub("\r*\n|\r", "\n", strip_ansi(data.decode("utf-8", "replace")))
    parts = text.split("\n")
    return "\n".join(parts[-lines - (parts[-1] == "") :])  # the end of the last line begins no further one


def write_slice(path: Path, start: int, end: int | None, destination: Path) -> int:
    """Copy bytes ``[start, end)`` of a console log exactly; returns how many there were. Raises ``OSError``."""
    written = 0
    with path.open("rb") as log, destination.open("wb") as out:
        log.seek(max(start, 0))
        left = None if end is None else max(end - max(start, 0), 0)
        while left is None or left > 0:
            chunk = log.read(_CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                break
            written += out.write(chunk)
            left = None if left is None else left - len(chunk)
    return written

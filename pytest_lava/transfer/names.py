"""Names, modes and times of files, as boards write and read them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["clock_text", "mode_of", "usable"]


def usable(remote: str, mode: int | None = None) -> None:
    """``ValueError`` for a name that no file can have, or a mode that none can; ``TypeError`` for a text as mode."""
    if "\0" in remote or not remote:
        raise ValueError("a file name on the board cannot be empty or hold a NUL character")
    if mode is not None and not isinstance(mode, int):
        raise TypeError(f"a file's mode is a number such as 0o755, not {mode!r}")
    if mode is not None and not 0 <= mode <= 0o7777:
        raise ValueError(f"a file's mode is a number from 0 to 0o7777, not {mode:#o}")


def clock_text(seconds: int) -> str:
    """Seconds since 1970 for ``touch -t``, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M.%S")


def mode_of(text: str) -> int | None:
    """Permissions from ``644`` or ``-rw-r--r--``; ``None`` if it is neither."""
    if text.isdigit():
        return int(text, 8)
    if len(text) != 10:
        return None
    bits = 0
    for letter in text[1:]:
        bits = bits << 1 | (letter not in "-ST")
    for at, letters, bit in ((3, "sS", 0o4000), (6, "sS", 0o2000), (9, "tT", 0o1000)):
        bits |= bit if text[at] in letters else 0
    return bits

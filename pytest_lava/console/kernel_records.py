"""Kernel messages in the middle of program output: what they look like, and how to take them out."""

from __future__ import annotations

import re

__all__ = ["CALLER", "RECORD", "STAMP", "excise", "excise_surely", "stamp_of"]

#: the time stamp of a record (CONFIG_PRINTK_TIME), and who wrote it (CONFIG_PRINTK_CALLER)
STAMP = r"\[ *\d+\.\d{6}\]"
CALLER = r"(?: ?\[ *[TC]\d+\])?"

#: a printk record with its time stamp and perhaps the caller's id, to the end of its line
RECORD = re.compile(rf"{STAMP}{CALLER} [^\r\n]*\r?\n".encode())
_SURE_RECORD = re.compile(rf"{STAMP}{CALLER} (?:(?!{STAMP})[^\r\n])*\r\n".encode())

_SECONDS = re.compile(rb"\[ *(\d+\.\d+)\]")


def stamp_of(record: bytes) -> float | None:
    """The time stamp of a record, in seconds since the kernel's boot."""
    found = _SECONDS.search(record)
    return float(found[1]) if found else None


def excise(data: bytes) -> bytes:
    """``data`` without kernel records; they are whole, but may begin between any two bytes."""
    return RECORD.sub(b"", data) if b"[" in data else data


def excise_surely(data: bytes) -> bytes:
    """The same where programs cannot write a carriage return by themselves (``stty -opost``).

    The kernel ends its lines with one, so a program may print lines like the kernel's (``dmesg``) and keep them.
    """
    return _SURE_RECORD.sub(b"", data) if b"[" in data else data

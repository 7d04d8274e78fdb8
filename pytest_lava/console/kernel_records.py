"""Kernel messages in the middle of program output: what they look like, and how to take them out."""

from __future__ import annotations

import re

__all__ = ["RECORD", "excise"]

#: a printk record with its time stamp (CONFIG_PRINTK_TIME) and perhaps the caller's id, to the end of its line
RECORD = re.compile(rb"\[ *\d+\.\d{6}\](?: ?\[ *[TC]\d+\])? [^\r\n]*\r?\n")


def excise(data: bytes) -> bytes:
    """``data`` without kernel records; they are whole, but may begin between any two bytes."""
    return RECORD.sub(b"", data) if b"[" in data else data

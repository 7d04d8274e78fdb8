"""Kernel messages in the middle of program output: what they look like, and how to take them out."""

from __future__ import annotations

import re

__all__ = ["RECORD", "excise", "excise_surely"]

#: a printk record with its time stamp (CONFIG_PRINTK_TIME) and perhaps the caller's id, to the end of its line
RECORD = re.compile(rb"\[ *\d+\.\d{6}\](?: ?\[ *[TC]\d+\])? [^\r\n]*\r?\n")
_STAMP = rb"\[ *\d+\.\d{6}\]"
_SURE_RECORD = re.compile(_STAMP + rb"(?: ?\[ *[TC]\d+\])? (?:(?!" + _STAMP + rb")[^\r\n])*\r\n")


def excise(data: bytes) -> bytes:
    """``data`` without kernel records; they are whole, but may begin between any two bytes."""
    return RECORD.sub(b"", data) if b"[" in data else data


def excise_surely(data: bytes) -> bytes:
    """The same where programs cannot write a carriage return by themselves (``stty -opost``).

    The kernel ends its lines with one, so a program may print lines like the kernel's (``dmesg``) and keep them.
    """
    return _SURE_RECORD.sub(b"", data) if b"[" in data else data

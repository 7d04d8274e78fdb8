"""What arguments of commands may be: functions read one, or say what is wrong with it, or make it fit to be shown."""

from __future__ import annotations

import argparse
import math
import re
from contextlib import suppress

__all__ = ["count", "limit", "seconds", "without_secret"]


def seconds(text: str) -> float:
    """A time, which may be 0."""
    with suppress(ValueError):
        if 0 <= (found := float(text)) < math.inf:
            return found
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")


def limit(text: str) -> float:
    """A time that is more than 0."""
    if (found := seconds(text)) > 0:
        return found
    raise argparse.ArgumentTypeError(f"{text!r} is no time in which anything could be done: give more seconds")


def count(text: str) -> int:
    """How often."""
    if text.isascii() and text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number, 0 or more")


def without_secret(text: str) -> str:
    """URLs in it as they may be shown: without user and password."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)

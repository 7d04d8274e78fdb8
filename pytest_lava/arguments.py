"""What arguments of commands may be: each function reads one, or says what is wrong with it."""

from __future__ import annotations

import argparse
import math
from contextlib import suppress

__all__ = ["count", "limit", "seconds"]


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

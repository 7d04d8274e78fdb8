"""Refuses what stands in place of a file: nothing at all, or the page that a server shows to people.

A board would be flashed with it, and fall silent.
"""

from __future__ import annotations

import re
from pathlib import Path

from pytest_lava.errors import ConfigurationError

__all__ = ["refuse_page", "refuse_strange_tree"]

_HEAD = 512
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>]|head[\s>])", re.I | re.S)
_TREE = b"\xd0\x0d\xfe\xed"  # Devicetree Specification, 5.2


def refuse_page(path: Path, named: str) -> None:
    """``ConfigurationError``, beginning with ``named``, for an empty file and for HTML. ``OSError``."""
    head = _head(path)
    if not head:
        raise ConfigurationError(f"{named} is empty: make it again, or give another file")
    if _PAGE.match(head):
        raise ConfigurationError(f"{named} is an HTML page, as servers have for people: give the file behind it")


def refuse_strange_tree(path: Path, named: str) -> None:
    """The same for what is no device tree."""
    refuse_page(path, named)
    if not _head(path).startswith(_TREE):
        raise ConfigurationError(f"{named} is no device tree: give a .dtb as dtc or make dtbs writes it")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)

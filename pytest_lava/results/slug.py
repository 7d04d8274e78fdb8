"""Short unique names out of any text, for the name fields of a bundle."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable

__all__ = ["Namer", "case_id", "shorten", "slug"]

#: dashboard limits: ``test_id`` is a CharField(64), a test case id is shown and stored up to 100 characters
TEST_ID_LIMIT = 64
CASE_ID_LIMIT = 100


def slug(text: str, *, limit: int = TEST_ID_LIMIT) -> str:
    """``text`` in the letters of a test id, ``[a-z0-9.-]``, at most ``limit`` long and never empty.

    >>> slug("tests/test_boot.py"), slug("free -m")
    ('tests-test-boot.py', 'free-m')
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9.]+", "-", letters).strip("-.")
    return shorten(name or f"test-{_hash(text)}", limit, text)


def case_id(text: str, *, limit: int = CASE_ID_LIMIT) -> str:
    """``text`` as a test case id: ``[a-zA-Z0-9._:/[]-]``, anything else becomes ``_``; never empty.

    >>> case_id("TestMm::test_huge[2 MB]")
    'TestMm::test_huge[2_MB]'
    """
    return shorten(re.sub(r"[^a-zA-Z0-9._:/\[\]-]", "_", text) or f"case-{_hash(text)}", limit, text)


def shorten(name: str, limit: int, text: str) -> str:
    """``name`` if it fits, else its beginning and a hash of ``text``, so that the same text keeps its name."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - 9].rstrip('-.')}-{_hash(text)}"


class Namer:
    """Gives out each name once; a second taker gets ``-2`` appended, within the limit."""

    def __init__(self, make: Callable[..., str], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def unique(self, text: str) -> str:
        """A name for ``text`` that nobody else has."""
        base = name = self._make(text, limit=self._limit)
        while name in self._taken:
            number = self._next[base] = self._next.get(base, 1) + 1
            suffix = f"-{number}"
            name = self._make(text, limit=self._limit - len(suffix)) + suffix
        self._taken.add(name)
        return name


def _hash(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:8]

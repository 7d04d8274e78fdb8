"""Names as SQUAD takes them: slugs of URLs, and full names of tests that it takes apart into suite and test.

Source: ``squad/core/models.py`` (``slug_pattern``, lengths of columns), ``parse_name`` in ``squad/core/utils.py`` and
``squad/core/tasks/__init__.py`` of SQUAD 1.98, which leaves out a test with a longer name without a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from pytest_lava.results.slug import shorten
from pytest_lava.results.text import plain

__all__ = ["NAME_LIMIT", "SLUG_LIMIT", "SLUG_PATTERN", "full_name", "names", "parse_name", "slug"]

#: of a build or an environment; a group or project may begin with ``~`` besides
SLUG_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
SLUG_LIMIT = 100
#: characters of a suite, and of a test or metric in it
NAME_LIMIT = 256


def slug(text: str, *, limit: int = SLUG_LIMIT) -> str:
    """``text`` as a build or an environment; empty if nothing of it can be kept.

    URLs of SQUAD are not anchored at their end: what does not fit the pattern would be cut off, and not refused.

    >>> slug("6.1.0-rc3+ #2"), slug("qemu_arm64/a")
    ('6.1.0-rc3-2', 'qemu_arm64-a')
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-zA-Z0-9_.-]+", "-", letters).lstrip("-._").rstrip("-")
    return shorten(name, limit, text)


def full_name(suite: str, case: str) -> str:
    """The name of a test by which SQUAD shows it: ``::`` becomes ``/``, parameters stay as they are.

    >>> full_name("tests/test_a.py", "TestX::test_y[a/b]")
    'tests/test_a.py/TestX/test_y[a/b]'
    """
    base, bracket, parameters = case.partition("[")
    path = re.sub(r"/{2,}", "/", f"{_one_line(suite)}/{_one_line(base)}".replace("::", "/"))
    return (path.lstrip("/") + bracket + _one_line(parameters)).rstrip("/") or "unnamed"


def _one_line(text: str) -> str:
    return " ".join(plain(text).split())


def names(wanted: Sequence[str]) -> list[str]:
    """Those names within SQUAD's limits and each once, in the same order; the same list gives the same names."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    found = []
    for name in wanted:
        candidate = _within(name)
        while candidate in taken:
            numbers[name] = number = numbers.get(name, 1) + 1
            base, bracket, parameters = name.partition("[")
            candidate = _within(f"{base}-{number}{bracket}{parameters}")
        taken.add(candidate)
        found.append(candidate)
    return found


def parse_name(name: str) -> tuple[str, str]:
    """Suite and test, as SQUAD takes a full name apart: at the last ``/``, but parameters in brackets stay whole."""
    parts = name.split("/")
    at = len(parts) - 1
    if parts[-1].endswith("]"):
        at = next((number for number, part in enumerate(parts) if "[" in part), at)
    return "/".join(parts[:at]) or "/", "/".join(parts[at:])


def _within(name: str) -> str:
    """Both parts within their limit; what is cut has a hash of the whole in its place.

    Parameters that are cut have no bracket at their end any more, so their slashes go.
    """
    suite, test = parse_name(name)
    if len(test) > NAME_LIMIT:
        test = shorten(test.replace("/", "_"), NAME_LIMIT, name)
    if suite == "/":
        return test
    if len(suite) > NAME_LIMIT:
        suite = shorten(suite, NAME_LIMIT, suite).rstrip("/")
    return f"{suite}/{test}"

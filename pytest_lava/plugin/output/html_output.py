"""Output of tests in the HTML report: both ends of it, and a link to a file beside with all, so that reports open."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_lava.results.text import both_ends

__all__ = ["ShortOutput"]

_LINES, _CHARACTERS = 100, 32 * 1024  # of each end
_FOLDER = "output"


class ShortOutput:
    """Writes what is too long for a report to files of the run folder; they are counted, so each has its own name."""

    def __init__(self, folder: Path, link: Callable[[Path], str]) -> None:
        self._folder, self._link = folder, link
        self._count = 0

    def shorten(self, nodeid: str, data: list[str], texts: Iterable[tuple[str, str]]) -> None:
        """Put ends in place of long texts. ``data`` is what pytest-html made of them: title and text, as HTML."""
        for title, text in texts:
            if len(text) <= 2 * _CHARACTERS and text.count("\n") <= 2 * _LINES:
                continue
            whole = html.escape(text)
            at = next((number for number, shown in enumerate(data) if whole in shown), None)
            if at is None:
                continue
            data[at] = data[at].replace(whole, self._ends(f"{nodeid}-{title}", text))

    def _ends(self, name: str, text: str) -> str:
        self._count += 1
        slug = re.sub(r"[^\w.-]+", "-", name.rpartition("/")[2]).strip("-")[:80]
        path = self._folder / _FOLDER / f"{self._count:04d}-{slug}.txt"
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:  # a full disk; the journal has it
            return html.escape(both_ends(text, _LINES, _CHARACTERS, f"the journal has all, {error.strerror}"))
        where = f'<a href="{html.escape(self._link(path))}" target="_blank">{html.escape(path.name)}</a>'
        mark = f"\0{self._count}\0"  # no text of a report has it once it is escaped by us alone
        return html.escape(both_ends(text.replace("\0", ""), _LINES, _CHARACTERS, mark)).replace(mark, where)

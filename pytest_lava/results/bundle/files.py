"""Files of a run as attachments: whole if there is room for them, else by reference, and the result says so.

A result's attachment needs its content (the importer of format 1.5 reads it unconditionally), one of a test run may
have a ``public_url`` instead: so a large file is one of its test run, if it is known where the run folder can be found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from pytest_lava.results.bundle.parts import Bundle, attachment, encoded_attachment
from pytest_lava.results.journal import Line
from pytest_lava.results.mime import BINARY
from pytest_lava.results.run_files import inside

__all__ = ["DEFAULT_LIMIT", "Room", "Taken"]

#: bytes of one file
DEFAULT_LIMIT = 8 << 20
#: files of that size that all results together may have
_FILES = 8
_URL = 512  # characters that a dashboard keeps
_REST = b"\n... the rest is in the run folder only\n"


@dataclass
class Taken:
    """Attachments of a result, attributes that tell what was cut, and references, which only its test run can hold."""

    attachments: list[Bundle] = field(default_factory=list)
    attributes: dict[str, object] = field(default_factory=dict)
    references: list[Bundle] = field(default_factory=list)

    def add(self, more: Taken) -> None:
        """Put what was taken elsewhere behind it."""
        self.attachments += more.attachments
        self.attributes |= more.attributes
        self.references += more.references


class Room:
    """What a bundle still has room for. ``url`` is where the run folder can be found by others, if that is known."""

    def __init__(self, folder: Path, *, limit: int = DEFAULT_LIMIT, url: str = "") -> None:
        self._folder, self._limit, self._url = folder, limit, url
        self._left = limit * _FILES

    def files(self, lines: Iterable[Line]) -> Taken:
        """What lines of the journal attach. A file that is missing, or outside of the run folder, is left out."""
        taken = Taken()
        for line in lines:
            for one in line.get("attachments") or ():
                if path := inside(self._folder, one.get("path")):
                    self._take(taken, one, path)
        return taken

    def output(self, name: str, content: object) -> Taken:
        """Base64 text from the journal, which has it whole."""
        taken = Taken()
        room = max(min(self._limit, self._left), 0) // 3 * 4
        text = content[:room] if isinstance(content, str) else content
        taken.attachments = encoded_attachment(name, text)
        if isinstance(content, str):
            self._left -= len(content[:room]) // 4 * 3
            if len(content) > room:
                whole = len(content) // 4 * 3 - content[-2:].count("=")
                taken.attributes[f"cut.{name}"] = f"the first {room // 4 * 3} of {whole} bytes; the journal has all"
        return taken

    def _take(self, taken: Taken, one: Mapping[str, object], path: Path) -> None:
        name, mime = str(one.get("name") or path.name), str(one.get("mime") or BINARY)
        size, room = path.stat().st_size, max(min(self._limit, self._left), 0)
        content = None
        if size <= room:
            content = path.read_bytes()
        elif mime.startswith("text/") and room > 0:
            with path.open("rb") as file:  # its beginning, to which line numbers belong
                content = file.read(room) + _REST
        if content is not None:
            self._left -= len(content)
            taken.attachments.append(attachment(name, content, mime=mime))
        if size > room:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            here = f"the first {room} of " if content is not None else ""
            taken.attributes[f"cut.{name}"] = f"{here}{size} bytes, sha256 {sha256}; all of it is {one.get('path')}"
            taken.references += self._reference(name, mime, str(one.get("path")))

    def _reference(self, name: str, mime: str, path: str) -> list[Bundle]:
        url = f"{self._url.rstrip('/')}/{quote(path)}"
        return [attachment(name, None, mime=mime, url=url)] if self._url and len(url) <= _URL else []

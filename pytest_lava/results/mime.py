"""The MIME type of a file, by its name and its first bytes: a text is shown, anything else is offered to be saved."""

from __future__ import annotations

import codecs
import mimetypes
from pathlib import Path

__all__ = ["BINARY", "TEXT", "mime_of"]

TEXT, BINARY = "text/plain", "application/octet-stream"
_LOOKED_AT = 64 << 10
#: what is a text though its type does not begin with ``text/``
_TEXTS = ("application/json", "application/xml", "application/yaml", "image/svg+xml")
_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def mime_of(path: Path, name: str = "") -> str:
    """The type of a file that is called ``name`` elsewhere. Only what is UTF-8 is a text. Raises ``OSError``."""
    with path.open("rb") as file:
        is_text = _is_text(file.read(_LOOKED_AT), whole=not file.read(1))
    # not the machine's own tables, which differ from one to the next
    guessed, packing = mimetypes.MimeTypes().guess_type(name or path.name)
    if packing:
        guessed = _PACKED.get(packing, BINARY)
    named_text = guessed is None or guessed.startswith("text/") or guessed in _TEXTS
    if is_text:
        return guessed or TEXT if named_text else TEXT
    return BINARY if named_text or guessed is None else guessed


def _is_text(data: bytes, *, whole: bool) -> bool:
    if b"\0" in data:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, whole)  # a character may be cut in two at the end
    except UnicodeDecodeError:
        return False
    return True

"""``multipart/form-data`` (RFC 7578) out of files, read as it is sent: a large log is never in memory as a whole."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["Multipart", "Upload"]

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Upload:
    """One file of a form: the name of the field, the file's name there, and where it is."""

    field: str
    name: str
    path: Path
    mime: str = "application/octet-stream"


class Multipart:
    """A body that requests streams (``data=``); ``content_type`` goes into the header. Used for one request only.

    Names are expected to be ASCII without quotes and line ends.
    """

    def __init__(self, uploads: Sequence[Upload]) -> None:
        # random, as a file that knows it could end its part and begin another one
        boundary = f"lava-{secrets.token_hex(24)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | Path] = []
        for one in uploads:
            head = f'Content-Disposition: form-data; name="{one.field}"; filename="{one.name}"'
            self._parts += [f"--{boundary}\r\n{head}\r\nContent-Type: {one.mime}\r\n\r\n".encode(), one.path, b"\r\n"]
        self._parts.append(f"--{boundary}--\r\n".encode())
        self._size = sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in self._parts)
        self._blocks = self._all()
        self._rest = b""

    def __len__(self) -> int:
        """Bytes of the whole body."""
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most ``size``; none at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = block
        found, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return found

    def close(self) -> None:
        """Close the file that is being read."""
        self._blocks.close()

    def _all(self) -> Generator[bytes, None, None]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            with part.open("rb") as file:
                yield from _blocks(file)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block

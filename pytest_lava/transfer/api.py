"""The seam between whole files and the way their contents go: ``Carrier``, and what one carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline

__all__ = ["Carrier", "Contents"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Contents:
    """Bytes of a file that is never in memory as a whole: ``file`` can be read from anywhere."""

    file: IO[bytes]
    size: int

    def read(self, at: int, size: int) -> bytes:
        """So many bytes from there on, fewer at the end."""
        self.file.seek(at)
        return self.file.read(size)

    def chunks(self, end: int | None = None) -> Iterator[bytes]:
        """All of it, or what is before ``end``."""
        at, end = 0, self.size if end is None else end
        while at < end and (chunk := self.read(at, min(_CHUNK, end - at))):
            yield chunk
            at += len(chunk)


class Carrier(Protocol):
    """One way for contents between this machine and the file that ``$__f.p`` on the board is a link to.

    ``progress`` gets the bytes of the contents that are through and how many there are. What was carried when an error
    is raised stays: the next call begins behind it. Errors are those of :class:`pytest_lava.console.files.Files`;
    a ``NetworkError`` says that another way may help.
    """

    #: serial, http or ssh
    name: str

    def put(self, contents: Contents, begin: int, progress: Progress, deadline: Deadline) -> None:
        """Append what is missing from ``begin`` on."""

    def get(
        self, size: int, write: Callable[[bytes], object], begin: int, progress: Progress, deadline: Deadline
    ) -> None:
        """Hand ``write`` the bytes from ``begin`` (a multiple of ``GRAIN``) on, in order."""

"""The seam between whole files and the way their contents go: ``Carrier``, what one carries, and who chooses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Literal, Protocol

from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline
from pytest_lava.errors import Timeout

__all__ = ["Announce", "Carrier", "Contents", "Mode", "Network", "TransferPolicy"]

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

    def chunks(self, deadline: Deadline, end: int | None = None) -> Iterator[bytes]:
        """All of it, or what is before ``end``. ``Timeout`` if whoever works on it takes longer than ``deadline``."""
        at, end = 0, self.size if end is None else end
        while at < end and (chunk := self.read(at, min(_CHUNK, end - at))):
            if deadline.expired:
                raise Timeout("no time is left for a file that is summed up or compressed here")
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

    @property
    def rate(self) -> float:
        """Bytes a second, as far as known (else 0): what compression has to keep up with."""

    def ready(self, deadline: Deadline) -> None:
        """Whatever has to be done before a file, or the first one; not while the link is in use."""

    def put(self, contents: Contents, begin: int, progress: Progress, deadline: Deadline) -> None:
        """Append what is missing from ``begin`` on."""

    def get(
        self, size: int, write: Callable[[bytes], object], begin: int, progress: Progress, deadline: Deadline
    ) -> None:
        """Hand ``write`` the bytes from ``begin`` (a multiple of ``GRAIN``) on, in order."""


#: ``--transfer``: a network where there is one, or only this way
Mode = Literal["auto", "serial", "http", "ssh"]

#: is told what is carried (``put firmware.bin``) and its size; gives whom to tell how it goes on, if anybody cares
Announce = Callable[[str, int], Progress | None]


@dataclass(frozen=True)
class Network:
    """How the board's network reaches this machine, and the other way round; see ``[transfer]`` of board files."""

    address: str | None = None
    listen: str | None = None
    up: str | None = None
    ssh: str | None = None
    ssh_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class TransferPolicy:
    """What a run wants of all its file transfers."""

    mode: Mode = "auto"
    announce: Announce | None = None

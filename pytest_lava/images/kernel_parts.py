"""What a kernel comes with: ``KernelSource`` is the seam between what a user names and the files that make it up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, FetchFailed, ToolMissing
from pytest_lava.images.fetch import Fetcher
from pytest_lava.images.shelf import Shelf

__all__ = ["KernelParts", "KernelSource", "Origin", "Workshop", "content_of"]


@dataclass(frozen=True)
class Origin:
    """Where a kernel is from: ``text`` as the user named it, ``sha256`` of what was named where that is one file;
    ``commit``, ``url`` and ``branch`` of its source where they are known."""

    text: str
    sha256: str = ""
    package: str = ""
    commit: str = ""
    url: str = ""
    branch: str = ""


@dataclass(frozen=True)
class KernelParts:
    """Files on this machine, not to be written to: the kernel unpacked, a folder with ``lib/modules/RELEASE``, and one
    in which device trees are found by name. ``release`` is what the source promises, if it does."""

    kernel: Path
    origin: Origin
    modules: Path | None = None
    dtbs: Path | None = None
    release: str | None = None


@dataclass(frozen=True)
class Workshop:
    """What is needed to get at the parts of a kernel. ``keep_debug``: modules keep their debugging information."""

    fetcher: Fetcher
    shelf: Shelf
    deadline: Deadline
    keep_debug: bool = False

    def key(self, *words: str) -> str:
        """Of what is made of these and has modules in it."""
        return hashlib.sha256(" ".join([*words, *(["debug"] if self.keep_debug else [])]).encode()).hexdigest()[:40]


class KernelSource(Protocol):
    """A kernel that a user named, as data. What is seen without fetching: ``arch`` and ``release``, perhaps ``""``.

    ``name`` and ``place`` (a folder or host) tell kernels of a run apart; ``simple`` if :meth:`parts` takes no time.
    """

    @property
    def name(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def arch(self) -> str: ...
    @property
    def release(self) -> str: ...
    @property
    def simple(self) -> bool: ...

    def parts(self, workshop: Workshop) -> KernelParts:
        """Fetch and unpack. ``FetchFailed`` for what the user has to correct, ``NetworkError``, and what
        :meth:`~pytest_lava.images.fetch.Fetcher.fetch` raises besides."""


@contextmanager
def content_of(named: str, path: Path | None = None) -> Iterator[None]:
    """What is found to be wrong in here is the fault of whoever named it, not of how this machine is set up.

    The message begins with ``named``, also where it began with ``path``, which the user never saw.
    """
    try:
        yield
    except ToolMissing:
        raise
    except ConfigurationError as error:
        text = str(error)
        if path is not None and text.startswith(str(path)):
            text = f"{named}{text.removeprefix(str(path))}"
        raise FetchFailed(text if named in text else f"{named}: {text}") from error

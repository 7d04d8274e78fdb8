"""Reads Debian packages without dpkg: what they say of themselves, and the files in them.

Format: deb(5), an ``ar`` archive (as ar(5)) of ``debian-binary``, ``control.tar*`` and ``data.tar*``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarFile
from typing import IO

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cpio import open_tar

__all__ = ["Package", "is_deb", "open_data", "read_package", "unpack"]

_MAGIC = b"!<arch>\n"
_BEGIN = _MAGIC + b"debian-binary"
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")


@dataclass(frozen=True)
class Package:
    """A package file: name, version and architecture (Debian's word: ``amd64``) as its control file says.

    ``scripts`` are the maintainer scripts in it: ``preinst``, ``postinst``, ``prerm``, ``postrm``, ``config``.
    ``files`` are the names in it, as far as the package has a list of their checksums; most have.
    """

    path: Path
    name: str
    version: str
    architecture: str
    scripts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def is_deb(path: Path) -> bool:
    """Whether a file begins as a Debian package does. ``OSError``."""
    with path.open("rb") as file:
        return file.read(len(_BEGIN)) == _BEGIN


def read_package(deb: Path) -> Package:
    """Read the control file. ``ConfigurationError`` if this is no Debian package, or a damaged one."""
    fields: dict[str, str] = {}
    names: list[str] = []
    files: tuple[str, ...] = ()
    with _member(deb, "control.tar") as tar:
        for member in tar:
            names.append(member.name.removeprefix("./"))
            if names[-1] == "md5sums" and (file := tar.extractfile(member)):
                listed = [line.partition("  ") for line in file.read().decode("utf-8", "replace").splitlines()]
                files = tuple(name.removeprefix("./") for _, _, name in listed if name)
            if names[-1] == "control" and (file := tar.extractfile(member)):
                lines = file.read().decode("utf-8", "replace").splitlines()
                fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(" "))
    missing = {"Package", "Version", "Architecture"} - fields.keys()
    if missing:
        raise ConfigurationError(f"{deb} is a damaged Debian package (no {', '.join(sorted(missing))}): fetch it again")
    scripts = tuple(name for name in _SCRIPTS if name in names)
    return Package(deb, fields["Package"], fields["Version"], fields["Architecture"], scripts, files)


def unpack(deb: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The regular files whose name (``usr/bin/busybox``: no leading ``./``) is ``wanted``, with their content.

    Nothing is written to disk. ``ConfigurationError`` if this is no Debian package, or a damaged one.
    """
    with _member(deb, "data.tar") as tar:
        for member in tar:
            name = member.name.removeprefix("./").lstrip("/")
            if member.isreg() and wanted(name) and (file := tar.extractfile(member)):
                yield name, file.read()


@contextmanager
def open_data(deb: Path) -> Iterator[TarFile]:
    """The archive of the files in a package, to be read from front to back. ``ConfigurationError`` as above."""
    with _member(deb, "data.tar") as tar:
        yield tar


@contextmanager
def _member(deb: Path, prefix: str) -> Iterator[TarFile]:
    try:
        raw = deb.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"{deb} cannot be read ({error.strerror}): give the path of a Debian package"
        ) from error
    with raw:
        if raw.read(len(_MAGIC)) != _MAGIC:
            raise ConfigurationError(f"{deb} is not a Debian package: give a file that ends in .deb")
        size = _seek(raw, deb, prefix)
        with open_tar(deb, raw, size) as tar:
            yield tar


def _seek(raw: IO[bytes], deb: Path, prefix: str) -> int:
    """Go to the first byte of a member; its size. Header: name 16, date 12, uid 6, gid 6, mode 8, size 10, end 2."""
    while len(header := raw.read(60)) == 60 and header[58:] == b"`\n":
        size = int(header[48:58])
        if header[:16].decode("ascii", "replace").strip().startswith(prefix):
            if raw.tell() + size <= deb.stat().st_size:
                return size
            break
        raw.seek(size + size % 2, 1)
    raise ConfigurationError(f"{deb} is a damaged Debian package (no complete {prefix}): fetch it again")

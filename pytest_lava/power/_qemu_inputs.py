"""What the state of a QEMU machine depends on: its program and command line, with contents in the place of files."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_lava.errors import ConfigurationError, PowerError
from pytest_lava.images.memo import sha256_of

__all__ = ["digest_of", "split", "unsplit"]

#: of these nothing is kept
_HARMLESS = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/kvm")
_SMALL = 1 << 20  # a smaller file is hashed each time: overlays that are made for one run only are among them
_QCOW2 = b"QFI\xfb"


def digest_of(argv: Sequence[str], folder: Path, cache: Path) -> str:
    """A hash of program, arguments and all that they name; relative paths start at ``folder``.

    The hashes of files are remembered in ``cache``. ``PowerError`` for a device or the like, which cannot be hashed.
    """
    digest = hashlib.sha256()
    try:
        for before, word in zip(("", *argv), argv, strict=False):
            for part in split(word):
                # the kernel's arguments name what is on the board
                said = part if before == "-append" else _meaning(part, folder, cache)
                digest.update(b"\0" + said.encode(errors="surrogateescape"))
            digest.update(b"\0\0")
        if any(word == "kvm" or word.startswith("kvm,") for word in argv):
            digest.update(_processor())
    except (OSError, ConfigurationError) as error:
        raise PowerError(f"the state of the machine depends on what cannot be read: {error}") from error
    return digest.hexdigest()


def split(word: str) -> list[str]:
    """``a=b,c=d,,e`` as QEMU reads it: ``a=b`` and ``c=d,e``."""
    return [part.replace("\0", ",") for part in word.replace(",,", "\0").split(",")]


def unsplit(parts: Sequence[str]) -> str:
    """The opposite of :func:`split`."""
    return ",".join(part.replace(",", ",,") for part in parts)


def _meaning(part: str, folder: Path, cache: Path) -> str:
    """``file=PATH`` as ``file=`` and a hash; what names no file as it is."""
    name, equals, value = part.partition("=")
    if not equals or (folder / part).exists():
        name, equals, value = "", "", part
    path = folder / value
    if not value or value in _HARMLESS or len(value) > 4000 or not path.exists():
        return part
    if path.is_file():
        return f"{name}{equals}{_content(path, cache)}"
    if path.is_dir():
        return f"{name}{equals}{_listing(path, cache)}" if value.startswith("/") else part
    if value.startswith("/"):
        raise PowerError(f"the state of the machine depends on {value}, which is no file")
    return part


def _listing(folder: Path, cache: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
        if path.is_file():
            digest.update(_content(path, cache).encode())
    return digest.hexdigest()


def _content(path: Path, cache: Path) -> str:
    """Hashes of a file and, if it is an overlay, of what lies below."""
    return ":".join(_hashed(file, cache) for file in _layers(path))


def _layers(path: Path) -> Iterator[Path]:
    while path.is_file():
        yield path
        with path.open("rb") as file:
            head = file.read(20)
            if len(head) < 20 or head[:4] != _QCOW2:
                return
            # docs/interop/qcow2.txt: bytes 8 to 15 are the offset of the backing file's name, 16 to 19 its length
            at, size = struct.unpack(">QI", head[8:])
            if not at:
                return
            file.seek(at)
            path = path.parent / os.fsdecode(file.read(size))


def _hashed(path: Path, cache: Path) -> str:
    if path.stat().st_size < _SMALL:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return sha256_of(path, cache)


def _processor() -> bytes:
    """What a guest under KVM sees of this machine's processor."""
    lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    names = (b"model name", b"flags", b"Features", b"CPU part", b"microcode")
    return b"\n".join(sorted({line for line in lines if line.startswith(names)}))

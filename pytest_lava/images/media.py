"""Boot media: file system images with kernel and friends on them, made without root and kept by content."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, InfrastructureError
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.memo import sha256_of
from pytest_lava.images.shelf import Shelf

__all__ = ["boot_medium", "sha256_of"]

#: part of every key: raise it when the same input gives another image
_RECIPE = "fat-1"
_MIB = 1 << 20
#: 1980-01-01, the first day FAT knows: images of the same files are the same bytes
_EPOCH = "315532800"
_SERIAL = "4c415641"
_LABEL = "LAVA"
#: seconds for making one image
_LIMIT = 300.0


def boot_medium(
    files: Mapping[str, Path], shelf: Shelf | None = None, *, fs: str = "fat", deadline: Deadline | None = None
) -> Path:
    """An image (no partition table) with ``files``: name on the medium (``Image``, ``dtbs/board.dtb``) -> file.

    The image is sized for its content, kept in the cache by the hash of its input, and must not be written to: boards
    get an overlay. Raises ``ConfigurationError`` for a file that cannot be read, a bad name, an unknown ``fs`` or
    missing mtools, ``InfrastructureError`` if mtools fails (a full disk).
    """
    if fs != "fat":
        raise ConfigurationError(f"boot media of type {fs!r} cannot be made: give fs = 'fat'")
    if not files:
        raise ConfigurationError("a boot medium needs at least one file")
    names = {_checked(name): path for name, path in files.items()}
    shelf = shelf or Shelf(cache_dir())
    digest = hashlib.sha256(_RECIPE.encode())
    for name in sorted(names):
        digest.update(f"\0{name}\0{sha256_of(names[name], shelf.folder)}".encode())
    deadline = deadline or Deadline.after(_LIMIT)
    key = f"{digest.hexdigest()[:40]}.fat"
    return shelf.make("media", key, lambda path: _make_fat(path, names, deadline), deadline=deadline)


def _checked(name: str) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or any(c in name for c in '\\:*?"<>|'):
        raise ConfigurationError(f"{name!r} cannot be the name of a file on a FAT boot medium")
    return str(path)


def _make_fat(target: Path, files: Mapping[str, Path], deadline: Deadline) -> None:
    # Clusters, two FATs and folders need some room beyond the content; 4 MiB is the least that FAT16 is happy with.
    content = sum(-(-path.stat().st_size // 8192) * 8192 for path in files.values())
    size = -(-(content + content // 64 + 4 * _MIB) // _MIB) * _MIB
    with target.open("wb") as image:
        image.truncate(size)
    _mtools(["mformat", "-i", str(target), "-N", _SERIAL, "-v", _LABEL, "::"], deadline)
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents if str(parent) != "."}
    for folder in sorted(folders):
        _mtools(["mmd", "-i", str(target), f"::{folder}"], deadline)
    for name in sorted(files):
        _mtools(["mcopy", "-i", str(target), str(files[name]), f"::{name}"], deadline)
    target.chmod(0o444)  # a board that wrote to it would change it for every later run


def _mtools(command: list[str], deadline: Deadline) -> None:
    if not shutil.which(command[0]):
        raise ConfigurationError(
            f"{command[0]} is needed to make a boot medium: install it (Debian: apt-get install mtools)"
        )
    environment = os.environ | {"MTOOLS_SKIP_CHECK": "1", "SOURCE_DATE_EPOCH": _EPOCH}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=deadline.remaining(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"{command[0]} did not end in time while making a boot medium") from None
    if done.returncode:
        why = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise InfrastructureError(f"{command[0]} could not make the boot medium: {why[0]}", evidence=done.stderr)

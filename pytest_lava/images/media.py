"""Boot media: file system images with kernel and friends on them, made without root and kept by content."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, InfrastructureError, first_line
from pytest_lava.images.memo import sha256_of
from pytest_lava.images.shelf import Shelf
from pytest_lava.programs import run

__all__ = ["boot_medium", "sha256_of"]

#: part of every key: raise it when the same input gives another image
_RECIPES = {"fat": "fat-1", "ext4": "ext4-1"}
_MIB = 1 << 20
#: 1980-01-01, the first day FAT knows: images of the same files are the same bytes
_EPOCH = "315532800"
_SERIAL = "4c415641"
_UUID = "4c415641-0000-4000-8000-4c4156410000"
_LABEL = "LAVA"
#: seconds for making one image
_LIMIT = 300.0


def boot_medium(files: Mapping[str, Path], shelf: Shelf, *, fs: str = "fat", deadline: Deadline | None = None) -> Path:
    """An image (no partition table) with ``files``: name on the medium (``Image``, ``dtbs/board.dtb``) -> file.

    ``fs`` is ``fat`` (made by mtools) or ``ext4`` (by mke2fs, without a journal, all readable for everybody). The
    image is sized for its content, kept in the cache by the hash of its input, and must not be written to: boards get
    an overlay. Raises ``ConfigurationError`` for a file that cannot be read, a bad name, an unknown ``fs`` or a missing
    program, ``InfrastructureError`` if that fails (a full disk).
    """
    if fs not in _MAKERS:
        raise ConfigurationError(f"boot media of type {fs!r} cannot be made: give fs = 'fat' or 'ext4'")
    if not files:
        raise ConfigurationError("a boot medium needs at least one file")
    names = {_checked(name): path for name, path in files.items()}
    digest = hashlib.sha256(_RECIPES[fs].encode())
    for name in sorted(names):
        digest.update(f"\0{name}\0{sha256_of(names[name], shelf.folder)}".encode())
    deadline = deadline or Deadline.after(_LIMIT)
    key = f"{digest.hexdigest()[:40]}.{fs}"
    return shelf.make("media", key, lambda path: _MAKERS[fs](path, names, deadline), deadline=deadline)


def _checked(name: str) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or any(c in name for c in '\\:*?"<>|'):
        raise ConfigurationError(f"{name!r} cannot be the name of a file on a boot medium")
    return str(path)


def _make_fat(target: Path, files: Mapping[str, Path], deadline: Deadline) -> None:
    # Clusters, two FATs and folders need some room beyond the content; 4 MiB is the least that FAT16 is happy with.
    content = sum(-(-path.stat().st_size // 8192) * 8192 for path in files.values())
    size = -(-(content + content // 64 + 4 * _MIB) // _MIB) * _MIB
    with target.open("wb") as image:
        image.truncate(size)
    _run(["mformat", "-i", str(target.absolute()), "-N", _SERIAL, "-v", _LABEL, "::"], deadline, target.parent)
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents if str(parent) != "."}
    for folder in sorted(folders):
        _run(["mmd", "-i", str(target.absolute()), f"::{folder}"], deadline, target.parent)
    for name in sorted(files):
        _run(["mcopy", "-i", str(target.absolute()), str(files[name].absolute()), f"::{name}"], deadline, target.parent)
    target.chmod(0o444)  # a board that wrote to it would change it for every later run


def _make_ext4(target: Path, files: Mapping[str, Path], deadline: Deadline) -> None:
    tree = target.with_name(f"{target.name}.tree")  # swept with its image, should we be killed
    try:
        for name, path in files.items():
            place = tree / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            place.chmod(0o644)
            os.utime(place, (int(_EPOCH), int(_EPOCH)))
        # Blocks of 4 KiB; inodes, bitmaps and folders need some room beyond the content.
        content = sum(-(-path.stat().st_size // 4096) * 4096 + 8192 for path in files.values())
        size = -(-(content + content // 32 + 2 * _MIB) // _MIB)
        # U-Boot reads without a journal; what a kernel of 2026 makes by default, an old U-Boot may not know.
        command = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum,^64bit,^orphan_file", "-b", "4096"]
        command += ["-U", _UUID, "-L", _LABEL, "-m", "0", "-E", f"hash_seed={_UUID},root_owner=0:0"]
        _run([*command, "-d", str(tree.absolute()), str(target.absolute()), f"{size}M"], deadline, target.parent)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    target.chmod(0o444)


def _run(command: list[str], deadline: Deadline, folder: Path) -> None:
    more = {"MTOOLS_SKIP_CHECK": "1", "SOURCE_DATE_EPOCH": _EPOCH, "E2FSPROGS_FAKE_TIME": _EPOCH}
    done = run(command, deadline, cwd=folder, more=more, purpose="to make a boot medium")
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace")
        why = first_line(said, f"exit status {done.returncode}")
        raise InfrastructureError(f"{command[0]} could not make the boot medium: {why}", evidence=said)


_MAKERS = {"fat": _make_fat, "ext4": _make_ext4}

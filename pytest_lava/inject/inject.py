"""From an image and what goes into it to an image that has it: made once, kept by the hash of all that went in.

The user's own files are only read. What is edited is a copy in the cache, under its final name only when complete.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import DiskFull, InfrastructureError, InjectFailed
from pytest_lava.images.cache import FULL
from pytest_lava.images.deb import read_package
from pytest_lava.images.memo import sha256_of
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import Addition, identity
from pytest_lava.inject.copying import copy_sparse
from pytest_lava.inject.disks import Volume
from pytest_lava.inject.entries import Entry, Staging, entries_of
from pytest_lava.inject.ext4 import Ext4
from pytest_lava.inject.fat import Fat
from pytest_lava.inject.filesystem import Editable, NotEditable
from pytest_lava.inject.modules import with_depmod
from pytest_lava.inject.placing import place
from pytest_lava.inject.ramfs import Ramfs
from pytest_lava.programs import run

__all__ = ["Injected", "expand", "has_dpkg", "inject", "open_volume", "raw_copy"]

#: part of every key: raise it when the same input gives another image
_RECIPE = "inject-1"
#: part of every key too: what was not forced to the disk may not have survived a crash of this machine, and making an
#: image once more costs less than either forcing or reading it
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: seconds for making one image
_LIMIT = 900.0
_PACKAGES = "var/cache/pytest-lava"


@dataclass(frozen=True)
class Injected:
    """An image with everything in it. ``packages`` lie in it (paths on the board) to be installed by the board's own
    dpkg once it has booted; ``remarks`` say what the file system could not hold."""

    path: Path
    packages: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def inject(
    base: Path, volume: Volume, additions: Sequence[Addition], shelf: Shelf, *, deadline: Deadline | None = None
) -> Injected:
    """A copy of ``base`` with the additions in its ``volume``, made if it is not in the cache yet.

    ``NotEditable`` if that cannot be edited; ``InjectFailed`` if something does not fit or stands in the way;
    ``ConfigurationError`` for a damaged addition or a missing program; ``InfrastructureError``.
    """
    deadline = deadline or Deadline.after(_LIMIT)
    words = [_RECIPE, sha256_of(base, shelf.folder), str(volume.offset)]
    words += [identity(addition, shelf.folder) for addition in additions]
    words.append(_BOOT_ID.read_text())
    key = hashlib.sha256("\0\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:40]

    def make(folder: Path) -> None:
        try:
            folder.mkdir()
            made = _edit(base, volume, additions, folder, deadline)
            (folder / "about.json").write_text(json.dumps(asdict(made) | {"path": made.path.name}))
        except OSError as error:
            where = error.filename or folder
            kind = DiskFull if error.errno in FULL else InfrastructureError
            raise kind(
                f"{base.name} cannot be edited in the cache: {where}: {error.strerror}; free some space there, or give "
                "--lava-cache another folder"
            ) from error

    name = f"{base.name} with {len(additions)} additions"
    folder = shelf.make("injected", key, make, name=name, deadline=deadline, summed=False)
    about = json.loads((folder / "about.json").read_text())
    return Injected(folder / about["path"], tuple(about["packages"]), tuple(about["remarks"]))


def raw_copy(image: Path, shelf: Shelf, deadline: Deadline | None = None) -> Path:
    """A disk of QEMU's format as a plain one, in the cache. ``InjectFailed`` if it cannot be read."""
    limit = deadline or Deadline.after(_LIMIT)

    def make(raw: Path) -> None:
        done = run(["qemu-img", "convert", "-O", "raw", str(image), raw.name], limit, cwd=raw.parent)
        if done.returncode:
            why = done.stderr.decode("utf-8", "replace").strip()
            raise InjectFailed(f"{image.name} cannot be read: {why or 'qemu-img failed'}", evidence=why)

    return shelf.make("injected", f"{sha256_of(image, shelf.folder)[:40]}.raw", make, name=image.name, deadline=limit)


def open_volume(image: Path, volume: Volume, name: str, deadline: Deadline) -> Editable:
    """The file system in it. ``NotEditable`` if there is none that can be edited."""
    label = f"{name}, {volume.label}" if volume.partition else name
    match volume.kind:
        case "ext4":
            return Ext4(image, volume.offset, label, deadline, grows=volume.partition == 0)
        case "fat":
            return Fat(image, volume.offset, label, deadline)
        case "cpio":
            return Ramfs(image, label)
    raise NotEditable(f"{label} cannot be edited")


def has_dpkg(system: Editable) -> bool:
    """Whether the board has Debian's package manager with its list of packages."""
    folders = system.listings([""])[""]
    for step, found in (("var", "var"), ("var/lib", "lib"), ("var/lib/dpkg", "dpkg")):
        if (node := folders.get(found)) is None or node.kind != "folder":
            return False
        folders = system.listings([step])[step]
    return "status" in folders


def expand(additions: Sequence[Addition], staging: Staging, *, dpkg: bool) -> tuple[list[Entry], list[str], list[str]]:
    """All entries; packages that the board's dpkg is to install, by their paths on the board; remarks."""
    entries: list[Entry] = []
    packages: list[str] = []
    remarks: list[str] = []
    for addition in additions:
        if addition.kind != "deb":
            entries += entries_of(addition, staging)
        elif dpkg:
            entry = _package(addition)
            entries.append(entry)
            packages.append(f"/{entry.path}")
        else:
            entries += with_depmod(entries_of(addition, staging), staging)
            remarks += _scripts(addition)
    return entries, packages, remarks


def _edit(base: Path, volume: Volume, additions: Sequence[Addition], folder: Path, deadline: Deadline) -> Injected:
    image = folder / ("initrd.img" if volume.kind == "cpio" else "image.img")
    copy_sparse(base, image)
    system = open_volume(image, volume, base.name, deadline)
    if isinstance(system, Ext4):
        system.prepare()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".staging-") as staging:
        entries, packages, remarks = expand(additions, Staging(Path(staging)), dpkg=has_dpkg(system))
        remarks += system.apply(place(entries, system))
    image.chmod(0o444)  # boards get overlays: one that wrote to it would change it for every later run
    return Injected(image, tuple(packages), tuple(remarks))


def _package(addition: Addition) -> Entry:
    """The package itself, for the board's dpkg: its name says which of several it is."""
    package, size = read_package(addition.source), addition.source.stat().st_size
    name = f"{package.name}_{package.version}_{package.architecture}.deb".replace("/", "%2f")
    return Entry(f"{_PACKAGES}/{name}", "file", 0o644, content=addition.source, size=size)


def _scripts(addition: Addition) -> Iterator[str]:
    scripts = read_package(addition.source).scripts
    if scripts:
        yield f"{addition.option}: there is no dpkg on the board, so nothing runs its {', '.join(scripts)}"

"""Kernel modules as a folder that a board can be given: unpacked, with the tables that modprobe reads.

The tables are depmod's (kmod) where that is installed; else ``modules.dep`` alone, which busybox's modprobe reads too,
made of what each module says in its ``.modinfo`` section (``depends=``).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, InfrastructureError, first_line
from pytest_lava.images.cpio import module_files, placed_module
from pytest_lava.images.deb import is_deb, unpack
from pytest_lava.images.kernel_parts import Workshop
from pytest_lava.images.module_strip import without_debug
from pytest_lava.images.unpack import Damaged, packing_of, unpacked
from pytest_lava.programs import find, run

__all__ = ["add_module", "index", "modules_of", "releases", "write_dependencies", "write_module"]

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_PACKED = (".ko.xz", ".ko.gz", ".ko.zst")
#: tables that depmod makes; what modules_install copied (order, builtin) stays
_MADE = re.compile(r"modules\.(dep|alias|symbols|softdep|devname|builtin\.alias|weakdep)(\.bin)?|modules\.builtin\.bin")
#: part of every key: raise it when the same input gives another tree
_RECIPE = "modules-2"


def modules_of(source: Path, sha256: str, workshop: Workshop) -> Path:
    """The modules in ``source``: a tarball or package with this checksum, or (without one) a folder.

    Returns a folder with ``lib/modules/RELEASE``. ``ConfigurationError`` if there are no modules in it.
    """
    own = sha256 or _identity(source)

    def make(target: Path) -> None:
        for name, content in _files(source):
            add_module(target, name, content, keep_debug=workshop.keep_debug)
        if not releases(target):
            raise ConfigurationError(
                f"there is no lib/modules/RELEASE in {source}: give what 'make modules_install INSTALL_MOD_PATH=DIR' "
                "made, as a folder or tarball"
            )
        index(target, workshop.deadline)

    name = f"modules of {source.name}"
    return workshop.shelf.make("kernels", workshop.key(_RECIPE, own), make, name=name, deadline=workshop.deadline)


def releases(tree: Path) -> list[str]:
    """The kernel releases that a folder has modules for."""
    return sorted(path.name for path in (tree / "lib" / "modules").glob("*") if path.is_dir())


def add_module(tree: Path, name: str, content: bytes | str, *, keep_debug: bool = False) -> None:
    """Put a file below ``lib/modules``; ``name`` begins with the release, ``content`` is text for a link.

    A packed module is unpacked, since not every modprobe could; tables are left out, since they are made anew. Of a
    name that comes twice the last one counts, as with tar. ``ConfigurationError`` for what cannot stand there.
    """
    if _MADE.fullmatch(PurePosixPath(name).name):
        return
    path = tree / "lib" / "modules" / name
    if not path.resolve().is_relative_to(tree.resolve()):
        raise ConfigurationError(f"the name {name} leads out of the archive: pack it again")
    if isinstance(content, bytes) and name.endswith(_PACKED):
        path, content = path.with_suffix(""), _unpacked(name, content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ConfigurationError(f"{name} is a file and a folder at once: pack it again") from error
    if isinstance(content, str):
        path.symlink_to(content)
    else:
        write_module(path, content, keep_debug=keep_debug)


def write_module(path: Path, content: bytes | memoryview, *, keep_debug: bool = False) -> None:
    """Write a new file; without debugging information, if it is a module and unless that is to be kept. ``OSError``."""
    smaller = None if keep_debug or path.suffix != ".ko" else without_debug(content)
    with path.open("wb") as out:
        out.writelines(smaller or (content,))


def index(tree: Path, deadline: Deadline) -> None:
    """Make the tables of each release in the tree. ``InfrastructureError`` if depmod fails."""
    for release in releases(tree):
        if find("depmod") is None:
            write_dependencies(tree / "lib" / "modules" / release)
            continue
        purpose = f"for the modules of {release}"
        done = run(["depmod", "-b", str(tree.absolute()), release], deadline, cwd=tree, purpose=purpose)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace")
            why = first_line(said, f"exit status {done.returncode}")
            raise InfrastructureError(f"depmod failed for the modules of {release}: {why}", evidence=said)


def _files(source: Path) -> Iterator[tuple[str, bytes | str]]:
    if source.is_file() and is_deb(source):
        for name, data in unpack(source, lambda name: placed_module(name) is not None):
            yield str(placed_module(name)), data
        return
    for name, _, content in module_files(source):
        if content is not None:
            yield name, content


def _unpacked(name: str, data: bytes) -> bytes:
    stream = memoryview(data)
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        piece = bytes(stream[at : at + size])
        at += len(piece)
        return piece

    try:
        return b"".join(unpacked(packing_of(data[:8]), read))
    except Damaged as error:
        raise ConfigurationError(f"the kernel module {name} is damaged ({error}): pack it again") from error


def write_dependencies(folder: Path) -> None:
    """Make ``modules.dep`` of a release without depmod: for each module all it needs, to be loaded from the right."""
    paths = {path.stem.replace("-", "_"): path for path in sorted(folder.rglob("*.ko"))}
    direct = {name: _depends(path) for name, path in paths.items()}

    def needs(name: str, seen: dict[str, None]) -> Iterable[str]:
        for need in direct.get(name, ()):
            if need in paths and need not in seen:
                needs(need, seen)
                seen[need] = None
        return reversed(seen)

    lines = [
        f"{path.relative_to(folder)}: {' '.join(str(paths[need].relative_to(folder)) for need in needs(name, {}))}"
        for name, path in paths.items()
    ]
    (folder / "modules.dep").write_text("".join(f"{line.rstrip()}\n" for line in lines))


def _depends(module: Path) -> list[str]:
    match = _DEPENDS.search(module.read_bytes())
    return [need.replace("-", "_") for need in match[1].decode().split(",") if need] if match else []


def _identity(folder: Path) -> str:
    """Of a folder: names, sizes and times of what is in it."""
    digest = hashlib.sha256(os.fsencode(folder.resolve()))
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        digest.update(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()

"""Kernels out of whatever they are packed in: gzip, bzip2, xz, zstd, lz4, an EFI zboot image; packages and tarballs.

Formats: zboot: drivers/firmware/efi/libstub/zboot-header.S of the kernel (magic ``zimg`` at 4, offset and size of the
payload at 8 and 12); lz4: the frame format, and the legacy one that kernels are packed in (lz4 -l).
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, ToolMissing
from pytest_lava.images.cpio import open_tar, placed_module
from pytest_lava.images.deb import is_deb, unpack
from pytest_lava.images.module_tree import add_module, index, releases
from pytest_lava.images.shelf import Shelf
from pytest_lava.images.unpack import Damaged, at_most, packing_of, unpacked

__all__ = ["Collected", "collect", "device_trees", "head_of", "is_packed", "plain_kernel"]

_HEAD = 0x10000
_PIECE = 1 << 20
_LZ4 = (b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")
#: kernels as packages, tar-pkg and builds name them; not debugging information
_KERNEL = re.compile(r"(?:.*/)?(?:vmlinuz(?:-[^/]+)?|(?:Image|bzImage|zImage|uImage|kernel)(?:[.-][^/]+)?)")
_NO_KERNEL = re.compile(r"(?:usr/)?lib/|(?:.*/)?\.|.*\.(?:dtb|sig|asc|sha256|txt|json|efi\.signed)$")
_DTB = re.compile(r"(?:.*?/)?(?:linux-image-[^/]+|device-tree|dtbs?/\d[^/]*|dtbs?)/(.+\.dtbo?)|(?:.*/)?([^/]+\.dtbo?)")


class Collected:
    """A folder that :func:`collect` filled."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "facts.json").read_bytes())
        self.kernel = folder / "kernel"
        self.modules = folder / "modules" if facts["modules"] else None
        self.dtbs = folder / "dtbs" if facts["dtbs"] else None
        self.release = str(facts["release"]) or None


def collect(source: Path, target: Path, deadline: Deadline, *, keep_debug: bool = False) -> None:
    """Take kernel, modules and device trees out of a Debian package or tarball into the new folder ``target``.

    ``keep_debug``: modules keep their debugging information. ``ConfigurationError`` if there is no kernel in it, or
    several.
    """
    target.mkdir()
    kernels: list[str] = []
    for name, content in _files(source):
        if "lib/modules/" in name:
            if (module := placed_module(name)) is not None:
                add_module(target / "modules", module, content, keep_debug=keep_debug)
        elif isinstance(content, str):
            continue
        elif match := _DTB.fullmatch(name):
            path = target / "dtbs" / (match[1] or match[2])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        elif _KERNEL.fullmatch(name) and not _NO_KERNEL.match(name):
            kernels.append(name)
            (target / f"kernel-{len(kernels)}").write_bytes(content)
    chosen = _choose(source, kernels)
    for number, name in enumerate(kernels, 1):
        packed = target / f"kernel-{number}"
        if name == chosen:
            with (target / "kernel").open("wb") as out:
                out.writelines(plain_kernel(packed, deadline))
        packed.unlink()
    index(target / "modules", deadline)
    found = releases(target / "modules")
    told = re.fullmatch(r"vmlinuz-(\d+\.\d+.*)", PurePosixPath(chosen).name)
    facts = {
        "kernel": chosen,
        "modules": bool(found),
        "dtbs": (target / "dtbs").is_dir(),
        "release": told[1] if told else found[0] if len(found) == 1 else "",
    }
    (target / "facts.json").write_text(json.dumps(facts))


def device_trees(source: Path, sha256: str, shelf: Shelf, deadline: Deadline) -> Path:
    """A folder with the device trees in a tarball. ``ConfigurationError`` if there are none."""

    def make(target: Path) -> None:
        for name, content in _files(source):
            if isinstance(content, bytes) and (match := _DTB.fullmatch(name)):
                path = target / (match[1] or match[2])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        if not target.exists():
            raise ConfigurationError(f"there are no device trees (*.dtb) in {source}")

    return shelf.make("kernels", f"dtbs-{sha256[:40]}", make, name=source.name, deadline=deadline)


def is_packed(head: bytes) -> bool:
    """Whether a file that begins so is a kernel (or archive) in some packing."""
    return bool(packing_of(head)) or head.startswith(_LZ4) or head[4:8] == b"zimg"


def plain_kernel(path: Path, deadline: Deadline) -> Iterator[bytes]:
    """The file without what it is packed in, several layers if need be. ``ConfigurationError`` if it is damaged."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[4:8] == b"zimg":
        yield from _zboot(path, head)
        return
    if head.startswith(_LZ4):
        yield from _lz4(path, deadline)
        return
    with path.open("rb") as file:
        try:
            yield from unpacked(packing_of(head), file.read)
        except Damaged as error:
            raise ConfigurationError(f"{path} cannot be unpacked ({error}): copy or build it again") from error


def head_of(path: Path, deadline: Deadline) -> bytes:
    """The first bytes (64 KiB at most) of what is in a packed file."""
    head = b""
    pieces = plain_kernel(path, deadline)
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    return head[:_HEAD]


def _files(source: Path) -> Iterator[tuple[str, bytes | str]]:
    """Regular files, and links among the modules (their text)."""
    if is_deb(source):
        yield from unpack(source, lambda name: name.startswith("boot/") or "lib/modules/" in name or ".dtb" in name)
        return
    with open_tar(source) as tar:
        for member in tar:
            name = member.name.removeprefix("./").lstrip("/")
            if member.issym():
                yield name, member.linkname
            elif member.isreg() and (file := tar.extractfile(member)):
                yield name, file.read()


def _choose(source: Path, kernels: list[str]) -> str:
    """Of ``boot/vmlinuz-X`` and copies of it elsewhere the first; several others are a doubt."""
    if not kernels:
        if is_deb(source):
            raise ConfigurationError(
                f"{source} has no boot/vmlinuz in it: give the package of one kernel (linux-image-6...), not the one "
                "that only depends on it, and none of headers or debugging information"
            )
        raise ConfigurationError(
            f"{source} has no kernel in it (vmlinuz, Image, bzImage, zImage): give what 'make tar-pkg' made"
        )
    best = [name for name in kernels if PurePosixPath(name).name.startswith("vmlinuz")] or kernels
    if len(best) > 1:
        raise ConfigurationError(
            f"{source} has several kernels ({', '.join(best[:4])}): name one, as {source.name}#member={best[0]}"
        )
    return best[0]


def _zboot(path: Path, head: bytes) -> Iterator[bytes]:
    offset, size = struct.unpack_from("<II", head, 8)
    word = head[0x18:0x38].split(b"\0")[0].decode("ascii", "replace")
    if offset + size > path.stat().st_size:
        raise ConfigurationError(f"{path} is an EFI zboot image that was cut short: copy or build it again")
    with path.open("rb") as file:
        file.seek(offset)
        start = file.read(8)
        if not packing_of(start):
            raise ConfigurationError(
                f"{path} is an EFI zboot image packed with {word}: give the Image it was made from"
            )
        file.seek(offset)
        try:
            yield from unpacked(packing_of(start), at_most(file, size))
        except Damaged as error:
            raise ConfigurationError(f"{path} cannot be unpacked ({error}): copy or build it again") from error


def _lz4(path: Path, deadline: Deadline) -> Iterator[bytes]:
    program = shutil.which("lz4")
    if program is None:
        raise ToolMissing(f"{path} is packed with lz4: install the program lz4 (Debian: apt-get install lz4)")
    with subprocess.Popen(
        [program, "-dcq", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            while data := child.stdout.read(_PIECE):
                yield data
            why = child.stderr.read().decode(errors="replace").strip().splitlines()
            if child.wait(max(1.0, deadline.remaining())):
                raise ConfigurationError(f"{path} cannot be unpacked ({(why or ['lz4 failed'])[-1]}): build it again")
        finally:
            child.kill()

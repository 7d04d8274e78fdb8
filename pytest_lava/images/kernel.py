"""What a kernel file is: its packaging, its architecture, its release; and a plain sentence when it is something else.

Formats: arm64 ``Image``: Documentation/arch/arm64/booting.rst; RISC-V: Documentation/arch/riscv/boot-image-header.rst;
``bzImage``: Documentation/arch/x86/boot.rst; arm ``zImage``: arch/arm/boot/compressed/head.S; ``uImage``:
include/image.h of U-Boot; FIT: the Flattened Image Tree specification, a device tree in the format of the Devicetree
Specification, chapter 5.
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.memo import remembered, sha256_of

__all__ = ["KernelFile", "architecture_of", "inspect"]

#: part of the remembered fact's name: raise it when the answer for the same file changes
_VERSION = 4
_HEAD = 0x10000
_CHUNK = 1 << 20
_WANTED = "give Image, bzImage or zImage"
#: init/version.c: release (who built it) (compiler) #1 SMP and so on, which ``uname -v`` tells
_BANNER = re.compile(rb"Linux version (\d+\.\d+[^\s\0]*) (?:\([^\n\0]*\) (#\d[^\n\0]*)\n)?")

_UIMAGE_ARCHITECTURES = {2: "arm", 3: "x86", 5: "mips", 7: "powerpc", 22: "arm64", 24: "x86_64", 26: "riscv64"}
_UIMAGE_TYPES = {3: "ramdisk", 4: "multi-file image", 5: "firmware", 6: "script", 7: "file system", 8: "device tree"}
_FIT_ARCHITECTURES = {"riscv": "riscv64", "ppc": "powerpc"}

#: (offset, magic, what it is, what to do)
_STRANGERS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89PNG", "a PNG picture", _WANTED),
    (0, b"\xff\xd8\xff", "a JPEG picture", _WANTED),
    (0, b"GIF8", "a GIF picture", _WANTED),
    (0, b"%PDF", "a PDF document", _WANTED),
    (0, b"\x7fELF", "an ELF file (a vmlinux or a module)", "give arch/.../boot/Image, bzImage or zImage"),
    (
        0, b"!<arch>\ndebian-binary", "a Debian package",
        "give it as it is, not packed",
    ),
    (
        0, b"\xed\xab\xee\xdb", "an RPM package",
        "unpack it with rpm2cpio and give its vmlinuz",
    ),
    (0, b"ANDROID!", "an Android boot image", "unpack it with unpack_bootimg and give the kernel in it"),
    (4, b"zimg", "an EFI zboot image", "give it as it is, not packed"),
    (0, b"070701", "a cpio archive (an initramfs)", "give it as initrd="),
    (0, b"PK\x03\x04", "a zip archive", "name the file in it, as FILE.zip#member=NAME"),
    (0, b"\xfd7zXZ\0", "packed with xz", "unpack it with unxz and give the kernel in it"),
    (0, b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it with unzstd and give the kernel in it"),
    (0, b"\x04\x22\x4d\x18", "packed with lz4", "unpack it with unlz4 and give the kernel in it"),
    (0, b"BZh", "packed with bzip2", "unpack it with bunzip2 and give the kernel in it"),
    (0, b"QFI\xfb", "a qcow2 disk image", "give it as --image"),
    (0, b"hsqs", "a squashfs file system", "give it as --image"),
    (257, b"ustar", "a tar archive", "give it as it is, not packed twice"),
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system", "give it as --image"),
    (0, b"MZ", "an EFI program", _WANTED),
)  # fmt: skip


#: release and build
_Names = tuple[str | None, str | None]
_NAMELESS: _Names = (None, None)
_LONGEST = 1024  # bytes of a banner


@dataclass(frozen=True)
class KernelFile:
    """A kernel as it was given: ``kind`` is Image, Image.gz, bzImage, zImage, uImage or FIT, ``arch`` a name as board
    files use it (arm64, arm, x86_64, x86, riscv64, mips, powerpc; for a uImage or FIT of another one, its own word),
    ``release`` and ``build`` what ``uname -r`` and ``uname -v`` will say, or None where the file does not tell,
    ``sha256`` the file's checksum.
    """

    path: Path
    kind: str
    arch: str
    release: str | None
    sha256: str
    build: str | None = None


class _NotAKernel(Exception):
    """``NAME is {what}, not a kernel: {advice}``."""

    def __init__(self, what: str, advice: str = _WANTED) -> None:
        super().__init__(what)
        self.what, self.advice = what, advice


def inspect(path: Path, cache: Path, *, option: str = "--kernel") -> KernelFile:
    """Look into a kernel file. Answers are remembered in ``cache`` as long as the file stays the same.

    Raises ``ConfigurationError`` with one sentence, beginning with ``option`` and the path, for anything that is not
    a kernel that a boot loader takes.
    """
    if not path.exists():
        raise ConfigurationError(f"{option} {path}: there is no such file; give the path of a kernel image")
    if path.is_dir():
        raise ConfigurationError(
            f"{option} {path} is a folder: give the kernel image in it, such as arch/arm64/boot/Image"
        )
    if not path.is_file():
        raise ConfigurationError(f"{option} {path} is not a regular file: {_WANTED}")
    try:
        facts = remembered(path, f"kernel{_VERSION}", _look, cache)
    except _NotAKernel as error:
        raise ConfigurationError(f"{option} {path} is {error.what}, not a kernel: {error.advice}") from None
    return KernelFile(path, facts["kind"], facts["arch"], facts["release"], sha256_of(path, cache), facts["build"])


def architecture_of(head: bytes, path: Path) -> str:
    """Of a kernel that begins so, unpacked from ``path``; ``""`` if only the whole of it tells.

    Raises ``ConfigurationError`` if this is no kernel.
    """
    if head[:4] == b"\xd0\x0d\xfe\xed":
        return ""
    if head[0x202:0x206] == b"HdrS":
        return "x86_64" if _word(head, 0x206, "<H") >= 0x20C and _word(head, 0x236, "<H") & 1 else "x86"
    if _word(head, 0x24, "<I") == 0x016F2818:
        return "arm"
    if flat := _flat_image(head):
        return flat
    try:
        return _uimage(head)[1] if head[:4] == b"\x27\x05\x19\x56" else _refused(head)
    except _NotAKernel as error:
        raise ConfigurationError(f"--kernel {path} holds {error.what}, not a kernel: {error.advice}") from None


def _refused(head: bytes) -> str:
    raise _NotAKernel(*_stranger(head))


def _look(path: Path) -> dict[str, str | None]:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise _NotAKernel("empty", "build it again, or give another file")
    kind, arch, (release, build) = _kernel(path, head)
    return {"kind": kind, "arch": arch, "release": release, "build": build}


def _kernel(path: Path, head: bytes) -> tuple[str, str, _Names]:
    if path.stat().st_size < _promised(head):
        raise _NotAKernel("a kernel image that was cut short", "copy or build it again")
    flat = _flat_image(head)
    if flat:
        return "Image", flat, _banner(_file(path))
    if head[0x1FE:0x200] == b"\x55\xaa" and head[0x202:0x206] == b"HdrS":
        return _bzimage(path, head)
    if _word(head, 0x24, "<I") == 0x016F2818:
        return "zImage", "arm", _packed_banner(path)
    if head[:4] == b"\x27\x05\x19\x56":
        return _uimage(head)
    if head[:4] == b"\xd0\x0d\xfe\xed":
        return "FIT", _fit_architecture(path.read_bytes()), _NAMELESS
    if head[:2] == b"\x1f\x8b":
        return _gzipped(path)
    raise _NotAKernel(*_stranger(head))


def _promised(head: bytes) -> int:
    """Bytes that the file has at least, as its header says: the sections of the EFI program that kernels are too
    (Microsoft PE and COFF, section table), the end of a zImage, ih_size of a uImage."""
    if head[:4] == b"\x27\x05\x19\x56" and len(head) >= 64:
        return 64 + _word(head, 12, ">I")
    if _word(head, 0x24, "<I") == 0x016F2818:
        return _word(head, 0x2C, "<I") - _word(head, 0x28, "<I")
    at = _word(head, 0x3C, "<I")
    if head[:2] != b"MZ" or head[at : at + 4] != b"PE\0\0":
        return 0
    table = at + 24 + _word(head, at + 20, "<H")
    rows = range(table, table + 40 * _word(head, at + 6, "<H"), 40)
    return max((_word(head, row + 16, "<I") + _word(head, row + 20, "<I") for row in rows), default=0)


def _flat_image(head: bytes) -> str | None:
    if head[0x38:0x3C] == b"ARM\x64":
        return "arm64"
    return "riscv64" if head[0x38:0x3C] == b"RSC\x05" else None


def _bzimage(path: Path, head: bytes) -> tuple[str, str, _Names]:
    """Setup header: protocol at 0x206, kernel_version at 0x20e (offset from 0x200), xloadflags at 0x236 (2.12)."""
    protocol = _word(head, 0x206, "<H")
    flags = _word(head, 0x236, "<H") if protocol >= 0x20C else 0
    start = _word(head, 0x20E, "<H")
    text = head[0x200 + start :].split(b"\0", 1)[0] if start else b""
    said = text.decode("ascii", "replace")
    words, build = said.split(), said.find("#")
    if path.stat().st_size < (head[0x1F1] or 4) * 512 + 512:
        raise _NotAKernel("a bzImage that was cut short", "copy or build it again")
    return (
        "bzImage",
        "x86_64" if flags & 1 else "x86",
        (words[0] if words else None, said[build:] if build > 0 else None),
    )


def _uimage(head: bytes) -> tuple[str, str, _Names]:
    """Legacy header of U-Boot, big endian: ih_arch at 29, ih_type at 30, ih_name (32 bytes) at 32."""
    if len(head) < 64:
        raise _NotAKernel("a uImage that was cut short", "copy or build it again")
    arch, kind = head[29], head[30]
    if kind not in (2, 14):  # IH_TYPE_KERNEL, IH_TYPE_KERNEL_NOLOAD
        raise _NotAKernel(f"a U-Boot image of a {_UIMAGE_TYPES.get(kind, f'thing of type {kind}')}")
    name = re.search(rb"\d+\.\d+[^\s\0]*", head[32:64])
    return (
        "uImage",
        _UIMAGE_ARCHITECTURES.get(arch, f"u-boot-{arch}"),
        (name[0].decode("ascii", "replace") if name else None, None),
    )


def _gzipped(path: Path) -> tuple[str, str, _Names]:
    stream = _gunzip(_file(path))
    flat = _flat_image(next(stream, b""))
    if not flat:
        raise _NotAKernel(
            "packed with gzip and no arm64 or RISC-V Image is in it", "unpack it and give the kernel in it"
        )
    return "Image.gz", flat, _banner(_gunzip(_file(path)))


def _stranger(head: bytes) -> tuple[str, str]:
    for offset, magic, what, advice in _STRANGERS:
        if head[offset : offset + len(magic)] == magic:
            return what, advice
    if not head.strip(b"\0"):
        return "full of zeros", "copy or build it again"
    text = head[:4096]
    if not any(byte < 9 or 13 < byte < 27 or byte == 127 for byte in text):
        return "a text file", _WANTED
    return "something I do not know", _WANTED


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            yield unpacker.decompress(chunk)
    except zlib.error:
        return  # what follows is no gzip, or it is damaged: the caller judges by what came out


def _banner(chunks: Iterator[bytes]) -> _Names:
    """What is in the kernel's ``linux_banner``, as init/version.c has it.

    The first one that is there may be without the number of the build (``# SMP``), which is added last.
    """
    release, rest = None, b""
    for chunk in chunks:
        window = rest + chunk
        for match in _BANNER.finditer(window):
            release = release or match[1].decode("ascii", "replace")
            if match[2]:
                return release, match[2].decode("ascii", "replace")
        rest = window[-_LONGEST:]
    return release, None


def _packed_banner(path: Path) -> _Names:
    """Arm's zImage holds the kernel packed: gzip and xz can be opened here, of others the release is not known."""
    data = path.read_bytes()
    start = data.find(b"\x1f\x8b\x08")
    if start >= 0 and (found := _banner(_gunzip(iter([data[start:]])))) != _NAMELESS:
        return found
    for magic in re.finditer(rb"\xfd7zXZ\0", data):  # the code that unpacks has it too, before the kernel
        with suppress(lzma.LZMAError):
            found = _banner(iter([lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data[magic.start() :])]))
            if found != _NAMELESS:
                return found
    return _NAMELESS


def _fit_architecture(tree: bytes) -> str:
    """``arch`` of the first image of type ``kernel`` below ``/images``."""
    found: dict[str, dict[str, str]] = {}
    try:
        for node, name, value in _properties(tree):
            if node.startswith("/images/") and node.count("/") == 2 and name in ("type", "arch"):
                found.setdefault(node, {})[name] = value.rstrip(b"\0").decode("ascii", "replace")
    except (struct.error, IndexError, ValueError):
        raise _NotAKernel("a FIT image or device tree that was cut short", "copy or build it again") from None
    if not found:
        raise _NotAKernel("a device tree", "give it as dtb=")
    for image in found.values():
        if image.get("type", "").startswith("kernel") and "arch" in image:
            return _FIT_ARCHITECTURES.get(image["arch"], image["arch"])
    raise _NotAKernel("a FIT image without a kernel", "give one with an image of type kernel")


def _properties(tree: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Every (node path, property, value) of a flattened device tree."""
    structure, strings = struct.unpack_from(">II", tree, 8)
    at, path = structure, list[str]()
    while True:
        (token,) = struct.unpack_from(">I", tree, at)
        at += 4
        if token == 1:  # FDT_BEGIN_NODE
            end = tree.index(b"\0", at)
            path.append(tree[at:end].decode("ascii", "replace"))
            at = (end + 4) & ~3
        elif token == 2:  # FDT_END_NODE
            path.pop()
        elif token == 3:  # FDT_PROP
            size, name = struct.unpack_from(">II", tree, at)
            name_end = tree.index(b"\0", strings + name)
            yield "/".join(path) or "/", tree[strings + name : name_end].decode(), tree[at + 8 : at + 8 + size]
            at = (at + 8 + size + 3) & ~3
        elif token == 9:  # FDT_END
            return
        elif token != 4:  # FDT_NOP
            raise ValueError(f"token {token} in a device tree")


def _word(data: bytes, offset: int, form: str) -> int:
    if len(data) < offset + struct.calcsize(form):
        return 0
    return int(struct.unpack_from(form, data, offset)[0])

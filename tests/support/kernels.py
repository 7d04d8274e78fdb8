"""Kernels to try things on: small ones made with the real tools, and Debian's own."""

from __future__ import annotations

import functools
import hashlib
import random
import struct
import subprocess
from pathlib import Path

import pytest

from pytest_lava.images.cache import cache_dir
from pytest_lava.images.deb import unpack
from pytest_lava.images.debian import fetch

__all__ = [
    "RELEASE", "arm64_image", "debian_deb", "debian_modules", "make_deb", "other_debian_deb", "sha256", "x86_kernel",
]  # fmt: skip

#: before a test has one of its own
_CACHE = cache_dir()
RELEASE = "6.1.0-lava"


def arm64_image(release: str = RELEASE, build: str = "#7 SMP Mon Jan  5 10:00:00 UTC 2026") -> bytes:
    """Documentation/arch/arm64/booting.rst: a 64 byte header, magic at 56; the banner as init/version.c has it."""
    header = struct.pack("<IIQQQQQQ4sI", 0, 0, 0, 0x10000, 0xA, 0, 0, 0, b"ARM\x64", 0)
    banner = f"Linux version {release} (me@here) (gcc (Debian) 12.2.0, GNU ld 2.40) {build}\n".encode()
    return header + bytes(4096) + banner + random.Random(1).randbytes(20000)


def x86_kernel(path: Path) -> Path:
    """As much of a bzImage as tells what it is (Documentation/arch/x86/boot.rst)."""
    data = bytearray(0x4000)
    data[0x1F1], data[0x1FE:0x200], data[0x202:0x206] = 4, b"\x55\xaa", b"HdrS"
    struct.pack_into("<H", data, 0x206, 0x20F)
    struct.pack_into("<H", data, 0x20E, 0x1000)
    struct.pack_into("<H", data, 0x236, 1)
    data[0x211] = 1
    data[0x1200:0x1210] = b"6.12.0 (me@here)"
    path.write_bytes(data)
    return path


def make_deb(folder: Path, files: dict[str, bytes], *, name: str, arch: str = "arm64", sums: bool = True) -> Path:
    """A package as scripts/package/builddeb makes it: dpkg-deb, with a list of checksums."""
    root = folder / f"root-{name}-{arch}"
    control = root / "DEBIAN"
    control.mkdir(parents=True)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    lines = [f"{hashlib.md5(content).hexdigest()}  {path}\n" for path, content in files.items()]
    if sums:
        (control / "md5sums").write_text("".join(lines))
    (control / "control").write_text(
        f"Package: {name}\nVersion: 6.1.0-1\nArchitecture: {arch}\nMaintainer: me <me@here>\nDescription: a kernel\n"
    )
    deb = folder / f"{name}_6.1.0-1_{arch}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(root), str(deb)], check=True, capture_output=True)
    return deb


def debian_deb(arch: str = "arm64") -> Path:
    """The package of the boards' default kernel, as ``pytest-lava fetch`` keeps it."""
    found = sorted((_CACHE / f"debian-{arch}" / "debs").glob("linux-image-*.deb"))
    if not found:
        pytest.fail(f"run `pytest-lava fetch {arch}` first")
    return found[-1]


def other_debian_deb() -> Path:
    """A second real kernel for arm64 (6.12 of Debian 12), fetched once."""
    folder = _CACHE / "test-kernels"
    found = sorted(folder.glob("linux-image-6.12*.deb"))
    return found[-1] if found else fetch(["linux-image-6.12-cloud-arm64->"], "arm64", folder)[0]


@functools.cache
def debian_modules(*names: str, arch: str = "arm64") -> dict[str, bytes]:
    """Modules of the boards' default kernel: by name, their content."""
    wanted = tuple(f"/{name}.ko" for name in names)
    return {Path(path).stem: content for path, content in unpack(debian_deb(arch), lambda path: path.endswith(wanted))}


def sha256(path: Path) -> str:
    """In hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

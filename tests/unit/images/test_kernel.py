"""Kernel files: each packaging told apart, and a plain sentence for everything that is no kernel."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import lzma
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.kernel import inspect

FETCHED = cache_dir()  # before a test has one of its own
BANNER = b"Linux version 6.1.0-lava (me@here) (gcc) #1 SMP\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "cache"))


def arm64_image(body: bytes = BANNER) -> bytes:
    """Documentation/arch/arm64/booting.rst: a 64 byte header, magic at 56."""
    return struct.pack("<IIQQQQQQ4sI", 0, 0, 0, 0x10000, 0xA, 0, 0, 0, b"ARM\x64", 0) + b"\0" * 4096 + body


def bzimage(
    *, bits64: bool = True, sectors: int = 4, protocol: int = 0x20F, version: bytes = b"6.1.0-lava (me)"
) -> bytes:
    data = bytearray((sectors + 1) * 512 + 4096)
    data[0x1F1] = sectors
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<HH", data, 0x206, protocol, 0)
    struct.pack_into("<H", data, 0x20E, 0x300)
    data[0x500 : 0x500 + len(version)] = version
    struct.pack_into("<H", data, 0x236, int(bits64))
    return bytes(data)


def zimage(packed: bytes) -> bytes:
    return b"\0" * 0x24 + struct.pack("<III", 0x016F2818, 0, 304 + len(packed)) + b"\0" * 256 + packed


def uimage(arch: int = 22, kind: int = 2, name: bytes = b"Linux-6.1.0-lava") -> bytes:
    return struct.pack(">7I4B32s", 0x27051956, 0, 0, 4, 0, 0, 0, 5, arch, kind, 0, name) + b"data"


def device_tree(tree: dict[str, object]) -> bytes:
    """Devicetree Specification, chapter 5: header, reservation map, structure, strings."""
    strings = bytearray()

    def node(name: str, content: dict[str, object]) -> bytes:
        raw = name.encode() + b"\0"
        out = struct.pack(">I", 1) + raw + bytes(-len(raw) % 4)
        for key, value in content.items():
            if isinstance(value, dict):
                out += node(key, value)
                continue
            data = str(value).encode() + b"\0"
            out += struct.pack(">III", 3, len(data), len(strings)) + data + bytes(-len(data) % 4)
            strings.extend(key.encode() + b"\0")
        return out + struct.pack(">I", 2)

    structure = node("", tree) + struct.pack(">I", 9)
    start = 40 + 16
    head = (0xD00DFEED, start + len(structure) + len(strings), start, start + len(structure), 40, 17, 16, 0)
    return struct.pack(">10I", *head, len(strings), len(structure)) + bytes(16) + structure + bytes(strings)


FIT = device_tree({"images": {"fdt-1": {"type": "flat_dt", "arch": "arm64"}, "k": {"type": "kernel", "arch": "arm64"}}})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(arm64_image(), ("Image", "arm64", "6.1.0-lava"), id="Image"),
        pytest.param(arm64_image(b"no banner"), ("Image", "arm64", None), id="Image-without-release"),
        pytest.param(gzip.compress(arm64_image(), mtime=0), ("Image.gz", "arm64", "6.1.0-lava"), id="Image.gz"),
        pytest.param(bzimage(), ("bzImage", "x86_64", "6.1.0-lava"), id="bzImage"),
        pytest.param(bzimage(bits64=False), ("bzImage", "x86", "6.1.0-lava"), id="bzImage-32"),
        pytest.param(bzimage(protocol=0x20B), ("bzImage", "x86", "6.1.0-lava"), id="bzImage-before-xloadflags"),
        pytest.param(zimage(gzip.compress(BANNER, mtime=0)), ("zImage", "arm", "6.1.0-lava"), id="zImage-gzip"),
        pytest.param(zimage(lzma.compress(BANNER)), ("zImage", "arm", "6.1.0-lava"), id="zImage-xz"),
        pytest.param(
            zimage(b"unxz \xfd7zXZ\0 code" + lzma.compress(BANNER)),
            ("zImage", "arm", "6.1.0-lava"),
            id="zImage-xz-code",
        ),
        pytest.param(zimage(b"lzo"), ("zImage", "arm", None), id="zImage-other"),
        pytest.param(uimage(), ("uImage", "arm64", "6.1.0-lava"), id="uImage"),
        pytest.param(uimage(2, name=b"mine"), ("uImage", "arm", None), id="uImage-arm"),
        pytest.param(FIT, ("FIT", "arm64", None), id="FIT"),
    ],
)
def test_kernels_are_told_apart(tmp_path: Path, data: bytes, expected: tuple[str, str, str | None]) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    found = inspect(path, cache_dir())
    assert (found.kind, found.arch, found.release) == expected
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.path == path


def test_release_across_a_chunk_border(tmp_path: Path) -> None:
    path = tmp_path / "Image"
    head = arm64_image(b"")
    path.write_bytes(head + b"\0" * ((1 << 20) - len(head) - 20) + BANNER)
    assert inspect(path, cache_dir()).release == "6.1.0-lava"


def test_a_copy_that_broke_off(tmp_path: Path) -> None:
    """What its header promises is not there; Debian's own kernels keep their promises."""
    kernels = [FETCHED / f"debian-{arch}" / "vmlinuz" for arch in ("arm", "arm64", "x86_64")]
    for kernel in kernels:
        assert inspect(kernel, tmp_path).release
        cut = tmp_path / "cut"
        cut.write_bytes(kernel.read_bytes()[: kernel.stat().st_size * 9 // 10])
        with pytest.raises(ConfigurationError, match="is a kernel image that was cut short"):
            inspect(cut, tmp_path)


def test_device_tree_is_no_kernel(tmp_path: Path) -> None:
    path = tmp_path / "board.dtb"
    path.write_bytes(device_tree({"model": "a board", "cpus": {"cpu@0": {"device_type": "cpu"}}}))
    with pytest.raises(ConfigurationError, match=r"board\.dtb is a device tree, not a kernel: give it as dtb="):
        inspect(path, cache_dir())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "is a PNG picture, not a kernel: give Image, bzImage or zImage"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, "is a JPEG picture"),
        (b"\x7fELF\x02\x01\x01" + b"\0" * 100, "is an ELF file (a vmlinux or a module), not a kernel: give arch/"),
        (b"!<arch>\ndebian-binary   0", "is a Debian package, not a kernel: give it as it is, not packed"),
        (gzip.compress(b"hello" * 100, mtime=0), "is packed with gzip and no arm64"),
        (lzma.compress(b"hello"), "is packed with xz"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 100, "is packed with zstd"),
        (b"MZ\0\0zimg" + b"\0" * 100, "is an EFI zboot image"),
        (b"MZ\x90" + b"\1" * 100, "is an EFI program"),
        (b"070701" + b"0" * 104, "is a cpio archive"),
        (b"#!/bin/sh\necho hello\n", "is a text file"),
        ("Grüße\n".encode(), "is a text file"),
        (b"", "is empty, not a kernel: build it again"),
        (b"\0" * 5000, "is full of zeros"),
        (bytes(range(256)) * 40, "is something I do not know"),
        (b"\0" * 1080 + b"\x53\xef" + b"\1" * 100, "is an ext2, ext3 or ext4 file system"),
        (b"\x55" * 257 + b"ustar" + b"\1" * 100, "is a tar archive"),
        (bzimage()[:0x300], "is a bzImage that was cut short"),
        (uimage()[:40], "is a uImage that was cut short"),
        (uimage(kind=3), "is a U-Boot image of a ramdisk"),
        (uimage(kind=77), "is a U-Boot image of a thing of type 77"),
        (FIT[:80], "is a FIT image or device tree that was cut short"),
        (device_tree({"images": {"r": {"type": "ramdisk"}}}), "is a FIT image without a kernel"),
    ],
)  # fmt: skip
def test_everything_else_gets_one_plain_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "logo.png"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        inspect(path, cache_dir())
    message = str(caught.value)
    assert message.startswith(f"--kernel {path} {words}")
    assert "\n" not in message


def test_a_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "k.zip", "w") as archive:
        archive.writestr("Image", arm64_image())
    with pytest.raises(ConfigurationError, match="is a zip archive"):
        inspect(tmp_path / "k.zip", cache_dir())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "is a folder: give the kernel image in it"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "there is no such file"),
    ],
    ids=["missing", "folder", "fifo", "dangling-link"],
)
def test_not_even_a_file(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    path = tmp_path / "Image"
    make(path)
    with pytest.raises(ConfigurationError, match=words):
        inspect(path, cache_dir(), option="--kernel")


def test_a_file_that_was_changed_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(arm64_image())
    assert inspect(path, cache_dir()).arch == "arm64"
    path.write_bytes(bzimage())
    assert inspect(path, cache_dir()).arch == "x86_64"


@pytest.mark.parametrize("cut", range(0, 600, 7))
def test_a_cut_file_never_raises_anything_else(tmp_path: Path, cut: int) -> None:
    for number, data in enumerate(
        (arm64_image(), bzimage(), zimage(b"x"), uimage(), FIT, gzip.compress(arm64_image(), mtime=0))
    ):
        path = tmp_path / f"{number}"
        path.write_bytes(data[:cut])
        with contextlib.suppress(ConfigurationError):
            inspect(path, cache_dir())

"""Initramfs archives of all kinds, read and written; what the kernel makes of the result is tested on QEMU boards."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
from pathlib import Path

import pytest
from support.volumes import MIB

from pytest_lava.errors import InjectFailed
from pytest_lava.images.cpio import CpioWriter
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import parse_addition
from pytest_lava.inject.disks import kind_at, volumes
from pytest_lava.inject.entries import Entry
from pytest_lava.inject.filesystem import NotEditable
from pytest_lava.inject.inject import inject
from pytest_lava.inject.memory import check_memory
from pytest_lava.inject.placing import place
from pytest_lava.inject.ramfs import Ramfs


def archive() -> bytes:
    out = io.BytesIO()
    with CpioWriter(out) as cpio:
        cpio.folder("usr/lib/modules")
        cpio.symlink("lib", "usr/lib")
        cpio.symlink("bin", "/usr/bin")
        cpio.folder("usr/bin")
        cpio.file("etc/old", os.urandom(200_001))
        cpio.raw("etc/two", 0o100644, b"shared", inode=1, links=2)
        cpio.raw("etc/names", 0o100644, inode=1, links=2)
    return out.getvalue()


def early() -> bytes:
    """What comes first in the initramfs of a PC: microcode, never packed."""
    out = io.BytesIO()
    with CpioWriter(out) as cpio:
        cpio.file("kernel/x86/microcode/GenuineIntel.bin", b"\0" * 5000)
    return out.getvalue()


def packed(data: bytes, program: str) -> bytes:
    words = {"xz": ["xz", "-C", "crc32"], "zstd": ["zstd", "-q"]}.get(program, [program])
    return subprocess.run([*words, "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("packing", ["", "gzip", "xz", "bzip2", "zstd"])
@pytest.mark.parametrize("form", ["alone", "behind microcode", "with one more behind", "twice"])
def test_every_form_is_read(tmp_path: Path, packing: str, form: str) -> None:
    main = packed(archive(), packing) if packing else archive()
    aligned = main + bytes(-len(main) % 512)
    initrd = tmp_path / "initrd"
    initrd.write_bytes({
        "alone": main, "behind microcode": early() + main, "with one more behind": aligned + early(),
        "twice": aligned + main,
    }[form])  # fmt: skip
    assert kind_at(initrd) == "cpio"
    system = Ramfs(initrd, "initrd")
    top = system.listings([""])[""]
    assert {"usr", "lib", "bin", "etc"} <= top.keys()
    assert (top["lib"].kind, top["usr"].kind) == ("symlink", "folder")
    assert ("kernel" in top) == (form in ("behind microcode", "with one more behind"))
    assert system.listings(["etc"])["etc"]["two"].shared
    placed = place([Entry("lib/modules/x.ko", "file"), Entry("bin/tool", "file")], system)
    assert [item.entry.path for item in placed] == ["usr/lib/modules/x.ko", "usr/bin/tool"]


def test_what_is_added_is_read_again_and_the_base_is_as_it_was(tmp_path: Path) -> None:
    base = tmp_path / "initrd.img"
    base.write_bytes(gzip.compress(archive()))
    before = base.read_bytes()
    new = tmp_path / "new"
    new.write_text("new")
    wanted = [parse_addition("--file", f"{new}:{place}") for place in ("/lib/firmware/x:600", "/etc/two")]
    made = inject(base, volumes(base)[0], wanted, Shelf(tmp_path / "cache"))
    assert base.read_bytes() == before
    assert made.path.read_bytes().startswith(before)
    system = Ramfs(made.path, "initrd")
    assert "x" in system.listings(["usr/lib/firmware"])["usr/lib/firmware"]
    assert not system.listings(["etc"])["etc"]["two"].shared
    assert system.listings([""])[""]["lib"].kind == "symlink"


def test_what_cannot_be_edited(tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    for content, message in (
        (b"\x02\x21\x4c\x18" + bytes(100) + b"x", "packed in a way"),
        (gzip.compress(archive())[:5000], "ends too early"),
        (archive()[:5000], "ends too early"),
        (gzip.compress(b"no archive"), "packed in a way"),
        (b"070701" + b"z" * 200, "damaged"),
    ):
        initrd.write_bytes(content)
        with pytest.raises(NotEditable, match=message):
            Ramfs(initrd, "initrd")


def test_what_it_cannot_hold(tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(archive())
    system = Ramfs(initrd, "the initramfs")
    with pytest.raises(InjectFailed, match="/a is another name of /etc/old, which the initramfs has already"):
        system.apply(place([Entry("a", "link", target="etc/old")], system))
    (tmp_path / "x").touch()
    entry = Entry("b", "file", content=tmp_path / "x", xattrs=(("user.x", b"1"),))
    assert "no extended attributes: /b" in system.apply(place([entry], system))[0]


def test_what_fits_into_memory(tmp_path: Path) -> None:
    """Packed and unpacked at once, and all archives of it."""
    parts = []
    for number in range(2):
        plain = tmp_path / f"plain{number}"
        with plain.open("wb") as out, CpioWriter(out) as archive:
            archive.file(f"zeros{number}", bytes(MIB))
            archive.file(f"small{number}", b"1")
        parts.append(plain)
    initrd = tmp_path / "initrd"
    initrd.write_bytes(gzip.compress(parts[0].read_bytes()) + bytes(512) + parts[1].read_bytes())
    needed = 2 * (MIB + 4096) + initrd.stat().st_size
    check_memory(initrd, 0, tmp_path, "mine")
    check_memory(initrd, needed, tmp_path, "mine")
    with pytest.raises(InjectFailed, match=r"mine is too large for the board: it takes 3 MB .*there are 3 MB"):
        check_memory(initrd, needed - 1, tmp_path, "mine")

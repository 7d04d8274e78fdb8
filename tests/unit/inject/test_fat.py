"""Additions on FAT, read back with mtools; fsck.fat finds nothing."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest
from support.volumes import MIB, make_disk, run

from pytest_lava.errors import InjectFailed
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import Addition, parse_addition
from pytest_lava.inject.disks import volumes
from pytest_lava.inject.inject import inject


@pytest.fixture(params=["whole", "dos", "gpt"])
def card(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """A card with a boot partition, and where that begins."""
    fat = tmp_path / "fat.img"
    with fat.open("wb") as file:
        file.truncate(40 * MIB)
    (tmp_path / "old").write_bytes(b"old" * 5000)
    run("mformat", "-i", fat, "-v", "BOOT", "::")
    run("mmd", "-i", fat, "::EFI", "::EFI/BOOT")
    run("mcopy", "-i", fat, tmp_path / "old", "::EFI/BOOT/grub.cfg")
    if request.param == "whole":
        return fat, 0
    (begin,) = make_disk(tmp_path / "card.img", request.param, fat)
    return tmp_path / "card.img", begin


def put(base: Path, tmp_path: Path, *additions: Addition) -> Path:
    before = hashlib.sha256(base.read_bytes()).digest()
    try:
        made = inject(base, volumes(base)[0], additions, Shelf(tmp_path / "cache"))
        return made.path
    finally:
        assert hashlib.sha256(base.read_bytes()).digest() == before


def content(image: Path, begin: int, name: str) -> bytes:
    return subprocess.run(["mtype", "-i", f"{image}@@{begin}", f"::{name}"], check=True, capture_output=True).stdout


def test_files_come_back(card: tuple[Path, int], tmp_path: Path) -> None:
    base, begin = card
    tree = tmp_path / "tree"
    (tree / "dtbs/vendor").mkdir(parents=True)
    (tree / "dtbs/vendor/A long name of a board.dtb").write_bytes(os.urandom(70_000))
    os.link(tree / "dtbs/vendor/A long name of a board.dtb", tree / "again.dtb")
    (tree / "empty").touch()
    (tmp_path / "grub").write_bytes(b"new")
    os.utime(tmp_path / "grub", (1234567890, 1234567890))
    wanted = (f"{tmp_path}/grub:/efi/boot/GRUB.CFG", f"{tree}:/", f"{tmp_path}/grub:/EFI/new/")
    image = put(base, tmp_path, *(parse_addition("--file", text) for text in wanted))
    cut = tmp_path / "cut.img"
    run("dd", f"if={image}", f"of={cut}", "bs=1M", f"skip={begin // MIB}", f"count={40}")
    run("fsck.fat", "-n", cut)
    board = (tree / "again.dtb").read_bytes()
    assert content(image, begin, "EFI/BOOT/grub.cfg") == b"new"
    assert content(image, begin, "EFI/NEW/grub") == b"new"
    assert content(image, begin, "dtbs/vendor/A long name of a board.dtb") == board
    assert content(image, begin, "again.dtb") == board
    assert content(image, begin, "empty") == b""
    names = run("mdir", "-b", "-s", "-i", f"{image}@@{begin}", "::").split("\n")
    assert len([name for name in names if re.search(r"efi/?$", name, re.IGNORECASE)]) == 1
    assert len([name for name in names if "grub.cfg" in name.lower()]) == 1
    assert "2009-02-13" in run("env", "TZ=UTC", "mdir", "-i", f"{image}@@{begin}", "::EFI/BOOT")


def test_what_fat_cannot_hold(card: tuple[Path, int], tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("x")
    (tmp_path / "big").write_bytes(os.urandom(41 * MIB))
    (tmp_path / "small").touch()
    with pytest.raises(InjectFailed, match=r"/link is a symlink, and \S+ is FAT|/link is a symlink, and .* is FAT"):
        put(card[0], tmp_path, parse_addition("--file", f"{tmp_path}/tree:/"))
    with pytest.raises(InjectFailed, match="too small"):
        put(card[0], tmp_path, parse_addition("--file", f"{tmp_path}/big:/big"))
    with pytest.raises(InjectFailed, match="cannot be a name"):
        put(card[0], tmp_path, parse_addition("--file", f"{tmp_path}/small:/what?"))
    with pytest.raises(InjectFailed, match="/efi is a folder"):
        put(card[0], tmp_path, parse_addition("--file", f"{tmp_path}/small:/efi"))
    assert list((tmp_path / "cache/injected").glob("[!.]*")) == []

"""Boot media, read back with mtools and debugfs."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.media import boot_medium
from pytest_lava.images.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with closing(Shelf(tmp_path / "cache")) as shelf:
        yield shelf


#: where Debian has the programs for ext4
SBIN = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

needs_mtools = pytest.mark.skipif(not shutil.which("mcopy"), reason="mtools is not installed")


def content(image: Path, name: str) -> bytes:
    if image.suffix == ".ext4":
        command = ["debugfs", "-R", f'cat "/{name}"', str(image)]
        return subprocess.run(command, check=True, capture_output=True, env=SBIN).stdout
    return subprocess.run(["mtype", "-i", str(image), f"::{name}"], check=True, capture_output=True).stdout


@needs_mtools
@pytest.mark.parametrize("fs", ["fat", "ext4"])
@pytest.mark.parametrize("size", [0, 1, 5_000_000, 70_000_000])
def test_files_come_back(tmp_path: Path, shelf: Shelf, size: int, fs: str) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    big.write_bytes(os.urandom(size % 100_000) + bytes(size - size % 100_000))
    small.write_bytes(b"tree")
    image = boot_medium(
        {"Image": big, "dtbs/vendor/board.dtb": small, "a long name of a file.img": small}, shelf, fs=fs
    )
    assert image.suffix == f".{fs}"
    assert content(image, "Image") == big.read_bytes()
    assert content(image, "dtbs/vendor/board.dtb") == b"tree"
    assert content(image, "a long name of a file.img") == b"tree"


@needs_mtools
@pytest.mark.parametrize("fs", ["fat", "ext4"])
def test_many_small_files(tmp_path: Path, shelf: Shelf, fs: str) -> None:
    files = {}
    for number in range(300):
        path = tmp_path / f"{number}.dtb"
        path.write_bytes(b"%d" % number)
        files[f"dtbs/{path.name}"] = path
    image = boot_medium(files, shelf, fs=fs)
    assert content(image, "dtbs/299.dtb") == b"299"
    assert not list(image.parent.glob("*.tree"))


def test_ext4_is_clean_and_for_everybody(tmp_path: Path, shelf: Shelf) -> None:
    private = tmp_path / "kernel"
    private.write_bytes(b"kernel")
    private.chmod(0o600)
    image = boot_medium({"dtbs/Image": private}, shelf, fs="ext4")
    before = image.read_bytes()
    check = subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, text=True, check=False, env=SBIN)
    assert check.returncode == 0, check.stdout
    listed = subprocess.run(
        ["debugfs", "-R", "ls -p /dtbs", str(image)], check=True, capture_output=True, text=True, env=SBIN
    )
    assert "/100644/0/0/Image/6/" in listed.stdout
    assert image.read_bytes() == before


@needs_mtools
def test_kept_by_content(tmp_path: Path, shelf: Shelf) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"kernel")
    two.write_bytes(b"kernel")
    image = boot_medium({"Image": one}, shelf)
    assert boot_medium({"Image": two}, shelf) == image
    assert boot_medium({"zImage": one}, shelf) != image
    two.write_bytes(b"other")
    assert boot_medium({"Image": two}, shelf) != image
    assert {path.suffix for path in (shelf.folder / "media").glob("[!.]*")} == {".fat"}


@needs_mtools
def test_same_input_same_bytes(tmp_path: Path, shelf: Shelf) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"kernel")
    image = boot_medium({"b/Image": path, "a": path}, shelf)
    first = image.read_bytes()
    image.unlink()
    time.sleep(2.1)  # FAT's clock ticks every two seconds
    assert boot_medium({"a": path, "b/Image": path}, shelf).read_bytes() == first


def test_mistakes(tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"kernel")
    for name in ("", "/Image", "../Image", "a:b"):
        with pytest.raises(ConfigurationError, match="cannot be the name"):
            boot_medium({name: path}, shelf)
    with pytest.raises(ConfigurationError, match="give fs = 'fat' or 'ext4'"):
        boot_medium({"Image": path}, shelf, fs="ntfs")
    with pytest.raises(ConfigurationError, match="at least one file"):
        boot_medium({}, shelf)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        boot_medium({"Image": tmp_path / "nothing"}, shelf)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="apt-get install mtools"):
        boot_medium({"Image": path}, shelf)

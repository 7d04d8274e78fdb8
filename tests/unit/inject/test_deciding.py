"""Where additions go: image, initramfs, or the running board."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.volumes import MIB, facts_of, make_disk, make_ext4, run

from pytest_lava.errors import ConfigurationError
from pytest_lava.events import EventLog
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import parse_addition
from pytest_lava.inject.deciding import Bootable, bring_in, choose
from pytest_lava.inject.filesystem import NotEditable
from pytest_lava.inject.ramfs import Ramfs


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    for name in ("root/etc", "root/usr", "empty", "boot/dtbs"):
        (tmp_path / name).mkdir(parents=True)
    found = {name: make_ext4(tmp_path / f"{name}.img", tmp_path / name, 8 * MIB) for name in ("root", "empty", "boot")}
    fat = tmp_path / "fat.img"
    with fat.open("wb") as file:
        file.truncate(8 * MIB)
    run("mformat", "-i", fat, "::")
    found["fat"] = fat
    make_disk(tmp_path / "disk.img", "gpt", fat, found["root"])
    make_disk(tmp_path / "two.img", "dos", found["root"], found["root"])
    make_disk(tmp_path / "data.img", "gpt", found["empty"])
    found |= {name: tmp_path / f"{name}.img" for name in ("disk", "two", "data")}
    run("qemu-img", "convert", "-O", "qcow2", found["disk"], tmp_path / "disk.qcow2")
    found["qcow2"] = tmp_path / "disk.qcow2"
    found["squashfs"] = tmp_path / "x.squashfs"
    found["squashfs"].write_bytes(b"hsqs" + bytes(5000))
    found["initrd"] = tmp_path / "initrd.img"
    found["initrd"].write_bytes(gzip.compress(b""))
    return found


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ("root |  |  | 0", "root:0"),
        ("root | initrd |  | 0", "root:0"),
        ("disk | initrd | root=/dev/vda2 | 0", "disk:2"),
        ("disk |  |  | 1", "disk:1"),
        ("boot root |  |  | 0", "root:0"),
        ("fat data root | initrd |  | 0", "root:0"),
        ("data | initrd |  | 0", "initrd"),
        ("data | initrd | root=/dev/vda1 | 0", "data:1"),
        ("data |  |  | 0", "data:1"),
        ("fat |  |  | 0", "fat:0"),
        ("fat | initrd | quiet | 0", "initrd"),
        (" | initrd | quiet | 0", "initrd"),
        ("two | initrd |  | 2", "two:2"),
    ],
)
def test_the_place(images: dict[str, Path], files: str, wanted: str) -> None:
    assert where(images, files) == wanted


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (" | initrd | root=/dev/nfs | 0", "neither an image nor an initramfs"),
        (" | | | 0", "neither an image nor an initramfs"),
        ("squashfs | | | 0", "x.squashfs has no file system that can be edited here, but squashfs"),
    ],
)
def test_no_place(images: dict[str, Path], files: str, message: str) -> None:
    with pytest.raises(NotEditable, match=message):
        where(images, files)


def where(images: dict[str, Path], files: str) -> str:
    """``images | initramfs | kernel arguments | partition``."""
    parts, initrd, append, partition = (word.strip() for word in files.split("|"))
    named = {name: images[name] for name in parts.split()}
    spot = choose(Bootable(named, images.get(initrd), append, partition=int(partition)))
    return "initrd" if spot.part is None else f"{spot.part}:{spot.volume.partition}"


def test_what_is_not_clear(images: dict[str, Path]) -> None:
    with pytest.raises(ConfigurationError, match=r"partition 1 \(ext4\) and two.img, partition 2 .*#partition=N"):
        choose(Bootable({"": images["two"]}, images["initrd"]))
    with pytest.raises(ConfigurationError, match=r"partition=7: disk.img has partition 1 \(fat\), partition 2"):
        choose(Bootable({"": images["disk"]}, partition=7))
    with pytest.raises(ConfigurationError, match=r"boot.img, ext4 and empty.img, ext4: say which"):
        choose(Bootable({"a": images["boot"], "b": images["empty"]}))


def test_a_whole_decision_is_in_the_event_log(images: dict[str, Path], tmp_path: Path) -> None:
    file, log = tmp_path / "new", tmp_path / "events.jsonl"
    file.write_text("new")
    shelf, events, additions = Shelf(tmp_path / "cache"), EventLog(log), [parse_addition("--file", f"{file}:/etc/new")]
    in_image = bring_in(additions, Bootable({"": images["qcow2"]}, append="x"), shelf, events)
    in_initrd = bring_in(additions, Bootable({}, images["initrd"]), shelf, events)
    nowhere = bring_in(additions, Bootable({"": images["squashfs"]}), shelf, events)
    assert facts_of(in_image.files.parts[""], 9 * MIB)["etc/new"].what == b"new"
    assert in_image.left == in_initrd.left == ()
    assert in_initrd.files.initrd is not None
    assert "new" in Ramfs(in_initrd.files.initrd, "x").listings(["etc"])["etc"]
    assert nowhere.left == tuple(additions)
    assert nowhere.files.parts[""] == images["squashfs"]
    told = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert any("(partition 2 (ext4))" in message for message in told)
    assert any("waits for the running board: x.squashfs has no file system" in message for message in told)


def test_a_cut_disk(images: dict[str, Path]) -> None:
    with images["disk"].open("r+b") as file:
        file.truncate(9 * MIB)
    with pytest.raises(NotEditable, match="is cut off"):
        choose(Bootable({"": images["disk"]}))


def test_modules_go_into_a_root_file_system_and_nowhere_else(images: dict[str, Path], tmp_path: Path) -> None:
    modules, log = tmp_path / "m", tmp_path / "events.jsonl"
    (modules / "lib/modules/6.1").mkdir(parents=True)
    (modules / "lib/modules/6.1/modules.dep").write_text("")
    shelf, events = Shelf(tmp_path / "cache"), EventLog(log)
    root = bring_in([], Bootable({"": images["root"]}, images["initrd"], modules=modules), shelf, events)
    assert "lib/modules/6.1/modules.dep" in facts_of(root.files.parts[""])
    for name in ("data", "squashfs", "two"):
        files = Bootable({"": images[name]}, images["initrd"], modules=modules)
        done = bring_in([], files, shelf, events)
        assert (done.files, done.left) == (files, ())
    lost = bring_in([], Bootable({"": images["squashfs"]}, modules=modules), shelf, events)
    assert lost.left == ()
    assert "modules are nowhere on the board: x.squashfs" in log.read_text()

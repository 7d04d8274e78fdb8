"""From options to files on this machine: images, partitions, servers, boards that get no image, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.additions import package
from support.boards import NobodyToGuard
from support.volumes import MIB, facts_of, make_disk, make_ext4
from support.webserver import WebServer, web_server

from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.errors import ConfigurationError, FetchFailed
from pytest_lava.events import EventLog
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.cpio import CpioWriter
from pytest_lava.inject.ramfs import Ramfs
from pytest_lava.plan import Prepared, RunPlan
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.preparation import Preparation
from pytest_lava.registry import Registry


class Desk:
    """A user's folder with files to put into images."""

    def __init__(self, folder: Path, server: WebServer) -> None:
        self.folder, self.server = folder, server
        for name in ("root/etc", "root/usr/lib", "tree"):
            (folder / name).mkdir(parents=True)
        self.new = folder / "new"
        self.new.write_text("new")
        self.root = make_ext4(folder / "root.img", folder / "root", 16 * MIB)
        with (folder / "plain").open("wb") as out, CpioWriter(out) as archive:
            archive.file("init", b"#!/bin/sh\n", mode=0o755)
        (folder / "initrd").write_bytes(gzip.compress((folder / "plain").read_bytes()))
        (folder / "b.toml").write_text('extends = "qemu-x86_64"\n')
        (folder / "real.toml").write_text(
            'arch = "arm64"\nconsole = "/dev/null"\npower = "none"\n[boot]\nmethod = "attach"\n'
        )

    def plan(self, *additions: tuple[str, object], board: str = "b", images: tuple[object, ...] = ()) -> RunPlan:
        files = BoardFiles([self.folder, shipped("boards")], Registry())
        options = Options(
            boards=(board,), images=tuple(map(str, images)), cache=str(self.folder / "cache"),
            initrd=str(self.folder / "initrd") if board == "b" else None, assets=cache_dir(),
            additions=tuple((option, str(text)) for option, text in additions),
        )  # fmt: skip
        return make_plan(options, files, self.folder, NobodyToGuard())

    def prepare(self, *additions: tuple[str, object], board: str = "b", images: tuple[object, ...] = ()) -> Prepared:
        plan = self.plan(*additions, board=board, images=images)
        with closing(Preparation(plan.targets, plan.cache, EventLog(), plan.additions)) as preparation:
            return preparation.of(plan.targets[0])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "served").mkdir()
    with web_server(tmp_path / "served") as server:
        yield Desk(tmp_path, server)


def test_into_the_partition_that_was_named(desk: Desk) -> None:
    disk = desk.folder / "disk.img"
    begins = make_disk(disk, "gpt", desk.root, desk.root)
    done = desk.prepare(("--file", f"{desk.new}:/etc/new"), images=(f"{disk}#partition=2",))
    assert done.image is not None
    assert "etc/new" in facts_of(done.image.parts[""], begins[1])
    assert "etc/new" not in facts_of(done.image.parts[""], begins[0])
    assert done.kernel is not None
    assert done.kernel.initrd == desk.folder / "initrd"
    with pytest.raises(ConfigurationError, match=r"disk.img, partition 1 \(ext4\) and disk.img, partition 2"):
        desk.prepare(("--file", f"{desk.new}:/etc/new"), images=(disk,))


def test_from_a_server_and_with_the_order_kept(desk: Desk) -> None:
    with tarfile.open(desk.server.folder / "o.tar.gz", "w:gz") as tar:
        tar.add(desk.new, "etc/one")
        tar.add(desk.new, "etc/two")
    other = desk.folder / "other"
    other.write_text("other")
    overlay, file = ("--overlay", desk.server.url("o.tar.gz")), ("--file", f"{other}:/etc/one")
    found = []
    for additions in ((overlay, file), (file, overlay)):
        done = desk.prepare(*additions, images=(desk.root,))
        assert done.image is not None
        found.append(facts_of(done.image.parts[""])["etc/one"].what)
        assert facts_of(done.image.parts[""])["etc/two"].what == b"new"
    assert found == [b"other", b"new"]


def test_into_the_initramfs(desk: Desk) -> None:
    done = desk.prepare(("--file", f"{desk.folder}/tree:/data"), ("--deb", package(desk.folder)))
    assert done.kernel is not None
    assert done.kernel.initrd is not None
    top = Ramfs(done.kernel.initrd, "x").listings(["", "etc"])
    assert "hello.conf" in top["etc"]
    assert done.kernel.given, "what the user adds is under test"
    assert (done.left, done.packages) == ((), ())
    tree, deb = done.added
    assert (tree.kind, tree.name, tree.target, tree.sha256, tree.version) == ("tree", "tree", "/data", "", "")
    sha256 = hashlib.sha256((desk.folder / "hello.deb").read_bytes()).hexdigest()
    assert (deb.kind, deb.name, deb.version, deb.sha256) == ("deb", "hello", "1.0", sha256)


def test_a_board_that_gets_no_image_gets_it_when_it_runs(desk: Desk) -> None:
    done = desk.prepare(("--file", f"{desk.new}:/etc/new"), board="real")
    assert (done.kernel, done.image, done.packages) == (None, None, ())
    assert [addition.target for addition in done.left] == ["/etc/new"]
    assert done.left[0].source == desk.new


def test_all_mistakes_at_once(desk: Desk) -> None:
    arm64 = next((cache_dir() / "debian-arm64/debs").glob("busybox-static_*.deb"))
    with pytest.raises(ConfigurationError) as caught:
        desk.plan(("--file", "none:/a"), ("--file", f"{desk.new}:b"), ("--overlay", desk.new), ("--deb", arm64))
    said = str(caught.value).splitlines()
    assert len(said) == 4
    assert "package is for arm64, the board needs one for amd64" in said[-1]
    with pytest.raises(ConfigurationError, match="'localhost' is a process on this machine"):
        desk.plan(("--file", f"{desk.new}:/a"), board="localhost")


def test_a_package_from_a_server_is_checked_when_it_is_there(desk: Desk) -> None:
    arm64 = next((cache_dir() / "debian-arm64/debs").glob("busybox-static_*.deb"))
    (desk.server.folder / "b.deb").write_bytes(arm64.read_bytes())
    with pytest.raises(FetchFailed, match="package is for arm64"):
        desk.prepare(("--deb", desk.server.url("b.deb")))


@pytest.mark.parametrize("text", ["a.img#partition=0", "a.img#partition=x", "a.img#partition=-1"])
def test_numbers_of_partitions(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no number of a partition"):
        Artefact.parse(text, "--image")

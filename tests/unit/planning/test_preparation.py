"""What a target asks for, brought to this machine: fetched, checked against the board, put together."""

from __future__ import annotations

import gzip
import json
import lzma
import stat
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.boards import NobodyToGuard
from support.kernels import RELEASE, arm64_image, debian_modules, make_deb, sha256
from support.webserver import WebServer, web_server

from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.errors import ConfigurationError, FetchFailed, LavaError, NetworkError
from pytest_lava.events import EventLog
from pytest_lava.images.cpio import CpioWriter
from pytest_lava.plan import Prepared, RunPlan
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.preparation import Preparation
from pytest_lava.registry import Registry

Prepare = Callable[..., Prepared]


class Desk:
    """A user's folder with a board, a web server, and what both have."""

    def __init__(self, folder: Path, server: WebServer) -> None:
        self.folder, self.server = folder, server
        self.board('kernels = ["Image"]\n')
        self.file("initrd", gzip.compress(self.initrd()))

    def board(self, text: str) -> None:
        (self.folder / "b.toml").write_text(f'extends = "qemu-arm64"\n{text}')

    def file(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def url(self, name: str, content: bytes) -> str:
        (self.server.folder / name).write_bytes(content)
        return self.server.url(name)

    def initrd(self, *, merged: bool = False, release: str = "", table: str = "") -> bytes:
        path = self.folder / "made.cpio"
        with path.open("wb") as out, CpioWriter(out) as archive:
            archive.file("init", b"#!/bin/sh\n", mode=0o755)
            if merged:
                archive.folder("usr/lib")
                archive.symlink("lib", "usr/lib")
            if release:
                archive.file(f"lib/modules/{release}/modules.dep", table.encode())
        return path.read_bytes()

    def modules(self, name: str = "modules.tar.xz", release: str = RELEASE) -> Path:
        """As modules_install makes them, in a tarball."""
        root = self.folder / f"root-{name}" / "lib" / "modules" / release / "kernel"
        root.mkdir(parents=True)
        for module, content in debian_modules("net_failover", "failover").items():
            (root / f"{module}.ko").write_bytes(content)
        with tarfile.open(self.folder / name, "w:xz", preset=0) as tar:
            tar.add(self.folder / f"root-{name}", ".")
        return self.folder / name

    def plan(self, **options: object) -> RunPlan:
        options = {"initrd": str(self.folder / "initrd")} | options
        files = BoardFiles([self.folder, shipped("boards")], Registry())
        assets = self.folder / "assets"
        asked = Options(boards=("b",), assets=assets, cache=str(self.folder / "cache"), **options)  # type: ignore[arg-type]
        return make_plan(asked, files, self.folder / "run", NobodyToGuard())

    def prepare(self, **options: object) -> Prepared:
        plan = self.plan(**options)
        with closing(Preparation(plan.targets, plan.cache, EventLog(self.folder / "events.jsonl"))) as preparation:
            return preparation.of(plan.targets[0])

    def failure(self, kind: type[LavaError] = FetchFailed, **options: object) -> str:
        with pytest.raises(kind) as caught:
            self.prepare(**options)
        assert type(caught.value) is kind
        return str(caught.value)

    def phases(self) -> list[str]:
        lines = map(json.loads, (self.folder / "events.jsonl").read_text().splitlines())
        return [line["phase"] for line in lines if "seconds" in line]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "of the user"))
    with web_server(tmp_path / "www") as server:
        yield Desk(tmp_path, server)
    assert not (tmp_path / "of the user").exists()  # the run has a cache of its own


def members(archive: Path) -> dict[str, bytes]:
    """Regular files in several newc archives in a row, perhaps after a packed one; later ones win, as in the kernel."""
    data = archive.read_bytes()
    if data[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=31)
        first = unpacker.decompress(data)
        data = first + bytes(-len(first) % 4) + unpacker.unused_data.lstrip(b"\0")
    found, at = {}, 0
    while (at := data.find(b"070701", at)) >= 0:
        mode, size, length = (int(data[at + start : at + start + 8], 16) for start in (14, 54, 94))
        name = data[at + 110 : at + 110 + length - 1].decode()
        at += 110 + length + (-(110 + length) % 4)
        if stat.S_ISREG(mode):
            found[name] = data[at : at + size]
        at += size
    return found


def test_local_files_take_no_phase(desk: Desk) -> None:
    image = desk.file("Image", arm64_image())
    done = desk.prepare(kernels=(str(image),))
    assert done.kernel
    assert (done.kernel.file.path, done.kernel.file.release, done.kernel.initrd) == (
        image, RELEASE, desk.folder / "initrd",
    )  # fmt: skip
    assert desk.phases() == []


def test_all_from_a_server(desk: Desk) -> None:
    """Kernel, modules, device tree, initramfs and image; each fetched once, the second time nothing comes."""
    modules = desk.url("modules.tar.xz", desk.modules().read_bytes())
    image = b"image" * 5000
    kernel = desk.url("Image.xz", lzma.compress(arm64_image(), preset=0))
    options = {
        "kernels": (f"{kernel}#sha256={sha256(desk.server.folder / 'Image.xz')}",),
        "modules": modules,
        "dtb": desk.url("board.dtb", b"\xd0\x0d\xfe\xed"),
        "initrd": desk.url("initrd.gz", (desk.folder / "initrd").read_bytes()),
        "images": (desk.url("disk.img.xz", lzma.compress(image)),),
    }
    done = desk.prepare(**options)
    assert done.kernel
    assert done.image
    assert done.kernel.file.path.read_bytes() == arm64_image()
    assert done.kernel.dtb
    assert done.kernel.dtb.read_bytes() == b"\xd0\x0d\xfe\xed"
    assert done.image.sha256 == sha256(desk.server.folder / "disk.img.xz")
    assert done.kernel.initrd
    found = members(done.kernel.initrd)
    assert found[f"lib/modules/{RELEASE}/kernel/failover.ko"] == debian_modules("net_failover", "failover")["failover"]
    assert "kernel/net_failover.ko: kernel/failover.ko" in found[f"lib/modules/{RELEASE}/modules.dep"].decode()
    assert sorted(path for path, _ in desk.server.requests) == [
        "/Image.xz", "/board.dtb", "/disk.img.xz", "/initrd.gz", "/modules.tar.xz",
    ]  # fmt: skip
    assert desk.phases()[:2] == ["fetch", "inject"]
    sent = desk.server.sent
    desk.prepare(**options)
    assert desk.server.sent == sent
    desk.server.shutdown()
    again = desk.prepare(**options, offline=True)
    assert again.kernel
    assert again.kernel.initrd == done.kernel.initrd


def test_modules_for_a_merged_usr(desk: Desk) -> None:
    desk.file("initrd", desk.initrd(merged=True))
    done = desk.prepare(kernels=(str(desk.file("Image", arm64_image())),), modules=str(desk.modules()))
    assert done.kernel
    assert done.kernel.initrd
    assert f"usr/lib/modules/{RELEASE}/kernel/failover.ko" in members(done.kernel.initrd)


def test_modules_beside_those_that_are_there(desk: Desk) -> None:
    """modprobe reads one table; a line of the new modules counts."""
    table = "kernel/old.ko: kernel/gone.ko\nkernel/net_failover.ko: kernel/nonsense.ko\n"
    desk.file("initrd", gzip.compress(desk.initrd(release=RELEASE, table=table)))
    done = desk.prepare(kernels=(str(desk.file("Image", arm64_image())),), modules=str(desk.modules()))
    assert done.kernel
    assert done.kernel.initrd
    merged = members(done.kernel.initrd)[f"lib/modules/{RELEASE}/modules.dep"].decode().splitlines()
    assert sorted(merged) == [
        "kernel/failover.ko:", "kernel/net_failover.ko: kernel/failover.ko", "kernel/old.ko: kernel/gone.ko",
    ]  # fmt: skip


def package(desk: Desk) -> Path:
    root = f"lib/modules/{RELEASE}/kernel"
    files = {f"{root}/{name}.ko": data for name, data in debian_modules("net_failover", "failover").items()}
    files |= {f"boot/vmlinuz-{RELEASE}": arm64_image()}
    files |= {f"usr/lib/linux-image-{RELEASE}/{name}": name.encode() for name in ("x/one.dtb", "y/one.dtb", "two.dtb")}
    return make_deb(desk.folder, files, name=f"linux-image-{RELEASE}")


def test_a_package_gives_modules_and_device_tree(desk: Desk) -> None:
    deb = str(package(desk))
    done = desk.prepare(kernels=(deb,), dtb="two.dtb")
    assert done.kernel
    assert done.kernel.dtb
    assert done.kernel.dtb.read_bytes() == b"two.dtb"
    assert done.kernel.initrd
    assert f"lib/modules/{RELEASE}/kernel/failover.ko" in members(done.kernel.initrd)
    bare = desk.prepare(kernels=(deb,), modules="none").kernel
    assert bare
    assert (bare.modules, bare.initrd) == (None, desk.folder / "initrd")
    desk.board('[defaults]\ndtb_name = "y/one.dtb"\n')
    assert (named := desk.prepare(kernels=(deb,)).kernel)
    assert named.dtb
    assert named.dtb.read_bytes() == b"y/one.dtb"
    assert "several one.dtb: name one of x/one.dtb, y/one.dtb" in desk.failure(kernels=(deb,), dtb="one.dtb")
    assert "has no device tree tow.dtb; did you mean two.dtb?" in desk.failure(kernels=(deb,), dtb="tow.dtb")


def test_what_does_not_fit(desk: Desk) -> None:
    """Behind a URL all of it is known only after it was fetched; it is the fault of whoever named it."""
    image = str(desk.file("Image", arm64_image()))
    x86 = bytearray(8192)
    x86[0x1FE:0x208] = b"\x55\xaa\0\0HdrS\x0f\x02"
    x86[0x236] = 1
    found = {
        "bzImage": (bytes(x86), "is a kernel for x86_64, but board 'b' is arm64: give one that fits"),
        "logo.png": (b"\x89PNG\r\n\x1a\n", "is a PNG picture, not a kernel: "),
        "empty": (b"", "is empty, not a kernel: build it again, or give another file"),
    }
    for name, (content, sentence) in found.items():
        url = desk.url(name, content)
        assert desk.failure(kernels=(url,)).startswith(f"--kernel {url} {sentence}")
    subprocess.run(
        ["mkimage", "-A", "arm64", "-O", "linux", "-T", "kernel", "-C", "none", "-d", "Image", "www/uImage"],
        cwd=desk.folder, check=True, capture_output=True,
    )  # fmt: skip
    sentence = "is a uImage, which board 'b' does not boot: give Image"
    assert sentence in desk.failure(kernels=(desk.server.url("uImage"),))
    assert sentence in desk.failure(ConfigurationError, kernels=(str(desk.folder / "www" / "uImage"),))
    other = str(desk.modules("other.tar.xz", "6.1.1-other"))
    assert "but its modules are for 6.1.1-other: give those that were built with it, or modules=none" in desk.failure(
        kernels=(image,), modules=other
    )
    text = desk.file("text.tar", b"no archive")
    assert "is not a complete tarball" in desk.failure(kernels=(image,), modules=str(text))
    missing = desk.server.url("nosuch.tar")
    assert "there is no such file on the server" in desk.failure(kernels=(image,), modules=missing)
    wrong = f"{desk.url('initrd.gz', b'x')}#sha256={'0' * 64}"
    assert "correct the checksum" in desk.failure(kernels=(image,), initrd=wrong)
    desk.server.statuses = [503] * 5
    assert "503" in desk.failure(NetworkError, kernels=(image,), initrd=desk.server.url("later"))
    offline = desk.failure(ConfigurationError, kernels=(desk.server.url("new"),), offline=True)
    assert "is not in the cache: fetch it once without --offline" in offline


def test_a_failure_is_its_targets_own(desk: Desk) -> None:
    """All targets of a board are fetched before the first is used; each gets its own error."""
    good, bad = desk.url("good", arm64_image()), desk.server.url("bad")
    plan = desk.plan(kernels=(f"{good},initrd={desk.folder}/initrd", f"{bad},initrd={desk.folder}/initrd"), initrd=None)
    with closing(Preparation(plan.targets, plan.cache, EventLog())) as preparation:
        done = preparation.of(plan.targets[0])
        assert done.kernel
        assert {path for path, _ in desk.server.requests} == {"/good", "/bad"}
        requests = len(desk.server.requests)
        for _ in range(2):
            with pytest.raises(FetchFailed, match="there is no such file on the server"):
                preparation.of(plan.targets[1])
        assert len(desk.server.requests) == requests


def test_contradictions(desk: Desk) -> None:
    image = str(desk.file("Image", arm64_image()))
    files = BoardFiles([desk.folder, shipped("boards")], Registry())
    for options, sentence in (
        ({"no_cache": True}, "--no-cache and --lava-cache contradict each other"),
        ({"cache_limit": "lots"}, "lava_cache_limit: 'lots' is no size"),
        ({"cache": image}, f"--lava-cache {image}: this is no folder"),
        ({"modules": "nosuch.tar"}, "--modules nosuch.tar: there is no such file"),
        (
            {"kernel_trees": (image,), "kernels": ()},
            f"--kernel-tree {image}: there is no such folder; give the file as",
        ),
        ({"kernels": ("ftp://x/y",)}, "--kernel ftp://x/y: ftp:// is unknown"),
        ({"kernels": (f"{image}#sha256=12",)}, f"--kernel {image}#sha256=12: sha256=12 is no sha256 checksum"),
    ):
        given = {"boards": ("b",), "kernels": (image,), "assets": desk.folder, "cache": "c"} | options
        asked = Options(**given)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError) as caught:
            make_plan(asked, files, desk.folder / "run", NobodyToGuard())
        assert str(caught.value).startswith(sentence), caught.value

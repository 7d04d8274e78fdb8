"""Kernels in every packaging, made with the real tools, and what is said of those that are none."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.kernels import RELEASE, arm64_image, debian_deb, debian_modules, make_deb, sha256
from support.webserver import WebServer, web_server

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, FetchFailed, NetworkError
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.deb import read_package, unpack
from pytest_lava.images.fetch import Fetcher
from pytest_lava.images.kernel import inspect
from pytest_lava.images.kernel_parts import KernelParts, KernelSource, Workshop
from pytest_lava.images.kernel_sources import parse_kernel, parse_tree
from pytest_lava.images.module_tree import add_module, index, releases, write_dependencies
from pytest_lava.images.shelf import Shelf

IMAGE = arm64_image()
DRIVER, LIBRARY = "kernel/drivers/net/net_failover.ko", "kernel/net/core/failover.ko"
DTB = b"\xd0\x0d\xfe\xed a device tree"


def modules() -> dict[str, bytes]:
    """Two real modules, of which one needs the other."""
    real = debian_modules("net_failover", "failover")
    root = f"lib/modules/{RELEASE}"
    return {
        f"{root}/{DRIVER}": real["net_failover"],
        f"{root}/{LIBRARY}": real["failover"],
        f"{root}/modules.order": f"{DRIVER}\n{LIBRARY}\n".encode(),
    }


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with closing(Shelf(tmp_path / "cache")) as shelf:
        yield Workshop(Fetcher(shelf.folder, shelf.store), shelf, Deadline.after(60))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path / "www") as server:
        yield server


def lz4(data: bytes, *options: str) -> bytes:
    return subprocess.run(["lz4", "-c", *options], input=data, capture_output=True, check=True).stdout


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def zboot(data: bytes, packed: bytes) -> bytes:
    """drivers/firmware/efi/libstub/zboot-header.S."""
    header = struct.pack("<2sxx4sIIII32s", b"MZ", b"zimg", 1024, len(packed), 0, 0, b"gzip")
    return header.ljust(1024, b"\0") + packed + struct.pack("<I", len(data))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "Image": lambda data: data,
    "Image.gz": lambda data: gzip.compress(data, 1, mtime=0),
    "vmlinuz.gz": lambda data: gzip.compress(data, 1, mtime=0),
    "Image.bz2": lambda data: bz2.compress(data, 1),
    "Image.xz": lambda data: lzma.compress(data, preset=0),
    "Image.zst": zstd,
    "Image.lz4": lz4,
    "Image.legacy.lz4": lambda data: lz4(data, "-l"),
    "vmlinuz.efi": lambda data: zboot(data, gzip.compress(data, 1, mtime=0)),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_kernels(tmp_path: Path, workshop: Workshop, server: WebServer, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name](IMAGE))
    source = parse_kernel(str(path), cache_dir())
    assert (source.name, source.arch) == (name, "arm64")
    parts = source.parts(workshop)
    assert parts.kernel.read_bytes() == IMAGE
    assert (parts.origin.sha256, parts.modules) == (sha256(path), None)
    assert inspect(parts.kernel, cache_dir()).build == "#7 SMP Mon Jan  5 10:00:00 UTC 2026"
    (server.folder / name).write_bytes(path.read_bytes())
    remote = parse_kernel(server.url(name), cache_dir())
    assert remote.arch == ""
    found = remote.parts(workshop)
    assert found.kernel.read_bytes() == IMAGE
    assert found.origin.text == server.url(name)
    if name != "Image":
        assert found.kernel == parts.kernel  # unpacked once, whatever it is called
    assert path.read_bytes() == PACKED[name](IMAGE)


def test_a_uimage_is_taken_as_it_is(tmp_path: Path, workshop: Workshop) -> None:
    (tmp_path / "Image").write_bytes(IMAGE)
    command = (
        "mkimage -A arm64 -O linux -T kernel -C none -a 0x40080000 -e 0x40080000 -n Linux-6.1.0-lava -d Image uImage"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    source = parse_kernel(str(tmp_path / "uImage"), cache_dir())
    assert (source.arch, source.release) == ("arm64", RELEASE)
    assert source.parts(workshop).kernel == tmp_path / "uImage"


def modules_of(parts: KernelParts) -> dict[str, str]:
    """The dependencies that modprobe is told of."""
    assert parts.modules
    assert releases(parts.modules) == [RELEASE]
    text = (parts.modules / "lib" / "modules" / RELEASE / "modules.dep").read_text()
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in text.splitlines()}


KNOWN = {DRIVER: LIBRARY, LIBRARY: ""}


@pytest.mark.parametrize("prefix", ["", "usr/"])
def test_a_debian_package(tmp_path: Path, workshop: Workshop, prefix: str) -> None:
    """As bindeb-pkg makes it; with a packed kernel and packed modules, as Debian 13 has them."""
    files = {f"{prefix}{name}": content for name, content in modules().items()}
    packed = f"{prefix}lib/modules/{RELEASE}/{LIBRARY}"
    files[f"{packed}.xz"] = lzma.compress(files.pop(packed))
    files |= {f"boot/vmlinuz-{RELEASE}": gzip.compress(IMAGE), f"usr/lib/linux-image-{RELEASE}/vendor/board.dtb": DTB}
    deb = make_deb(tmp_path, files, name=f"linux-image-{RELEASE}")
    source = parse_kernel(str(deb), cache_dir())
    assert (source.name, source.arch, source.release) == (RELEASE, "arm64", RELEASE)
    parts = source.parts(workshop)
    assert parts.kernel.read_bytes() == IMAGE
    assert modules_of(parts) == KNOWN
    assert parts.dtbs
    assert (parts.dtbs / "vendor" / "board.dtb").read_bytes() == DTB
    assert parts.origin.package == f"linux-image-{RELEASE} 6.1.0-1"


def test_the_tables_of_a_machine_without_depmod(tmp_path: Path) -> None:
    """What we work out ourselves is what depmod finds, for all modules of a real kernel."""
    for name, content in unpack(debian_deb(), lambda path: path.endswith(".ko")):
        add_module(tmp_path, name.partition("lib/modules/")[2], content)
    (release,) = releases(tmp_path)
    root = tmp_path / "lib" / "modules" / release

    def dependencies() -> dict[str, set[str]]:
        lines = (root / "modules.dep").read_text().splitlines()
        return {line.partition(":")[0]: set(line.partition(":")[2].split()) for line in lines}

    index(tmp_path, Deadline.after(60))
    assert (root / "modules.dep.bin").exists()
    theirs = dependencies()
    write_dependencies(root)
    assert dependencies() == theirs
    assert len(theirs) > 500


def test_a_real_debian_package(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    deb = debian_deb()
    source = parse_kernel(str(deb), workshop.shelf.folder)
    parts = source.parts(workshop)
    file = inspect(parts.kernel, workshop.shelf.folder)
    version = read_package(deb).version
    assert (file.arch, file.kind, file.release) == ("arm64", "Image", source.release)
    assert file.build
    assert f"Debian {version} (" in file.build
    assert parts.modules
    listed = {name.partition("/kernel/")[2] for name in read_package(deb).files if name.endswith(".ko")}
    root = parts.modules / "lib" / "modules" / source.release
    assert {str(path.relative_to(root / "kernel")) for path in root.rglob("*.ko")} == listed
    lines = (root / "modules.dep").read_text().splitlines()
    (virtio_net,) = [line for line in lines if line.partition(":")[0].endswith("/virtio_net.ko")]
    assert "net_failover.ko" in virtio_net


@pytest.mark.parametrize("name", ["linux-6.1.0-arm64.tar", "linux.tar.gz", "linux.tar.xz", "linux.tar.zst"])
def test_a_tarball(tmp_path: Path, workshop: Workshop, name: str) -> None:
    """As tar-pkg makes it: boot/ and lib/modules, with the link to where it was built."""
    root = tmp_path / "root"
    files = {f"boot/vmlinuz-{RELEASE}": IMAGE, f"boot/dtbs/{RELEASE}/vendor/board.dtb": DTB, **modules()}
    files[f"boot/config-{RELEASE}"] = b"CONFIG_ARM64=y\n"
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / f"lib/modules/{RELEASE}/build").symlink_to("/usr/src/linux")
    subprocess.run(["tar", "-caf", str(tmp_path / name), "-C", str(root), "."], check=True)
    source = parse_kernel(str(tmp_path / name), cache_dir())
    parts = source.parts(workshop)
    assert parts.kernel.read_bytes() == IMAGE
    assert modules_of(parts) == KNOWN
    assert parts.release == RELEASE
    assert parts.dtbs
    assert (parts.dtbs / "vendor" / "board.dtb").read_bytes() == DTB
    assert not (parts.modules / "lib" / "modules" / RELEASE / "build").exists()  # type: ignore[operator]


def kernel_tree(folder: Path, order: str, *, release: str = RELEASE) -> Path:
    """What make leaves behind, as far as it is looked at."""
    files = {
        "include/config/kernel.release": f"{release}\n".encode(),
        "include/config/auto.conf": b"CONFIG_ARM64=y\nCONFIG_MODULES=y\n",
        "arch/arm64/boot/Image": IMAGE,
        "arch/arm64/boot/dts/vendor/board.dtb": DTB,
        "drivers/net/net_failover.ko": modules()[f"lib/modules/{RELEASE}/{DRIVER}"],
        "net/core/failover.ko": modules()[f"lib/modules/{RELEASE}/{LIBRARY}"],
        "modules.order": order.encode(),
        "modules.builtin": b"kernel/fs/ext4/ext4.ko\n",
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "order",
    [
        "drivers/net/net_failover.o\nnet/core/failover.o\n",
        "drivers/net/net_failover.ko\nnet/core/failover.ko\n",
        f"{DRIVER}\n{LIBRARY}\n",
    ],
    ids=["objects", "modules", "installed"],
)
def test_a_kernel_tree(tmp_path: Path, workshop: Workshop, order: str) -> None:
    """A build folder (O=) with a link to its source, which is a git repository."""
    source_folder = tmp_path / "linux"
    source_folder.mkdir()
    for command in ("init -q -b topic", "remote add origin git@example.com:linux.git",
                    "-c user.name=me -c user.email=me@here commit -q --allow-empty -m one"):  # fmt: skip
        subprocess.run(["git", "-C", str(source_folder), *command.split()], check=True)
    commit = subprocess.run(
        ["git", "-C", str(source_folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    build = kernel_tree(tmp_path / "build", order)
    (build / "source").symlink_to(source_folder)
    source = parse_tree(str(build))
    assert (source.name, source.arch, source.release) == (RELEASE, "arm64", RELEASE)
    parts = source.parts(workshop)
    assert parts.kernel == build / "arch" / "arm64" / "boot" / "Image"
    assert modules_of(parts) == KNOWN
    assert parts.dtbs == build / "arch" / "arm64" / "boot" / "dts"
    origin = parts.origin
    assert (origin.commit, origin.url, origin.branch) == (commit, "git@example.com:linux.git", "topic")
    (build / "net/core/failover.ko").write_bytes(modules()[f"lib/modules/{RELEASE}/{LIBRARY}"] + b"built again")
    again = source.parts(workshop)
    assert again.modules != parts.modules
    assert parts.modules  # what a run uses stays as it is
    assert b"built again" not in (parts.modules / f"lib/modules/{RELEASE}/{LIBRARY}").read_bytes()


def tuxmake(folder: Path, **changes: object) -> Path:
    """A build as TuxMake leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Image.gz").write_bytes(gzip.compress(IMAGE, 1))
    for name, files in (("modules.tar.xz", modules()), ("dtbs.tar.xz", {"dtbs/vendor/board.dtb": DTB})):
        for path, content in files.items():
            target = folder.parent / f"{name}-root" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        with tarfile.open(folder / name, "w:xz", preset=0) as tar:
            tar.add(folder.parent / f"{name}-root", ".")
    metadata = {
        "build": {"target_arch": "arm64"},
        "git": {"git_commit": "a" * 40, "git_url": "https://example.com/linux.git", "git_branch": "master"},
        "results": {
            "status": "PASS",
            "artifacts": {"kernel": ["Image.gz"], "modules": ["modules.tar.xz"], "dtbs": ["dtbs.tar.xz"]},
        },
        "source": {"kernelrelease": RELEASE},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata | changes))
    return folder


def test_a_tuxmake_build(tmp_path: Path, workshop: Workshop, server: WebServer) -> None:
    local = parse_tree(str(tuxmake(tmp_path / "one" / "build")))
    assert (local.name, local.arch, local.release) == (RELEASE, "arm64", RELEASE)
    tuxmake(server.folder / "build")
    found: list[KernelSource] = [local, parse_tree(server.url("build/")), parse_tree(server.url("build"))]
    for source in found:
        parts = source.parts(workshop)
        assert parts.kernel.read_bytes() == IMAGE
        assert modules_of(parts) == KNOWN
        assert parts.dtbs
        assert (parts.dtbs / "vendor" / "board.dtb").read_bytes() == DTB
        assert (parts.origin.commit, parts.origin.branch) == ("a" * 40, "master")


# -- what is no kernel -------------------------------------------------------------------------------------------------


def said(step: Callable[[], object], kind: type[Exception] = ConfigurationError) -> str:
    with pytest.raises(kind) as caught:
        step()
    return str(caught.value)


@pytest.mark.usefixtures("workshop")
def test_bad_local_kernels_are_seen_at_once(tmp_path: Path) -> None:
    deb = make_deb(tmp_path, {"usr/share/doc/x": b"x"}, name="linux-image-cloud-arm64")
    sparc = make_deb(tmp_path, {"boot/vmlinuz-1": b"x"}, name="linux-image-1", arch="sparc64")
    (tmp_path / "cut.deb").write_bytes(deb.read_bytes()[:100])
    (tmp_path / "text.xz").write_bytes(lzma.compress(b"hello\n" * 100))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(IMAGE)[:2000])
    for name, sentence in {
        "nosuch": "there is no such file",
        ".": "is a folder: give the kernel image in it",
        "text.xz": "holds a text file, not a kernel",
        "cut.deb": "damaged Debian package",
        deb.name: "the package linux-image-cloud-arm64, which has no boot/vmlinuz in it: give the package of one",
        sparc.name: "is a package for sparc64, which no board has",
    }.items():
        text = said(lambda name=name: parse_kernel(str(tmp_path / name), cache_dir()))  # type: ignore[misc]
        assert text.startswith("--kernel ")
        assert sentence in text


def test_bad_kernels_that_only_show_when_opened(tmp_path: Path, workshop: Workshop, server: WebServer) -> None:
    doc = make_deb(tmp_path, {"usr/share/doc/x": b"x"}, name="linux-image-0", sums=False)
    two = make_deb(tmp_path, {"boot/vmlinuz-1": IMAGE, "boot/vmlinuz-2": IMAGE}, name="linux-image-12")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(IMAGE)[:-2000])
    (tmp_path / "empty.tar").write_bytes(b"")
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as tar:
        tar.add(doc, "README")
    for name, sentence in {
        doc.name: "has no boot/vmlinuz in it",
        two.name: "has several kernels (boot/vmlinuz-1, boot/vmlinuz-2): name one",
        "other.tar.gz": "has no kernel in it (vmlinuz, Image, bzImage, zImage): give what 'make tar-pkg' made",
    }.items():
        (server.folder / name).write_bytes((tmp_path / name).read_bytes())
        for place in (str(tmp_path / name), server.url(name)):
            text = said(lambda place=place: parse_kernel(place, cache_dir()).parts(workshop), FetchFailed)  # type: ignore[misc]
            assert text.startswith("--kernel ")
            assert sentence in text
    (server.folder / "cut.gz").write_bytes((tmp_path / "cut.gz").read_bytes())
    assert "cannot be unpacked" in said(
        lambda: parse_kernel(server.url("cut.gz"), cache_dir()).parts(workshop), FetchFailed
    )
    assert "no such file on the server" in said(
        lambda: parse_kernel(server.url("no"), cache_dir()).parts(workshop), FetchFailed
    )
    url = server.url("cut.gz#sha256=" + "0" * 64)
    assert "correct the checksum" in said(lambda: parse_kernel(url, cache_dir()).parts(workshop), FetchFailed)
    server.statuses = [503] * 5
    said(lambda: parse_kernel(server.url("other.deb"), cache_dir()).parts(workshop), NetworkError)
    offline = Workshop(Fetcher(tmp_path, workshop.shelf.store, offline=True), workshop.shelf, workshop.deadline)
    assert "without --offline" in said(lambda: parse_kernel(server.url("new"), cache_dir()).parts(offline))


def test_bad_trees(tmp_path: Path, workshop: Workshop, server: WebServer) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    fresh = tmp_path / "fresh"
    (fresh / "arch").mkdir(parents=True)
    (fresh / "Kbuild").touch()
    half = kernel_tree(tmp_path / "half", "")
    (half / "arch/arm64/boot/Image").unlink()
    failed = tuxmake(tmp_path / "tux" / "failed", results={"status": "FAIL", "artifacts": {}})
    for folder, sentence in {
        tmp_path / "nosuch": "there is no such folder; give the folder in which you ran make",
        empty: "this is neither a kernel tree nor a build of one",
        fresh: "nothing is built here (there is no include/config/kernel.release): run make, or give the folder of O=",
        half: f"{RELEASE} has no arch/arm64/boot/Image or ",
        failed: "this build has no kernel, its status is FAIL",
    }.items():
        text = said(lambda folder=folder: parse_tree(str(folder)))  # type: ignore[misc]
        assert text.startswith("--kernel-tree ")
        assert sentence in text
    stale = parse_tree(str(kernel_tree(tmp_path / "stale", "", release="6.1.1")))
    text = said(lambda: stale.parts(workshop), FetchFailed)
    assert text.endswith(f"is of {RELEASE}, but include/config/kernel.release says 6.1.1: run make to its end")
    text = said(lambda: parse_tree(server.url("nothing")).parts(workshop), FetchFailed)
    assert "has no metadata.json as TuxMake and KernelCI leave it" in text

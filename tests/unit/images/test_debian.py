"""Packages read without dpkg, and the demonstration assets built from packages made here."""

from __future__ import annotations

import argparse
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.commands import add_parsers
from pytest_lava.images.deb import read_package, unpack
from pytest_lava.images.debian import demo_assets, fetch
from pytest_lava.images.initramfs import select_modules

RELEASE = "6.1.0-9-cloud-arm64"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pack(files: dict[str, bytes], packing: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    plain = out.getvalue()
    if packing == "zst":
        return subprocess.run(["zstd", "-qc"], input=plain, check=True, capture_output=True).stdout
    return {"": bytes, "gz": gzip.compress, "xz": lzma.compress}[packing](plain)


def make_deb(path: Path, name: str, files: dict[str, bytes], *, arch: str = "arm64", packing: str = "xz") -> Path:
    control = f"Package: {name}\nVersion: 1:2-3\nArchitecture: {arch}\nDescription: short\n long: text\n".encode()
    suffix = f".{packing}" if packing else ""
    members = {
        "debian-binary": b"2.0\n",
        f"control.tar{suffix}": pack({"control": control}, packing),
        f"data.tar{suffix}": pack(files, packing),
    }
    out = b"!<arch>\n"
    for member, data in members.items():
        out += (
            f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    path.write_bytes(out)
    return path


def module(depends: str) -> bytes:
    return b"\x7fELF...\0license=GPL\0depends=" + depends.encode() + b"\0retpoline=Y\0"


@pytest.fixture
def kernel_deb(tmp_path: Path) -> Path:
    base = f"lib/modules/{RELEASE}/kernel"
    files = {
        f"boot/vmlinuz-{RELEASE}": b"a kernel",
        f"{base}/drivers/virtio/virtio.ko": module("virtio_ring"),
        f"{base}/drivers/virtio/virtio_ring.ko": module(""),
        f"{base}/drivers/virtio/virtio_mmio.ko": module("virtio,virtio_ring"),
        f"{base}/drivers/net/other.ko": module(""),
    }
    return make_deb(tmp_path / "linux-image.deb", f"linux-image-{RELEASE}", files)


@pytest.fixture
def busybox_deb(tmp_path: Path) -> Path:
    return make_deb(tmp_path / "busybox.deb", "busybox-static", {"bin/busybox": b"a busybox", "usr/share/doc/x": b""})


@pytest.mark.parametrize("packing", ["", "gz", "xz", "zst"])
def test_packages_are_read(tmp_path: Path, packing: str) -> None:
    if packing == "zst" and not shutil.which("zstd"):
        pytest.skip("the program zstd is not installed")
    deb = make_deb(tmp_path / "a.deb", "thing", {"usr/bin/a": b"A", "usr/bin/b": b"B"}, packing=packing)
    package = read_package(deb)
    assert (package.name, package.version, package.architecture) == ("thing", "1:2-3", "arm64")
    assert list(unpack(deb, lambda name: name.endswith("b"))) == [("usr/bin/b", b"B")]


def test_no_package(tmp_path: Path, kernel_deb: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_package(tmp_path / "nothing.deb")
    (tmp_path / "text.deb").write_text("hello")
    with pytest.raises(ConfigurationError, match="is not a Debian package"):
        read_package(tmp_path / "text.deb")
    whole = kernel_deb.read_bytes()
    for cut in range(8, len(whole) - 1, 97):
        kernel_deb.write_bytes(whole[:cut])
        with pytest.raises(ConfigurationError, match=r"damaged|not a complete"):
            list(unpack(kernel_deb, lambda name: True))


def test_modules_come_after_what_they_need() -> None:
    base = f"usr/lib/modules/{RELEASE}/kernel/drivers"
    files = [
        (f"{base}/net/virtio_net.ko.xz", lzma.compress(module("virtio,net-failover"))),
        (f"{base}/net/net_failover.ko.gz", gzip.compress(module("failover"))),
        (f"{base}/virtio/virtio.ko", module("")),
        (f"{base}/net/failover.ko", module("")),
        (f"{base}/net/unwanted.ko", module("")),
    ]
    chosen = select_modules(files, ["virtio_net", "virtio_blk"])
    names = [Path(name).name for name in chosen]
    assert names == ["virtio.ko", "failover.ko", "net_failover.ko", "virtio_net.ko", "modules.dep"]
    dep = chosen[f"lib/modules/{RELEASE}/modules.dep"].decode().splitlines()
    net, virtio = "kernel/drivers/net", "kernel/drivers/virtio"
    assert dep[-1] == (f"{net}/virtio_net.ko: {net}/net_failover.ko {net}/failover.ko {virtio}/virtio.ko")
    assert all(data.startswith(b"\x7fELF") for name, data in chosen.items() if name.endswith(".ko"))


def test_assets_from_given_packages(
    kernel_deb: Path, busybox_deb: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # neither apt nor anything else is used
    lines: list[str] = []
    assets = demo_assets("arm64", cache_dir(), kernel_deb=kernel_deb, busybox_deb=busybox_deb, progress=lines.append)
    assert assets.release == RELEASE
    assert assets.kernel.read_bytes() == b"a kernel"
    plain = gzip.decompress(assets.initrd.read_bytes())
    assert b"a busybox" in plain
    assert b"drivers/virtio/virtio_mmio.ko" in plain
    assert b"drivers/net/other.ko" not in plain
    assert lines == ["building the initramfs for arm64 ..."]

    kernel_deb.unlink()
    busybox_deb.unlink()
    time.sleep(0.06)  # until what was just written counts as settled
    demo_assets("arm64", cache_dir())
    start = time.perf_counter()
    assert demo_assets("arm64", cache_dir(), progress=lines.append) == assets
    assert time.perf_counter() - start < 0.5  # 1 ms; a loaded machine must not fail this
    assert len(lines) == 1
    assert sorted(path.name for path in (cache / "debian-arm64").iterdir()) == [
        "debs", assets.initrd.name, "manifest.json", "vmlinuz",
    ]  # fmt: skip


def test_what_was_damaged_is_built_again(kernel_deb: Path, busybox_deb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assets = demo_assets("arm64", cache_dir(), kernel_deb=kernel_deb, busybox_deb=busybox_deb)
    good = assets.initrd.read_bytes()
    assets.initrd.write_bytes(b"damaged")
    assert demo_assets("arm64", cache_dir()).initrd.read_bytes() == good


def test_what_a_killed_run_left_is_swept(kernel_deb: Path, busybox_deb: Path, cache: Path) -> None:
    folder = cache / "debian-arm64"
    (folder / "debs" / ".apt-dead" / "lists").mkdir(parents=True)
    (folder / ".vmlinuz.tmp-dead").write_text("half")
    (folder / "debs" / ".linux-image.deb.tmp-dead").write_text("half")
    demo_assets("arm64", cache_dir(), kernel_deb=kernel_deb, busybox_deb=busybox_deb)
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_another_busybox_gives_another_initramfs(tmp_path: Path, kernel_deb: Path, busybox_deb: Path) -> None:
    first = demo_assets("arm64", cache_dir(), kernel_deb=kernel_deb, busybox_deb=busybox_deb)
    other = make_deb(tmp_path / "new.deb", "busybox-static", {"usr/bin/busybox": b"newer"})
    second = demo_assets("arm64", cache_dir(), busybox_deb=other)
    assert second.initrd != first.initrd
    assert second.kernel == first.kernel


def test_wrong_packages(tmp_path: Path, kernel_deb: Path, busybox_deb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="is the package busybox-static: give a linux-image package"):
        demo_assets("arm64", cache_dir(), kernel_deb=busybox_deb, busybox_deb=busybox_deb)
    with pytest.raises(ConfigurationError, match="is for arm64: give the package for amd64"):
        demo_assets("x86_64", cache_dir(), kernel_deb=kernel_deb, busybox_deb=busybox_deb)
    meta = make_deb(tmp_path / "meta.deb", "linux-image-cloud-arm64", {"usr/share/doc/x": b""})
    with pytest.raises(ConfigurationError, match=r"has no boot/vmlinuz in it: give the package of one kernel"):
        demo_assets("arm64", cache_dir(), kernel_deb=meta, busybox_deb=busybox_deb)
    with pytest.raises(ConfigurationError, match="there are arm, arm64, x86, x86_64, debian-arm64, debian-x86_64"):
        demo_assets("sparc", cache_dir())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match=r"apt-get is missing.*make demo KERNEL_DEB"):
        demo_assets("x86_64", cache_dir())


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get here")
def test_apt_sources_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "apt.conf"
    conf.write_text(f'Dir::Etc::sourcelist "{tmp_path}/none.list"; Dir::Etc::sourceparts "{tmp_path}/none";')
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("APT_CONFIG", str(conf))
    with pytest.raises(ConfigurationError, match=r"no package linux-image-cloud-arm64 for .*make demo KERNEL_DEB"):
        fetch(["linux-image-cloud-arm64->"], "arm64", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command(kernel_deb: Path, busybox_deb: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    arguments = parser.parse_args(["fetch", "--kernel-deb", str(kernel_deb), "--busybox-deb", str(busybox_deb)])
    assert arguments.func(arguments) == 0
    assert f"arm64: Linux {RELEASE}" in capsys.readouterr().out
    arguments = parser.parse_args(["fetch", "arm64", "x86_64", "--kernel-deb", str(kernel_deb)])
    with pytest.raises(ConfigurationError, match="give one ARCH"):
        arguments.func(arguments)

"""Initramfs archives, read back by an independent reader."""

from __future__ import annotations

import io
import shutil
import stat
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cpio import CpioWriter, concatenate, modules_archive


@dataclass(frozen=True)
class Entry:
    mode: int
    data: bytes
    device: tuple[int, int]
    owner: int


def read_back(archive: bytes) -> dict[str, Entry]:
    """Reads as the kernel does (init/initramfs.c): zeros between archives, headers at multiples of 4."""
    entries: dict[str, Entry] = {}
    at = 0
    while at < len(archive):
        if archive[at] == 0:
            at += 1
            continue
        assert at % 4 == 0
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_end = at + 110 + fields[11]
        name = archive[at + 110 : name_end - 1].decode()
        assert archive[name_end - 1] == 0
        start = (name_end + 3) & ~3
        at = (start + fields[6] + 3) & ~3
        if name != "TRAILER!!!":
            parent = name.rpartition("/")[0]
            assert not parent or stat.S_ISDIR(entries[parent].mode), f"{name} comes before its folder"
            entries[name] = Entry(fields[1], archive[start : start + fields[6]], (fields[9], fields[10]), fields[2])
    return entries


def test_all_kinds() -> None:
    out = io.BytesIO()
    with CpioWriter(out) as archive:
        archive.folder("tmp", mode=0o1777)
        archive.folder("home/me", owner=1000)
        archive.file("a/b/c", b"hello", mode=0o755)
        archive.file("a/b/d", b"")
        archive.symlink("a/link", "b/c")
        archive.device("dev/console", "c", 5, 1)
        archive.device("dev/vda", "b", 254, 0)
    found = read_back(out.getvalue())
    assert list(found) == [
        "tmp",
        "home",
        "home/me",
        "a",
        "a/b",
        "a/b/c",
        "a/b/d",
        "a/link",
        "dev",
        "dev/console",
        "dev/vda",
    ]
    assert found["a/b/c"] == Entry(0o100755, b"hello", (0, 0), 0)
    assert found["a/link"] == Entry(0o120777, b"b/c", (0, 0), 0)
    assert found["dev/console"] == Entry(0o020600, b"", (5, 1), 0)
    assert found["dev/vda"] == Entry(0o060600, b"", (254, 0), 0)
    assert found["tmp"].mode == 0o041777
    assert found["home/me"].owner == 1000
    assert len(out.getvalue()) % 512 == 0


def test_same_input_same_bytes() -> None:
    def make() -> bytes:
        out = io.BytesIO()
        with CpioWriter(out) as archive:
            archive.file("x/y", b"z" * 1001)
        return out.getvalue()

    assert make() == make()


@pytest.mark.skipif(not shutil.which("busybox") and not shutil.which("cpio"), reason="no cpio program here")
def test_the_cpio_program_agrees(tmp_path: Path) -> None:
    path = tmp_path / "a.cpio"
    with path.open("wb") as out, CpioWriter(out) as archive:
        archive.file("lib/x", b"content")
        archive.symlink("lib/y", "x")
    command = ["cpio"] if shutil.which("cpio") else ["busybox", "cpio"]
    (tmp_path / "out").mkdir()
    subprocess.run([*command, "-i"], stdin=path.open("rb"), cwd=tmp_path / "out", check=True, capture_output=True)
    assert (tmp_path / "out/lib/y").read_bytes() == b"content"


def test_concatenation_is_aligned(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    with first.open("wb") as out, CpioWriter(out) as archive:
        archive.file("one", b"1")
    with second.open("wb") as out, CpioWriter(out) as archive:
        archive.file("two", b"2")
    concatenate([first, second], tmp_path / "both")
    assert list(read_back((tmp_path / "both").read_bytes())) == ["one", "two"]
    (tmp_path / "odd").write_bytes(b"\x1f\x8b\x08")
    concatenate([tmp_path / "odd", second], tmp_path / "both")
    whole = (tmp_path / "both").read_bytes()
    assert whole[:4] == b"\x1f\x8b\x08\0"
    assert whole.index(b"070701") % 4 == 0


RELEASE = "6.1.0-lava"
CONTENT = {
    f"lib/modules/{RELEASE}/kernel/a.ko": b"\x7fELF module",
    f"lib/modules/{RELEASE}/modules.dep": b"kernel/a.ko:\n",
}


def tree(root: Path, prefix: str = "") -> Path:
    for name, data in CONTENT.items():
        path = root / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    base = root / prefix / "lib/modules" / RELEASE
    for link in ("build", "source"):
        (base / link).symlink_to("/somewhere/linux")
    (base / "kernel/b.ko").symlink_to("a.ko")
    (root / "README").write_text("not a module")
    return root


def check(archive: Path, root: str = "lib/modules") -> None:
    found = read_back(archive.read_bytes())
    for name, data in CONTENT.items():
        assert found[name.replace("lib/modules", root)].data == data
    assert found[f"{root}/{RELEASE}/kernel/b.ko"].data == b"a.ko"
    assert not any("build" in name or "source" in name or "README" in name for name in found)


@pytest.mark.parametrize("prefix", ["", "usr", "linux-6.1"])
@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_modules(tmp_path: Path, prefix: str, form: str) -> None:
    source = tree(tmp_path / "tree", prefix)
    if form != "folder":
        if form == "tar.zst" and not shutil.which("zstd"):
            pytest.skip("the program zstd is not installed")
        packed = tmp_path / "modules.tar"
        packing = form.removeprefix("tar").lstrip(".")
        with tarfile.open(packed, "w" if packing in ("", "zst") else f"w:{packing}") as tar:  # type: ignore[call-overload]
            tar.add(source, ".")
        if packing == "zst":
            subprocess.run(["zstd", "-q", "--rm", str(packed)], check=True)
            packed = tmp_path / "modules.tar.zst"
        source = packed
    modules_archive(source, tmp_path / "out")
    check(tmp_path / "out")


@pytest.mark.parametrize("inner", ["", "lib", "lib/modules", f"lib/modules/{RELEASE}"])
def test_modules_folder_given_at_any_depth(tmp_path: Path, inner: str) -> None:
    modules_archive(tree(tmp_path / "tree") / inner, tmp_path / "out")
    check(tmp_path / "out")


def test_modules_for_a_merged_usr(tmp_path: Path) -> None:
    modules_archive(tree(tmp_path / "tree"), tmp_path / "out", root="usr/lib/modules")
    check(tmp_path / "out", "usr/lib/modules")


def test_no_modules_in_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no lib/modules/RELEASE"):
        modules_archive(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ConfigurationError, match="not a complete tarball"):
        modules_archive(tmp_path / "text", tmp_path / "out")


def test_a_cut_tarball(tmp_path: Path) -> None:
    packed = tmp_path / "m.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(tree(tmp_path / "tree"), ".")
    packed.write_bytes(packed.read_bytes()[:-60])
    with pytest.raises(ConfigurationError, match="not a complete tarball"):
        modules_archive(packed, tmp_path / "out")

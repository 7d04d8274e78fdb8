"""Additions in ext4 images, read back: by a mount where that is allowed, by debugfs elsewhere. e2fsck finds nothing."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from stat import filemode

import pytest
from support.volumes import MIB, CannotMount, Fact, check_ext4, facts_of, make_disk, make_ext4, mounted, run

from pytest_lava.errors import InjectFailed
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import Addition, parse_addition
from pytest_lava.inject.disks import Volume, volumes
from pytest_lava.inject.inject import Injected, inject

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
WHEN = 1234567890


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name in ("etc", "usr/lib/modules", "usr/bin", "usr/share/doc", "var", "run"):
        (tree / name).mkdir(parents=True)
    (tree / "lib").symlink_to("usr/lib")
    (tree / "bin").symlink_to("/usr/bin")
    (tree / "var/run").symlink_to("../run")
    (tree / "var" / "long").symlink_to("../" * 40 + "usr/share")
    (tree / "etc/old").write_text("old")
    os.link(tree / "etc/old", tree / "etc/other-name")
    (tree / "etc/alternative").symlink_to("old")
    return make_ext4(tmp_path / "root.img", tree, 96 * MIB)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "cache")


def put(base: Path, shelf: Shelf, *additions: Addition, volume: Volume | None = None) -> Injected:
    before = hashlib.sha256(base.read_bytes()).digest()
    try:
        return inject(base, volume or volumes(base)[0], additions, shelf)
    finally:
        assert hashlib.sha256(base.read_bytes()).digest() == before, "the user's own image was written to"


def member(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mtime = kind, WHEN
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def pack(path: Path, *members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        for item in members:
            info, data = item if isinstance(item, tuple) else (item, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def everything(path: Path) -> Path:
    """All that a tar archive can hold, with names that are meant to be awkward."""
    return pack(
        path,
        member("./", tarfile.DIRTYPE, mode=0o700, uid=1000),
        member("srv/sub", tarfile.DIRTYPE, mode=0o2750, uid=70000, gid=70001),
        (member("srv/sub/run", mode=0o4755, uid=70000, gid=12), b"#!/bin/sh\n"),
        member("srv/sub/again", tarfile.LNKTYPE, linkname="srv/sub/run"),
        member("srv/sub/once more", tarfile.LNKTYPE, linkname="./srv/sub/again"),
        (member('srv/a "quoted" b\\c', mode=0o600), b"q"),
        (member("srv/<7>", mode=0o644), b"no inode"),
        (member("srv/#hash !bang ü $x", mode=0o644), b"\0\xff"),
        (member("srv/empty", mode=0o444), b""),
        member("srv/link", tarfile.SYMTYPE, linkname='../etc/a "b"'),
        member("srv/far", tarfile.SYMTYPE, linkname="x" * 200),
        member("srv/console", tarfile.CHRTYPE, mode=0o620, gid=5, devmajor=5, devminor=1),
        member("srv/disk", tarfile.BLKTYPE, mode=0o660, devmajor=259, devminor=300),
        member("srv/pipe", tarfile.FIFOTYPE, mode=0o622),
        (member("srv/ping", mode=0o755, pax_headers={
            "SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape"),
            "SCHILY.xattr.user.note": "hello"}), b"ELF"),
        (member("lib/firmware/x.bin", mode=0o644), b"firmware"),
        (member("var/run/state", mode=0o644), b"state"),
        (member("var/long/deep", mode=0o644), b"deep"),
        (member("bin/tool", mode=0o755), b"tool"),
    )  # fmt: skip


def expected() -> dict[str, Fact]:
    file = Fact("100644", 0, 0, 1, b"", WHEN)
    run_ = Fact("104755", 70000, 12, 3, b"#!/bin/sh\n", WHEN)
    return {
        "srv": Fact("40755", 0, 0, 1, "", WHEN),
        "srv/sub": Fact("42750", 70000, 70001, 1, "", WHEN),
        "srv/sub/run": run_,
        "srv/sub/again": run_,
        "srv/sub/once more": run_,
        'srv/a "quoted" b\\c': replace(file, mode="100600", what=b"q"),
        "srv/<7>": replace(file, what=b"no inode"),
        "srv/#hash !bang ü $x": replace(file, what=b"\0\xff"),
        "srv/empty": replace(file, mode="100444"),
        "srv/link": Fact("120777", 0, 0, 1, '../etc/a "b"', WHEN),
        "srv/far": Fact("120777", 0, 0, 1, "x" * 200, WHEN),
        "srv/console": Fact("20620", 0, 5, 1, (5, 1), WHEN),
        "srv/disk": Fact("60660", 0, 0, 1, (259, 300), WHEN),
        "srv/pipe": Fact("10622", 0, 0, 1, "", WHEN),
        "srv/ping": replace(
            file, mode="100755", what=b"ELF", xattrs=(("security.capability", CAPABILITY), ("user.note", b"hello"))
        ),
        "usr/lib/firmware": Fact("40755", 0, 0, 1, "", WHEN),
        "usr/lib/firmware/x.bin": replace(file, what=b"firmware"),
        "run/state": replace(file, what=b"state"),
        "usr/share/deep": replace(file, what=b"deep"),
        "usr/bin/tool": replace(file, mode="100755", what=b"tool"),
    }


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz", "zst"])
def test_all_that_an_archive_holds(rootfs: Path, shelf: Shelf, tmp_path: Path, packing: str) -> None:
    before = facts_of(rootfs)
    archive = everything(tmp_path / "all.tar")
    if packing == "zst":
        run("zstd", "-q", archive)
    elif packing:
        run({"gz": "gzip", "bz2": "bzip2", "xz": "xz"}[packing], archive)
    made = put(rootfs, shelf, parse_addition("--overlay", f"{archive}.{packing}".rstrip(".")))
    check_ext4(made.path)
    after = facts_of(made.path)
    assert {path: fact for path, fact in after.items() if path not in before} == expected()
    assert {path: after[path] for path in before} == {
        path: replace(fact, mtime=after[path].mtime if fact.mode.startswith("4") else fact.mtime)
        for path, fact in before.items()
    }, "nothing else may change"
    assert made.remarks == ()


def test_the_same_as_tar_on_a_mounted_image(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    """The judge is GNU tar as root; where nothing can be mounted, what the other tests expect of the same archive."""
    archive = everything(tmp_path / "all.tar")
    made = put(rootfs, shelf, parse_addition("--overlay", f"{archive}:/usr/local"))
    below = "usr/local/"
    got = {path.removeprefix(below): fact for path, fact in facts_of(made.path).items() if path.startswith(below)}
    try:
        with mounted(rootfs, write=True) as root:
            (root / "usr/local").mkdir(mode=0o755)
            run("tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", root / "usr/local",
                "-f", archive)  # fmt: skip
        wanted = facts_of(rootfs)
        wanted = {path.removeprefix(below): fact for path, fact in wanted.items() if path.startswith(below)}
    except CannotMount:
        places = {"usr/lib/": "lib/", "run/": "var/run/", "usr/share/": "var/long/", "usr/bin/": "bin/"}
        wanted = {}
        for path, fact in expected().items():
            start = next((start for start in places if path.startswith(start)), "")
            wanted[places.get(start, "") + path.removeprefix(start)] = fact
    ours = ("srv", "lib", "var", "var/run", "var/long", "bin", "lib/firmware")  # tar takes the time of its run
    for path in ours:
        got.pop(path, None)
        wanted.pop(path, None)
    assert got == wanted


def test_a_second_time_is_a_look_into_the_cache(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    tree = tmp_path / "many"
    for number in range(300):
        (tree / str(number % 10)).mkdir(parents=True, exist_ok=True)
        (tree / str(number % 10) / str(number)).write_text(str(number))
    wanted = parse_addition("--file", f"{tree}:/opt/many")
    first = put(rootfs, shelf, wanted)
    status = first.path.stat()
    begin = time.perf_counter()
    assert inject(rootfs, volumes(rootfs)[0], [wanted], shelf) == first
    assert time.perf_counter() - begin < 0.1
    assert (first.path.stat().st_ino, first.path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    assert first.path.stat().st_mode & 0o222 == 0
    (tree / "3" / "3").write_text("other")
    second = put(rootfs, shelf, wanted)
    assert second.path != first.path
    assert facts_of(second.path)["opt/many/3/3"].what == b"other"
    assert facts_of(first.path)["opt/many/3/3"].what == b"3"
    assert len(list((tmp_path / "cache/injected").glob("[!.]*"))) == 2


def test_what_is_there_is_replaced(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text("new")
    new.chmod(0o640)
    places = ("/etc/old", "/etc/alternative:4711", "/bin/", "/a/b/c/d:0600")
    made = put(rootfs, shelf, *(parse_addition("--file", f"{new}:{place}") for place in places))
    check_ext4(made.path)
    facts = facts_of(made.path)
    assert (facts["etc/old"].what, facts["etc/old"].mode, facts["etc/old"].links) == (b"new", "100640", 1)
    assert (facts["etc/other-name"].what, facts["etc/other-name"].links) == (b"old", 1)
    assert (facts["etc/alternative"].what, facts["etc/alternative"].mode) == (b"new", "104711")
    assert facts["usr/bin/new"].what == b"new"
    assert [facts[path].mode for path in ("a", "a/b", "a/b/c", "a/b/c/d")] == ["40755", "40755", "40755", "100600"]


def test_the_later_addition_wins(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    first = pack(
        tmp_path / "1.tar",
        (member("x/a", mode=0o644), b"one"),
        member("x/b", tarfile.LNKTYPE, linkname="x/a"),
        member("x", tarfile.DIRTYPE, mode=0o711),
        member("x/here", tarfile.SYMTYPE, linkname="../etc"),
    )
    second = pack(
        tmp_path / "2.tar",
        (member("x/a", mode=0o600), b"two"),
        (member("x/here/made", mode=0o644), b"3"),
        member("etc/third", tarfile.LNKTYPE, linkname="etc/old"),
        member("x/c", tarfile.LNKTYPE, linkname="x/b"),
    )
    made = put(rootfs, shelf, parse_addition("--overlay", str(first)), parse_addition("--overlay", str(second)))
    check_ext4(made.path)
    facts = facts_of(made.path)
    assert (facts["x/a"].what, facts["x/a"].links) == (b"two", 1)
    assert (facts["x/b"].what, facts["x/b"].links) == (b"one", 2)
    assert facts["x"].mode == "40711"
    assert facts["etc/made"].what == b"3"
    assert (facts["etc/third"].what, facts["etc/third"].links, facts["etc/old"].links) == (b"old", 3, 3)


def test_a_folder_with_its_hard_links_and_holes(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    tree = tmp_path / "in a folder"
    (tree / "sub").mkdir(parents=True)
    (tree / "a").write_text("a")
    (tree / "a").chmod(0o6711)
    os.link(tree / "a", tree / "sub" / "b")
    with (tree / "holes").open("wb") as file:
        file.seek(20 * MIB)
        file.write(b"end")
    (tree / "link").symlink_to("/nowhere")
    os.setxattr(tree / "holes", "user.note", b"\0\1\2")
    made = put(rootfs, shelf, parse_addition("--file", f"{tree}:/data"))
    check_ext4(made.path)
    facts = facts_of(made.path)
    assert facts["data/a"] == facts["data/sub/b"]
    assert (facts["data/a"].links, facts["data/a"].mode, facts["data/a"].uid) == (2, "106711", 0)
    assert facts["data/holes"].what == bytes(20 * MIB) + b"end"
    assert facts["data/holes"].xattrs == (("user.note", b"\0\1\2"),)
    assert facts["data/link"].what == "/nowhere"
    blocks = run("debugfs", "-R", 'stat "/data/holes"', made.path)
    assert "Blockcount: 8" in blocks or "Blockcount: 2\n" in blocks, blocks
    assert made.path.stat().st_blocks * 512 < rootfs.stat().st_size


def test_modules_of_a_kernel_package(rootfs: Path, shelf: Shelf) -> None:
    """A package leaves depmod to its scripts, which nothing runs here. It was made for folders, not for links."""
    deb = max((cache_dir() / "debian-x86_64/debs").glob("linux-image-*.deb"))
    made = put(rootfs, shelf, parse_addition("--deb", str(deb)))
    check_ext4(made.path)
    facts = facts_of(made.path)
    listed = [line.split(maxsplit=5) for line in run("dpkg-deb", "-c", deb).splitlines()]
    release = next(words[5].split("/")[3] for words in listed if words[5].endswith(".ko"))
    for mode, owner, size, _, _, name in listed:
        path = name.removeprefix("./").rstrip("/").partition(" -> ")[0]
        path = f"usr/{path}" if path.startswith("lib/") else path
        if mode[0] == "-":
            fact = facts[path]
            assert (owner, len(fact.what), filemode(int(fact.mode, 8))) == ("root/root", int(size), mode), path
    depends = facts[f"usr/lib/modules/{release}/modules.dep"].what
    assert isinstance(depends, bytes)
    assert b"virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko" in depends
    assert f"usr/lib/modules/{release}/modules.alias.bin" in facts


def test_a_package_on_an_image_without_dpkg(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    made = put(rootfs, shelf, parse_addition("--deb", str(package(tmp_path))))
    check_ext4(made.path)
    facts = facts_of(made.path)
    assert (facts["etc/hello.conf"].what, facts["etc/hello.conf"].mode) == (b"greeting=hello\n", "100640")
    assert facts["usr/lib/hello/run"].mode == "104755"
    assert facts["usr/bin/hello"].what == "../lib/hello/run"
    assert made.packages == ()
    assert "nothing runs its postinst" in made.remarks[0]


def test_a_package_on_an_image_with_dpkg_waits_for_it(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.touch()
    debian = put(rootfs, shelf, parse_addition("--file", f"{status}:/var/lib/dpkg/status")).path
    deb = package(tmp_path)
    made = put(debian, shelf, parse_addition("--deb", str(deb)))
    check_ext4(made.path)
    assert made.packages == ("/var/cache/pytest-lava/hello_1.0_all.deb",)
    facts = facts_of(made.path)
    assert facts["var/cache/pytest-lava/hello_1.0_all.deb"].what == deb.read_bytes()
    assert "etc/hello.conf" not in facts


def package(folder: Path) -> Path:
    tree = folder / "hello"
    for name in ("DEBIAN", "etc", "usr/bin", "usr/lib/hello"):
        (tree / name).mkdir(parents=True)
        (tree / name).chmod(0o755)
    (tree / "DEBIAN/control").write_text(
        "Package: hello\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: hello\n"
    )
    (tree / "DEBIAN/conffiles").write_text("/etc/hello.conf\n")
    (tree / "DEBIAN/postinst").write_text("#!/bin/sh\ntouch /var/hello-was-here\n")
    (tree / "DEBIAN/postinst").chmod(0o755)
    (tree / "etc/hello.conf").write_text("greeting=hello\n")
    (tree / "etc/hello.conf").chmod(0o640)
    (tree / "usr/lib/hello/run").write_text("#!/bin/sh\n")
    (tree / "usr/lib/hello/run").chmod(0o4755)
    (tree / "usr/bin/hello").symlink_to("../lib/hello/run")
    run("dpkg-deb", "--root-owner-group", "-b", tree, folder / "hello.deb")
    return folder / "hello.deb"


def test_an_image_that_is_too_small_grows(tmp_path: Path, shelf: Shelf) -> None:
    (tmp_path / "tree/etc").mkdir(parents=True)
    small = make_ext4(tmp_path / "small.img", tmp_path / "tree", 4 * MIB, "-N", "64")
    tree = tmp_path / "many"
    tree.mkdir()
    for number in range(400):
        (tree / f"{number}").write_bytes(os.urandom(30_000))
    made = put(small, shelf, parse_addition("--file", f"{tree}:/srv"))
    check_ext4(made.path)
    assert made.path.stat().st_size > 12 * MIB
    facts = facts_of(made.path)
    assert all(facts[f"srv/{number}"].what == (tree / str(number)).read_bytes() for number in range(400))


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_a_partition_of_a_disk(rootfs: Path, shelf: Shelf, tmp_path: Path, label: str) -> None:
    (tmp_path / "boot").mkdir()
    boot = make_ext4(tmp_path / "boot.img", tmp_path / "boot", 8 * MIB)
    disk = tmp_path / "disk.img"
    begins = make_disk(disk, label, boot, rootfs)
    found = volumes(disk)
    assert [(volume.partition, volume.offset, volume.kind) for volume in found] == [
        (1, begins[0], "ext4"),
        (2, begins[1], "ext4"),
    ]
    made = put(disk, shelf, parse_addition("--overlay", str(everything(tmp_path / "all.tar"))), volume=found[1])
    check_ext4(made.path, begins[1])
    facts = facts_of(made.path, begins[1])
    assert {path: facts[path] for path in expected()} == expected()
    old, new = disk.read_bytes(), made.path.read_bytes()
    assert new[: begins[1]] == old[: begins[1]]
    assert new[begins[1] + rootfs.stat().st_size :] == old[begins[1] + rootfs.stat().st_size :]


def test_a_partition_that_is_too_small_says_so(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    disk, big = tmp_path / "disk.img", tmp_path / "big"
    make_disk(disk, "gpt", rootfs)
    big.write_bytes(os.urandom(rootfs.stat().st_size))
    with pytest.raises(InjectFailed, match=r"disk.img, partition 1 \(ext4\) is too small: 96 MiB and 1 files"):
        put(disk, shelf, parse_addition("--file", f"{big}:/big"))
    assert list((tmp_path / "cache/injected").glob("[!.]*")) == []


def test_a_journal_is_replayed_first(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    run("debugfs", "-w", "-R", "feature +needs_recovery", rootfs)
    made = put(rootfs, shelf, parse_addition("--overlay", str(everything(tmp_path / "all.tar"))))
    check_ext4(made.path)
    assert {path: fact for path, fact in facts_of(made.path).items() if path in expected()} == expected()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(member("etc"), b"x")], "/etc is a folder in root.img"),
        ([(member("etc/old/x"), b"x")], "/etc/old is no folder in root.img"),
        ([member("var", tarfile.SYMTYPE, linkname="srv")], "/var is a folder"),
        ([member("x", tarfile.LNKTYPE, linkname="nowhere")], "another name of /nowhere, which is no file"),
        ([member("a", tarfile.SYMTYPE, linkname="b"), member("b", tarfile.SYMTYPE, linkname="a"), (member("a/x"), b"")],
         "in a circle"),
        ([(member("two\nlines"), b"")], "cannot take"),
    ],
)  # fmt: skip
def test_what_cannot_be(
    rootfs: Path, shelf: Shelf, tmp_path: Path, members: list[tarfile.TarInfo], message: str
) -> None:
    with pytest.raises(InjectFailed, match=message):
        put(rootfs, shelf, parse_addition("--overlay", str(pack(tmp_path / "x.tar", *members))))
    assert list((tmp_path / "cache/injected").glob("[!.]*")) == []


def test_archives_that_are_bad(rootfs: Path, shelf: Shelf, tmp_path: Path) -> None:
    outside = pack(tmp_path / "outside.tar", (member("../../etc/passwd"), b"x"))
    with pytest.raises(InjectFailed, match="would leave the folder"):
        put(rootfs, shelf, parse_addition("--overlay", str(outside)))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(pack(tmp_path / "whole.tar", (member("x"), bytes(100_000))).read_bytes()[:50_000])
    with pytest.raises(InjectFailed, match="not a complete tarball"):
        put(rootfs, shelf, parse_addition("--overlay", str(cut)))


def test_an_image_that_is_damaged(tmp_path: Path, rootfs: Path, shelf: Shelf) -> None:
    with rootfs.open("r+b") as file:
        file.seek(2048)
        file.write(os.urandom(4096))
    with pytest.raises(InjectFailed, match=r"root.img"):
        put(rootfs, shelf, parse_addition("--overlay", str(everything(tmp_path / "all.tar"))))

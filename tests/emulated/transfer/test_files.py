"""Whole files: names, modes, times, sums, compression, and all that can be wrong with them here and there."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from support.lines import SHELLS
from support.transfers import Bench, noise, open_bench, prose

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError, OperationFailed
from pytest_lava.transfer import compression
from pytest_lava.transfer.api import Contents
from pytest_lava.transfer.names import mode_of


@pytest.fixture(scope="module", params=[*sorted(SHELLS), "markers"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """All shells that can be had, and one that has no agent: there files go by commands."""
    markers = request.param == "markers"
    command = SHELLS["dash" if markers else request.param]
    with open_bench(tmp_path_factory.mktemp(request.param), command, markers=markers) as bench:
        bench.files.write_bytes(str(bench.folder / "first"), b"")  # the first contact costs some kilobytes
        yield bench


@pytest.fixture
def bench(one: Bench, tmp_path: Path) -> Iterator[Bench]:
    """The shell of a module in a folder of its own; it must be usable after every test."""
    one.folder = tmp_path
    yield one
    assert one.shell.run("echo usable").stdout == "usable\n"
    assert not list(tmp_path.rglob(".lava*"))


NAMES = [
    "plain",
    "with space",
    'it\'s "quoted"',
    "-rf",
    "--",
    "new\nline",
    "ends in newline\n",
    "a\n.\nb",
    "$HOME `id` $(id) \\n \\\\ *?[a]",
    "tab\there",
    "\x03\x1a\x1c\x7f\x11\x13",
    "Grüße 世界",
    "LAVA",
    "x" * 255,
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:9]))
def test_any_name(bench: Bench, name: str) -> None:
    source, target, back = bench.folder / "source", bench.folder / "to", bench.folder / "back"
    target.mkdir()
    back.mkdir()
    source.write_bytes(b"contents of " + name.encode())
    bench.files.put(source, str(target / name))
    assert [path.name for path in target.iterdir()] == [name]
    assert bench.files.read_bytes(str(target / name)) == source.read_bytes()
    assert bench.files.get(str(target / name), back) == back / name
    assert (back / name).read_bytes() == source.read_bytes()
    bench.files.put(back / name, str(bench.folder))
    assert (bench.folder / name).read_bytes() == source.read_bytes()


def test_names_start_at_the_folder_of_the_shell(bench: Bench) -> None:
    here = bench.shell.run("pwd").stdout.strip()
    name = f"-lava test {os.getpid()}"
    try:
        bench.files.write_bytes(name, b"relative")
        assert bench.files.read_bytes(name) == b"relative"
        assert (Path(here) / name).read_bytes() == b"relative"
    finally:
        (Path(here) / name).unlink()


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o444, 0o4711, 0o2755])
def test_mode_and_time(bench: Bench, mode: int) -> None:
    source, there, back = (bench.folder / name for name in ("source", "there", "back"))
    for data in (b"few", prose(20_000)):
        source.write_bytes(data)
        source.chmod(mode)
        os.utime(source, (1_234_567_890, 1_234_567_890))
        bench.files.put(source, str(there))
        bench.files.get(str(there), back)
        for path in (there, back):
            assert path.read_bytes() == data
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert path.stat().st_mtime == 1_234_567_890
    bench.files.put(source, str(there), mode=0o640)
    assert stat.S_IMODE(there.stat().st_mode) == 0o640
    bench.files.write_bytes(str(there), b"other contents")
    assert stat.S_IMODE(there.stat().st_mode) == 0o640


def test_what_is_there_is_not_sent(bench: Bench) -> None:
    source, there, back = (bench.folder / name for name in ("source", "there", "back"))
    source.write_bytes(noise(200_000))
    for path in (there, back):
        path.write_bytes(noise(200_000))
        path.chmod(0o600)
    source.chmod(0o755)
    wire = bench.wire
    bench.files.put(source, str(there))
    bench.files.get(str(source), back)
    assert bench.wire - wire < 4000
    assert {stat.S_IMODE(path.stat().st_mode) for path in (there, back)} == {0o755}


def test_compression_saves_time_on_the_line(bench: Bench) -> None:
    text, path = prose(300_000), bench.folder / "there"
    bench.throttle(100_000)
    try:
        wire = bench.wire
        bench.files.write_bytes(str(path), text)
        middle = bench.wire
        assert bench.files.read_bytes(str(path)) == text == path.read_bytes()
        assert middle - wire < 0.4 * len(text)
        assert bench.wire - middle < 0.4 * len(text)
    finally:
        bench.line.rate = 0


def test_progress(bench: Bench) -> None:
    source, there = bench.folder / "source", bench.folder / "there"
    for data in (noise(200_000), prose(200_000), b"", b"x"):
        source.write_bytes(data)
        for move in (
            lambda report: bench.files.put(source, str(there), progress=report),
            lambda report: bench.files.get(str(there), bench.folder / "back", progress=report),
        ):
            seen: list[tuple[int, int]] = []
            move(lambda done, total, seen=seen: seen.append((done, total)))
            assert seen[-1] == (len(data), len(data))
            assert seen == sorted(seen)
        there.unlink()
        (bench.folder / "back").unlink()


def test_links_are_followed(bench: Bench) -> None:
    target, link = bench.folder / "target", bench.folder / "link"
    target.write_bytes(b"old")
    link.symlink_to("target")
    bench.files.write_bytes(str(link), b"new")
    assert link.is_symlink()
    assert target.read_bytes() == bench.files.read_bytes(str(link)) == b"new"


def test_nobody_sees_half_a_file(bench: Bench) -> None:
    path, seen, stop = bench.folder / "there", set(), threading.Event()
    path.write_bytes(b"old" * 1000)

    def look() -> None:
        while not stop.is_set():
            seen.add(path.stat().st_size)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        bench.files.write_bytes(str(path), noise(300_000))
    finally:
        stop.set()
        thread.join()
    assert seen <= {3000, 300_000}


def test_what_is_no_plain_file(bench: Bench) -> None:
    bench.files.write_bytes("/dev/null", b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert bench.files.read_bytes("/proc/version") == Path("/proc/version").read_bytes()
    with pytest.raises(OperationFailed, match=r"cannot use /dev/zero on the board: it is no regular file"):
        bench.files.read_bytes("/dev/zero")


def test_what_is_wrong_on_the_board(bench: Bench) -> None:
    folder, source = bench.folder / "it's a folder", bench.folder / "source"
    folder.mkdir()
    source.write_bytes(b"x")
    for wrong, words in {
        lambda: bench.files.get(str(folder), bench.folder / "back"): "it is a directory",
        lambda: bench.files.read_bytes(f"{folder}/missing"): "there is no such file",
        lambda: bench.files.write_bytes(str(folder), b""): "it is a directory",
        lambda: bench.files.put(source, f"{folder}/no/such"): "its folder is not there",
        lambda: bench.files.put(source, f"{folder}/no/"): "its folder is not there",
        lambda: bench.files.put(source, f"{source}/below"): "its folder is not there",
        lambda: bench.files.put(source, "/proc/no-such-name"): "(?i)no such file|nonexistent",
    }.items():
        with pytest.raises(OperationFailed, match=words) as caught:
            wrong()
        assert re.match(r"^cannot use /.* on the board: .", str(caught.value), re.DOTALL)
        assert "\n" not in str(caught.value)


def test_what_is_wrong_here(bench: Bench, tmp_path: Path) -> None:
    for wrong, words in {
        lambda: bench.files.put(tmp_path / "missing", "/tmp/x"): "cannot read .*missing: No such file or directory",
        lambda: bench.files.put(tmp_path, "/tmp/x"): "cannot read .*: Is a directory",
        lambda: bench.files.get("/proc/version", tmp_path / "no" / "such"): "there is no folder .*/no here",
        lambda: bench.files.get("/proc/version", "/dev/null"): "cannot write /dev/null: it is no regular file",
        lambda: bench.files.get("/proc/version", "/proc/here"): "cannot write /proc/here: ",
    }.items():
        with pytest.raises(OperationFailed, match=words):
            wrong()
    for name in ("a\0b", ""):
        for refused in (
            lambda name=name: bench.files.read_bytes(name),
            lambda name=name: bench.files.write_bytes(name, b""),
            lambda name=name: bench.files.get(name, tmp_path),
        ):
            with pytest.raises(ValueError, match="empty or hold a NUL"):
                refused()
    for refused in (
        lambda: bench.files.read_bytes("/proc/version", timeout=-1),
        lambda: bench.files.write_bytes("/tmp/x", b"", timeout=-1),
        lambda: bench.files.get("/proc/version", tmp_path, timeout=-1),
        lambda: bench.files.put("/proc/version", "/tmp/x", timeout=-1),
    ):
        with pytest.raises(ValueError, match="negative"):
            refused()
    for mode in (-1, 0o10000):
        with pytest.raises(ValueError, match="mode is a number from 0 to 0o7777"):
            bench.files.write_bytes("/tmp/x", b"", mode=mode)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OperationFailed, match=r"cannot read .*/fifo: it is no regular file"):
        bench.files.put(tmp_path / "fifo", "/tmp/x")


def test_files_of_proc_have_a_size_after_all(bench: Bench) -> None:
    bench.files.put("/proc/version", str(bench.folder / "there"))
    assert (bench.folder / "there").read_bytes() == Path("/proc/version").read_bytes()
    limit = Path("/proc/sys/kernel/printk_ratelimit_burst")
    bench.files.write_bytes(str(limit), limit.read_bytes())


@pytest.fixture
def mounted(bench: Bench) -> Iterator[Path]:
    """A small file system of its own on the board."""
    folder = bench.folder / "mounted"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root: run the tests as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_space_on_the_board(bench: Bench, mounted: Path) -> None:
    wire = bench.wire
    with pytest.raises(OperationFailed, match=r"no space on the board for .*: it takes 300000 bytes, 262144 are free"):
        bench.files.write_bytes(str(mounted / "there"), noise(300_000))
    assert bench.wire - wire < 3000  # seen before anything was sent
    assert not list(mounted.iterdir())
    bench.files.write_bytes(str(mounted / "there"), noise(100_000))


def test_space_that_ends_on_the_way(bench: Bench, mounted: Path) -> None:
    bench.line.rate = 300_000
    try:
        timer = threading.Timer(0.2, lambda: (mounted / "other").write_bytes(noise(200_000)))
        timer.start()
        with pytest.raises(OperationFailed, match="no space left on the board"):
            bench.files.write_bytes(str(mounted / "there"), noise(200_000))
        timer.join()
    finally:
        bench.line.rate = 0
    assert [path.name for path in mounted.iterdir()] == ["other"]


def test_read_only_here(bench: Bench, mounted: Path) -> None:
    source = bench.folder / "source"
    source.write_bytes(noise(10_000))
    (mounted / "there").write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    for local in (mounted, mounted / "there", mounted / "other"):
        with pytest.raises(OperationFailed, match=r"cannot write .*/mounted/.*: Read-only file system"):
            bench.files.get(str(source), local)
    assert [path.name for path in mounted.iterdir()] == ["there"]
    assert (mounted / "there").read_bytes() == b"old"


def test_no_space_here(bench: Bench, mounted: Path) -> None:
    source = bench.folder / "source"
    for data in (noise(300_000), prose(600_000)):  # on its way, or when it is unpacked
        source.write_bytes(data)
        with pytest.raises(OperationFailed, match=r"cannot write .*/there: No space left on device"):
            bench.files.get(str(source), mounted / "there")
        assert not list(mounted.iterdir())


def test_read_only_on_the_board(bench: Bench, mounted: Path) -> None:
    (mounted / "there").write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    with pytest.raises(OperationFailed, match=r"cannot use .*/there on the board: Read-only file system"):
        bench.files.write_bytes(str(mounted / "there"), noise(10_000))
    assert bench.files.read_bytes(str(mounted / "there")) == b"old"


@pytest.mark.parametrize("has", [("md5sum", "gzip"), ("cksum",), (), ("sha256sum", "xz", "base64")])
def test_boards_that_lack_things(tmp_path: Path, has: tuple[str, ...]) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    needed = ("cat", "dd", "wc", "stty", "rm", "mv", "ln", "chmod", "ls", "cut", "head", "readlink", "printf")
    for name in (*needed, *has):
        (programs / name).symlink_to(Path("/usr/bin", name))
    with open_bench(tmp_path, f"env PATH={programs} /bin/dash -i") as bench:
        for data in (noise(50_000), prose(50_000), b""):
            bench.files.write_bytes(str(tmp_path / "there"), data)
            assert (tmp_path / "there").read_bytes() == data
            assert bench.files.read_bytes(str(tmp_path / "there")) == data
        source = tmp_path / "source"
        source.write_bytes(b"#!/bin/sh\n")
        source.chmod(0o751)
        bench.files.put(source, str(tmp_path / "there"))
        bench.files.get(str(tmp_path / "there"), tmp_path / "back")
        assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o751
        assert bench.shell.run("echo usable").stdout == "usable\n"


def pack(data: bytes, can_undo: tuple[str, ...], rate: float) -> tuple[str, bytes]:
    contents = Contents(BytesIO(data), len(data))
    with compression.packed(contents, can_undo, rate, Deadline.after(60)) as (name, packed):
        return name, b"".join(packed.chunks(Deadline.after(60)))


def test_what_each_format_makes_is_undone(tmp_path: Path) -> None:
    text = prose(100_000)
    for name in compression.known_here():
        assert (
            subprocess.run([name, "-dc"], input=compression.SAMPLES[name], capture_output=True, check=True).stdout
            == b"lava"
        )
        used, packed = pack(text, (name,), 0)
        assert used == name
        assert len(packed) < 0.5 * len(text)
        (tmp_path / name).write_bytes(packed)
        found: list[bytes] = []
        with (tmp_path / name).open("rb") as file:
            compression.unpack(name, file, found.append)
        assert b"".join(found) == text
        (tmp_path / name).write_bytes(packed[: len(packed) // 2])
        with (tmp_path / name).open("rb") as file, pytest.raises(InfrastructureError, match="cannot be undone"):
            compression.unpack(name, file, found.append)


def test_what_is_not_worth_compressing() -> None:
    everything = compression.known_here()
    for data, rate in ((noise(100_000), 0), (b"x" * 1000, 0), (prose(100_000), 1e7)):
        assert pack(data, everything, rate)[0] == "none"
    assert pack(prose(100_000), (), 0)[0] == "none"
    assert pack(prose(100_000), everything, 1e6)[0] == "gzip"
    assert pack(prose(100_000), everything, 1e4)[0] == "bzip2"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("644", 0o644),
        ("4755", 0o4755),
        ("-rw-r--r--", 0o644),
        ("-rwsr-Sr-t", 0o7745),
        ("-rwxr-xr-x", 0o755),
        ("?", None),
    ],
)
def test_modes(text: str, mode: int | None) -> None:
    assert mode_of(text) == mode

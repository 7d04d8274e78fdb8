"""Files through a real UART: to busybox ash and back, while the kernel talks, and to U-Boot's memory."""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import Board, State
from pytest_lava.console.agent import AgentShell
from pytest_lava.errors import KernelCrash, OperationFailed, Timeout
from pytest_lava.transfer.api import TransferPolicy

pytestmark = pytest.mark.emulated

SIZE = (256 if os.environ.get("LAVA_SOAK") else 64) << 10
TALK = (
    "dmesg -n 8; echo on >/proc/sys/kernel/printk_devkmsg;"
    "(while [ -e /tmp/talk ]; do echo talk >/dev/kmsg; usleep 50000; done) >/dev/null 2>&1 &"
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A board whose network is not used."""
    with open_board(tmp_path_factory.mktemp("arm64"), "qemu-arm64", transfer=TransferPolicy("serial")) as board:
        yield board


@pytest.fixture
def shell(board: Board) -> AgentShell:
    """The board's own, which is the agent's."""
    board.reach(State.SHELL)
    assert isinstance(board.shell, AgentShell)
    return board.shell


def test_load_into_the_memory_of_uboot(board: Board, tmp_path: Path) -> None:
    board.reach(State.BOOTLOADER)
    uboot = board.bootloader
    file = tmp_path / "blob"
    file.write_bytes(random.Random(1).randbytes((64 << 10) - 5))
    seen: list[tuple[int, int]] = []
    address = uboot.load(file, "${kernel_addr_r}", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (file.stat().st_size, file.stat().st_size)
    assert len(seen) == 64
    assert f"{address:x}" in uboot.run("printenv kernel_addr_r")
    assert f"{zlib.crc32(file.read_bytes()):08x}" in uboot.run("crc32 ${fileaddr} ${filesize}")
    for wrong, words in (("${no_such_variable}", "there is no such variable"), ("nonsense", "is no address")):
        with pytest.raises(OperationFailed, match=words):
            uboot.load(file, wrong)
    with pytest.raises(OperationFailed, match=r"cannot read .*: No such file"):
        uboot.load(tmp_path / "missing", address)
    (tmp_path / "empty").touch()
    with pytest.raises(OperationFailed, match="an empty file cannot be loaded"):
        uboot.load(tmp_path / "empty", address)
    file.write_bytes(random.Random(1).randbytes((1 << 20) + 300_000))
    with pytest.raises(Timeout):
        uboot.load(file, address, timeout=1)
    assert "fine" in uboot.run("echo fine")
    if os.environ.get("LAVA_SOAK"):  # more than one piece: a quarter of a minute
        assert uboot.load(file, address) == address
        assert f"{zlib.crc32(file.read_bytes()):08x}" in uboot.run("crc32 ${fileaddr} ${filesize}")


def test_put_and_get(shell: AgentShell, board: Board, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(random.Random(2).randbytes(SIZE))
    source.chmod(0o754)
    for remote, what in (("/tmp/quiet", "quiet"), ("/tmp/talked over", "talk")):
        if what == "talk":
            shell.run(f"touch /tmp/talk; {TALK}")
        before = board.console.end
        began = time.monotonic()
        shell.put(source, remote)
        middle = time.monotonic()
        shell.get(remote, back)
        ended = time.monotonic()
        print(f"{what}: put {SIZE / (middle - began):.0f} B/s, get {SIZE / (ended - middle):.0f} B/s")
        assert back.read_bytes() == source.read_bytes()
        assert back.stat().st_mode == source.stat().st_mode
        assert int(back.stat().st_mtime) == int(source.stat().st_mtime)
        assert board.console.end - before < 1.4 * SIZE + 4000
        back.unlink()
    assert board.console.read(before).count(b"] talk\r\n") > 5
    text = b"".join(b"line %d of a text\n" % number for number in range(3000))
    shell.write_bytes("/tmp/text", text)
    assert shell.read_bytes("/tmp/text") == text
    shell.check("rm /tmp/talk; dmesg -n 4")
    assert b"Linux version" in shell.read_bytes("/proc/version")
    shell.check("mkdir -p /tmp/small; mount -t tmpfs -o size=64k none /tmp/small")
    with pytest.raises(OperationFailed, match="no space on the board"):
        shell.write_bytes("/tmp/small/too much", random.Random(3).randbytes(100_000))
    assert shell.run("echo usable; ls -A /tmp/small").stdout == "usable\n"


@pytest.mark.parametrize("name", ["qemu-arm64", "qemu-x86_64"])
def test_the_network_of_a_shipped_board(tmp_path: Path, name: str) -> None:
    data = random.Random(5).randbytes(1_000_000)
    with open_board(tmp_path, name) as board:
        board.reach(State.SHELL)
        before, began = board.console.end, time.monotonic()
        board.shell.write_bytes("/tmp/there", data)
        middle = time.monotonic()
        assert board.shell.read_bytes("/tmp/there") == data
        print(f"{name}: put {len(data) / (middle - began):.0f} B/s, get {len(data) / (time.monotonic() - middle):.0f}")
        assert board.console.end - before < 10_000
        assert "files go by http" in (tmp_path / "events.jsonl").read_text()
        board.shell.check("ifconfig eth0 down")
        board.shell.write_bytes("/tmp/there", b"x" * 40_000)
        assert "put does not go by http any more" in (tmp_path / "events.jsonl").read_text()
        assert board.shell.read_bytes("/tmp/there") == b"x" * 40_000
        assert board.shell.run("echo usable").stdout == "usable\n"


@pytest.mark.parametrize("way", ["put", "get"])
def test_crash_in_the_middle(shell: AgentShell, board: Board, way: str) -> None:
    data = random.Random(4).randbytes(3 << 20)
    shell.write_bytes("/tmp/some", data[: 16 << 10])
    shell.check("head -c 3000000 /dev/urandom >/tmp/there; (sleep 2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
    with pytest.raises(KernelCrash, match=r"sysrq|panic|Kernel"):
        shell.write_bytes("/tmp/lost", data) if way == "put" else shell.read_bytes("/tmp/there")
    told = time.monotonic()
    assert board.console.finding
    print(f"{way}: crash told; log at {board.console.end}, told {time.monotonic() - told:.2f} s after")
    board.lose("it died in a test")
    board.recover()

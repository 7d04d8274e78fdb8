"""A resumed board is the same machine, at once usable, and as honest as one that booted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from emulated.snapshot.conftest import Open, booted
from support.boards import open_board

from pytest_lava.board.board import Board, BootRecord
from pytest_lava.deadline import monotonic
from pytest_lava.errors import KernelCrash

pytestmark = pytest.mark.emulated


def test_the_same_machine(opens: Open, kept: tuple[Path, BootRecord, str], tmp_path: Path) -> None:
    _, first, boot_id = kept
    with opens() as board:
        assert not booted(board)
        record, shell = board.last_boot, board.shell
        assert record
        assert (record.release, record.version, record.machine) == (first.release, first.version, first.machine)
        assert shell.run("cat /tmp/id /proc/sys/kernel/random/boot_id").stdout == boot_id * 2
        then, now = (float(shell.run(f"cat {file}").stdout.split()[0]) for file in ("/tmp/up", "/proc/uptime"))
        assert then < now < then + 60
        assert abs(int(shell.run("date +%s").stdout) - time.time()) < 3
        assert int(shell.run("cat /tmp/date").stdout) < time.time()
        assert b"U-Boot" not in (tmp_path / "console.log").read_bytes()
        # what needs more functions of the agent, and a line in other modes
        shell.write_bytes("/tmp/file", bytes(range(256)) * 64)
        assert shell.read_bytes("/tmp/file") == bytes(range(256)) * 64
        assert shell.run("cat", input="given").stdout == "given"
        shell.sendline("echo in$((1+1))active")
        shell.expect("in2active")
        shell.expect(shell.prompt)
        assert shell.run("echo on").stdout == "on\n"
    events = (tmp_path / "events.jsonl").read_text()
    assert "resumed, not booted: the state of" in events
    assert "boot.kernel" not in events


def test_a_panicked_board_comes_back(opens: Open) -> None:
    with opens() as board:
        assert not booted(board)
        for boot_id in (2, 3):
            board.shell.check("echo x >/tmp/x")
            with pytest.raises(KernelCrash):
                board.shell.run("echo c >/proc/sysrq-trigger")
            board.lose("it crashed")
            board.recover()
            begin = monotonic()
            assert not booted(board)
            assert board.shell.run("cat /tmp/id; ls /tmp/x").returncode != 0
            assert monotonic() - begin < 10
            assert board.boot_id == boot_id


def test_callbacks_run_after_each_resume_too(opens: Open) -> None:
    seen: list[str] = []
    with opens() as board:
        board.on_boot(lambda board: seen.append(board.shell.run("cat /tmp/id; touch /tmp/id2; ls /tmp").stdout))
        assert not booted(board)
        board.recover()
        assert not booted(board)
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_a_boot_that_is_asked_for_is_one(opens: Open) -> None:
    with opens() as board:
        assert not booted(board)
        board.recover(anew=True)
        assert booted(board)
        board.recover()
        assert not booted(board)


def test_random_numbers_differ(opens: Open, tmp_path: Path) -> None:
    """Two boards that resume one state are two boards: their kernels reseed at once."""

    def numbers(board: Board) -> str:
        assert not booted(board)
        return board.shell.run("head -c 16 /dev/urandom | od -An -tx1").stdout

    with opens() as board:
        first = numbers(board)
        board.recover()
        assert numbers(board) != first
        assert board.shell.run("cat $__f.r; ls $__f.r").stdout.endswith(".r\n")  # nothing of the program is left
    assert '"level": "warning"' not in (tmp_path / "events.jsonl").read_text()


def test_random_numbers_of_a_kernel_that_has_none_yet(tmp_path: Path) -> None:
    """Nothing feeds it while it boots: it refuses to reseed before it was given some."""
    seen = []
    for _ in range(3):
        with open_board(tmp_path, "qemu-x86_64", cache=tmp_path / "cache", snapshots=True) as board:
            booted(board)
            seen.append(board.shell.run("head -c 16 /dev/urandom | od -An -tx1").stdout)
            assert board.last_boot
            assert bool(board.last_boot.resumed) is (len(seen) > 1)
    assert len(set(seen)) == 3
    assert '"level": "warning"' not in (tmp_path / "events.jsonl").read_text()


def test_flash_and_card(tmp_path: Path) -> None:
    """A board with firmware in a flash of its own, and slots of the machine that are written to."""
    flash, card = tmp_path / "flash.bin", tmp_path / "card.img"
    flash.write_bytes(b"f" * 1000)
    card.write_bytes(b"c" * 5000)
    text = (
        "extends = 'qemu-arm64'\n[power]\narguments = ['-device', 'sdhci-pci']\n"
        "[deploy.drives]\nflash = { device = 'pflash:1', size = '64M' }\ncard = 'sd-card'\n"
        "[boot]\ncommands = ['protect off all', 'erase 0x4000000 +0x40000', 'mw.b 0x40000000 42 16', "
        "'cp.b 0x40000000 0x4000000 16', 'setenv bootargs \"{append}\"', 'load virtio 0 ${kernel_addr_r} {kernel}', "
        "'load virtio 0 ${ramdisk_addr_r} {initrd}', 'booti ${kernel_addr_r} {ramdisk} {fdt}']\n"
    )
    images = (f"flash={flash}", f"card={card}")
    for resumes in (False, True):
        with open_board(tmp_path, "b", text, images=images, cache=tmp_path / "cache", snapshots=True) as board:
            assert booted(board) is not resumes
            read = "devmem 0x4000000; devmem 0x4080000"
            assert board.shell.run(read).stdout.split() == ["0x42424242", "0x00000000"]
    assert (flash.read_bytes(), card.read_bytes()) == (b"f" * 1000, b"c" * 5000)


def test_what_was_written_to_drives_is_kept(tmp_path: Path) -> None:
    image = tmp_path / "data.img"
    image.write_bytes(b"r" * 65536)
    text = "extends = 'qemu-x86_64'\n[login]\ncommands = ['printf changed | dd of=/dev/vda conv=fsync,notrunc']\n"
    (tmp_path / "cache").mkdir()

    def opened(file: Path) -> list[object]:
        with open_board(tmp_path, "d", text, images=(str(file),), cache=tmp_path / "cache", snapshots=True) as board:
            seen: list[object] = [booted(board), board.shell.run("head -c 9 /dev/vda; wc -c </dev/vda").stdout]
            board.shell.check("echo once more >/dev/vda; sync")
            return seen

    assert opened(image) == [True, "changedrr65536\n"]
    assert opened(image) == [False, "changedrr65536\n"]
    moved = image.rename(tmp_path / "moved.img")
    assert opened(moved) == [False, "changedrr65536\n"]
    assert moved.read_bytes() == b"r" * 65536
    moved.write_bytes(b"s" * 65536)
    assert opened(moved) == [True, "changedss65536\n"]


def test_boards_that_keep_nothing(tmp_path: Path) -> None:
    """What stands in the board file; and what a drive takes that outlives the run."""
    text = "extends = 'qemu-x86_64'\n[power]\n"
    with open_board(tmp_path, "no", f"{text}snapshot = false\n", snapshots=True) as board:
        assert board.snapshots is None
    data = tmp_path / "data.img"
    data.write_bytes(bytes(1 << 20))
    drive = f"{text}arguments = ['-drive', 'file={data},format=raw,if=virtio']\n"
    with open_board(tmp_path, "drive", drive, cache=tmp_path / "cache", snapshots=True) as board:
        assert booted(board)
        board.shell.check("[ -b /dev/vda ]")
    assert not list((tmp_path / "cache").glob("snapshots/*"))
    assert "no snapshot: what the board writes to its drive virtio0 outlives" in (tmp_path / "events.jsonl").read_text()

"""A real kernel behind a real serial line: what works, and every way in which a board dies under a command."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boards import open_board
from support.lines import soon

from pytest_lava.board.board import Board, State
from pytest_lava.errors import CommandTimeout, ConsoleLost, KernelCrash, OperationFailed, UnexpectedReset

pytestmark = pytest.mark.emulated


@pytest.fixture(scope="module")
def x86(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with open_board(tmp_path_factory.mktemp("x86"), "qemu-x86_64") as board:
        yield board


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with open_board(tmp_path_factory.mktemp("arm64"), "qemu-arm64") as board:
        yield board


def recovered(board: Board) -> None:
    """After a crash: exactly one more boot gives a shell."""
    boots = board.boot_id
    board.lose("it died in a test")
    board.recover()
    assert board.shell.run("echo alive").stdout == "alive\n"
    assert (board.boot_id, board.state) == (boots + 1, State.SHELL)


def test_facts(x86: Board) -> None:
    x86.reach(State.SHELL)
    record = x86.last_boot
    assert record
    assert record.machine == "x86_64"
    assert record.release in x86.shell.run("cat /proc/version").stdout
    assert x86.deployment.kernel
    assert x86.deployment.kernel.file.release == record.release


def test_exact_over_a_uart(x86: Board) -> None:
    data = bytes(range(256)) * 8
    result = x86.shell.run("cat; echo err >&2; exit 3", input=data)
    assert (result.stdout_bytes, result.stderr, result.returncode) == (data, "err\n", 3)
    assert x86.shell.run("echo " + "x" * 5000).stdout == "x" * 5000 + "\n"


def test_exact_while_the_kernel_talks(x86: Board) -> None:
    shell = x86.shell
    talk = "dmesg -n 8; (while [ -e /tmp/talk ]; do echo talk >/dev/kmsg; usleep 20000; done) >/dev/null 2>&1 &"
    shell.check(f"touch /tmp/talk; echo on >/proc/sys/kernel/printk_devkmsg; {talk}")
    start = x86.console.end
    wrong = [
        result
        for number in range(40)
        if (result := shell.run(f"echo {number}; echo e{number} >&2; exit {number}")).stdout != f"{number}\n"
        or (result.stderr, result.returncode) != (f"e{number}\n", number)
    ]
    shell.check("rm /tmp/talk; dmesg -n 4")
    assert wrong == []
    assert x86.console.read(start).count(b"] talk\r\n") > 10


def test_output_about_crashes_is_no_crash(x86: Board) -> None:
    said = "Kernel panic - not syncing: only said"
    assert x86.shell.run(f"echo '{said}'").stdout == said + "\n"
    assert "Linux version" in x86.shell.run("dmesg").stdout
    assert x86.at_ease
    x86.shell.check(f"echo '{said}' >/dev/kmsg; usleep 200000")
    x86.console.dismiss_findings()


def test_command_over_its_time(x86: Board) -> None:
    with pytest.raises(CommandTimeout):
        x86.shell.run("sleep 100", timeout=0.3)
    assert x86.shell.run("echo next").stdout == "next\n"


def test_crash_in_a_command(x86: Board) -> None:
    start = time.monotonic()
    with pytest.raises(
        KernelCrash, match=r"^the kernel crashed: Kernel panic - not syncing: sysrq triggered"
    ) as caught:
        x86.shell.run("echo c >/proc/sysrq-trigger", timeout=30)
    assert time.monotonic() - start < 5
    assert "sysrq: Trigger a crash" in caught.value.evidence
    assert "Call Trace:" in caught.value.evidence
    assert "end Kernel panic" in caught.value.evidence
    recovered(x86)


def test_emulator_killed(x86: Board) -> None:
    pid = x86._power.pid  # type: ignore[attr-defined]
    x86.console.write(b"sleep 10\n", soon())
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ConsoleLost, match="QEMU was killed by SIGKILL"):
        x86.shell.run("true", timeout=10)
    assert not x86.at_ease
    recovered(x86)


def test_board_that_switches_itself_off(x86: Board) -> None:
    with pytest.raises((UnexpectedReset, ConsoleLost), match=r"reboot: Power down|the board switched itself off"):
        x86.shell.run("poweroff -f", timeout=20)


def test_boot_loader(arm64: Board) -> None:
    bootloader = arm64.bootloader
    assert arm64.state is State.BOOTLOADER
    assert "U-Boot 2" in bootloader.run("version")
    assert bootloader.run("true") == ""
    with pytest.raises(OperationFailed, match=r"^U-Boot: nonsense failed: Unknown command 'nonsense'"):
        bootloader.run("nonsense")
    with pytest.raises(OperationFailed, match="U-Boot: false failed with status 1"):
        bootloader.run("false")
    assert bootloader.run("setenv lava 42; echo $lava").strip().endswith("42")


def test_from_the_boot_loader_to_the_shell(arm64: Board) -> None:
    assert arm64.shell.run("uname -m").stdout == "aarch64\n"
    assert arm64.boot_id == 1


def test_board_that_resets_in_a_command(arm64: Board) -> None:
    with pytest.raises(UnexpectedReset, match=r"^the board reset by itself: reboot: Restarting system$") as caught:
        arm64.shell.run("reboot -f", timeout=20)
    assert "U-Boot 2" in caught.value.evidence
    recovered(arm64)


def test_console_log_holds_all_boots(arm64: Board) -> None:
    log = Path(arm64.console.log).read_bytes()
    assert log.count(b"Starting kernel ...") == 2
    assert len(log) == arm64.console.end

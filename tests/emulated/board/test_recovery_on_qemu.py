"""A kernel that died restarts the board by itself or when asked over the line; else the power is switched."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.revival import may_reset
from pytest_lava.errors import KernelCrash
from pytest_lava.lab.recovery import Death, Rescue

pytestmark = pytest.mark.emulated


CRASH = "echo c >/proc/sysrq-trigger"
DEATHS = [
    ("restart by SysRq", CRASH),
    ("restart of its own", f"echo 1 >/proc/sys/kernel/panic; {CRASH}"),
    ("restart of its own", "reboot -f"),
    ("power cycle", f"echo 3600 >/proc/sys/kernel/panic; {CRASH}"),  # until then it answers nothing
    ("power cycle", "poweroff -f"),
    ("power cycle", CRASH),
]


def test_restart_by_itself_by_the_panicked_kernel_or_by_power(tmp_path: Path) -> None:
    with open_board(tmp_path, "qemu-arm64") as board:
        for number, (rung, death) in enumerate(DEATHS, 1):
            with pytest.raises(KernelCrash):
                board.shell.run(death, timeout=20)
            board.lose("it panicked")
            before = board.boot_id
            if number == len(DEATHS):
                board.console.sysrq = "0"  # as a kernel told that was booted with sysrq=0
            recovery = Rescue(board, "reboot", lambda: None).climb(Death.KERNEL, "it panicked")
            assert [(one.name, one.worked) for one in recovery.rungs] == [(rung, True)]
            assert board.boot_id == before + 1
            assert board.shell.run("echo on").stdout == "on\n"


@pytest.mark.parametrize(
    ("sysrq", "allowed"),
    [("1", True), ("438", True), ("128", True), ("0", False), ("16", False), ("", False), ("4", False)],
)
def test_which_kernels_may_be_asked(sysrq: str, allowed: bool) -> None:
    assert may_reset(sysrq) is allowed

"""A panicked kernel restarts the board when asked over the line; where it is not allowed to, the power is switched."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.revival import may_reset
from pytest_lava.errors import KernelCrash
from pytest_lava.lab.recovery import Death, Rescue

pytestmark = pytest.mark.emulated


def test_restart_by_the_panicked_kernel_and_then_by_power(tmp_path: Path) -> None:
    with open_board(tmp_path, "qemu-arm64") as board:
        for rung, forbidden in (("restart by SysRq", False), ("power cycle", True)):
            with pytest.raises(KernelCrash):
                board.shell.run("echo c >/proc/sysrq-trigger", timeout=20)
            board.lose("it panicked")
            before = board.boot_id
            if forbidden:
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

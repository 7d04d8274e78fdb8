"""Boards that somebody else started: taken as they stand, given back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boards import open_board
from support.outside import Outside, linux

from pytest_lava.board.board import State
from pytest_lava.errors import InfrastructureError

pytestmark = pytest.mark.emulated


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.end()


def attached(url: str, rest: str = "") -> str:
    return f"power = 'none'\nconsole = '{url}'\nboot = 'attach'\n{rest}"


def test_shell_on_a_tcp_port(tmp_path: Path, outside: Outside) -> None:
    url = outside.start(*linux(), serial="socket,host=127.0.0.1,port=0,server=on,wait=off")
    for _ in range(2):
        with open_board(tmp_path, "b", attached(url, "arch = 'x86_64'\n")) as board:
            assert board.shell.run("uname -m").stdout == "x86_64\n"
            assert board.boot_id == 1


def test_login_on_a_pty(tmp_path: Path, outside: Outside) -> None:
    url = outside.start(*linux("lava.login"), serial="pty")
    text = attached(url, "arch = 'x86_64'\n[login]\nuser = 'lava'\npassword = 'lava'\n")
    with open_board(tmp_path, "b", text) as board:
        assert board.shell.run("id -un").stdout == "lava\n"


def test_boot_loader_on_a_pty(tmp_path: Path, outside: Outside) -> None:
    uboot = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "256", "-bios",
             "/usr/lib/u-boot/qemu_arm64/u-boot.bin"]  # fmt: skip
    url = outside.start(*uboot, serial="pty")
    with open_board(tmp_path, "b", attached(url, "arch = 'arm64'\n[timeouts]\nbootloader = 15\n")) as board:
        assert "U-Boot 2" in board.bootloader.run("version")
        with pytest.raises(InfrastructureError, match="board 'b' stands at its boot loader's prompt"):
            board.reach(State.SHELL)

"""Boards that somebody else started: taken as they stand, given back as they were."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import State
from pytest_lava.errors import InfrastructureError
from pytest_lava.images.cache import cache_dir

pytestmark = pytest.mark.emulated


class Outside:
    """A QEMU that is not ours, with its console on a pty or a TCP port."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *argv: str, serial: str) -> str:
        """Start it; the URL of its console."""
        process = subprocess.Popen(
            [*argv, "-nodefaults", "-display", "none", "-monitor", "stdio", "-chardev", f"{serial},id=c", "-serial",
             "chardev:c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._running.append(process)
        assert process.stdin
        assert process.stdout
        process.stdin.write("info chardev\n")
        process.stdin.flush()
        for line in process.stdout:
            if found := re.search(r"(?:filename=disconnected:tcp:|filename=pty:)([^,\s]+)", line):
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return found[1] if found[1].startswith("/") else f"socket://{found[1]}"
        raise AssertionError("QEMU did not say where its console is")

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.end()


def linux(words: str = "") -> list[str]:
    folder = cache_dir() / "debian-x86_64"
    (initrd,) = folder.glob("initrd-*.img")
    return ["qemu-system-x86_64", "-M", "q35", "-m", "256", "-accel", "tcg", "-kernel", str(folder / "vmlinuz"),
            "-initrd", str(initrd), "-append", f"console=ttyS0 quiet {words}"]  # fmt: skip


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

"""Logging in, with the test playing the board: every byte that a boot may say at the wrong moment."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.lines import Peer, soon

from pytest_lava.boot import login as login_module
from pytest_lava.boot import uboot as uboot_module
from pytest_lava.boot.api import BootContext
from pytest_lava.boot.attach import AttachBoot
from pytest_lava.boot.login import LoginBoot, log_in
from pytest_lava.boot.uboot import UBootBoot
from pytest_lava.config.model import Login
from pytest_lava.console.console import Console
from pytest_lava.console.watch import FindingKind
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import (
    BootFailed,
    ConfigurationError,
    InfrastructureError,
    KernelCrash,
    OperationFailed,
    Timeout,
)
from pytest_lava.events import EventLog


class Played:
    """A board that says what the test tells it to, and answers a take-over as a shell does."""

    def __init__(self, folder: Path, login: Login | None = None) -> None:
        self.console = Console(folder / "console.log")
        self.peer = Peer(self.console)
        self.context = BootContext("played", self.console, login or Login(user="me", password="secret"), EventLog(), 60)
        self.typed: list[bytes] = []

    def plays(self, *steps: bytes | float | Callable[[], None]) -> None:
        """In a thread: say bytes, pause for seconds, call."""

        def play() -> None:
            for step in steps:
                if isinstance(step, bytes):
                    self.peer.says(step)
                elif isinstance(step, float):
                    time.sleep(step)
                else:
                    step()

        def play_to_the_end() -> None:
            with suppress(OSError):  # the test was over before
                play()

        threading.Thread(target=play_to_the_end, daemon=True).start()

    def hears(self) -> None:
        """Wait for one line."""
        line = b""
        while not line.endswith(b"\n"):
            line += self.peer.hears(1)
        self.typed.append(line)

    def is_taken_over(self) -> None:
        """Answer as a shell does: a newline with its prompt, and our loop by running it."""
        for until, facts in ((rb";fi\n", b""), (rb"\n\.\n\.\n", b"+")):
            heard = b""
            while not re.search(until, heard):
                heard += self.peer.hears()
                if heard == b"\n":
                    self.typed.append(heard)
                    self.peer.says(b"\r\n# ")
                    heard = b""
            left, right = re.findall(rb'echo @(\w+)""(\w+)', heard)[0 if not facts else -1]
            self.peer.says(b"@" + left + right + facts + b"\n")

    def close(self) -> None:
        self.peer.close()
        self.console.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Played]:
    board = Played(tmp_path)
    yield board
    board.close()


def test_login_with_user_and_password(board: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_module, "_SETTLE", 0.2)  # this machine may be busy
    board.plays(
        b"Debian\r\nboard login: ", board.hears, b"me\r\nPassword: ", board.hears,
        b"\r\nLast login: Mon", 0.01, b" Nov 24 on ttyS0\r\n$ ", board.is_taken_over,
    )  # fmt: skip
    log_in(board.context, soon())
    assert board.typed == [b"me\n", b"secret\n"]


def test_what_only_looks_like_a_prompt_gets_nothing_typed(board: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these stands at the end of what has come for a moment, as on a line that brings byte after byte."""
    monkeypatch.setattr(login_module, "_SETTLE", 0.2)  # this machine may be busy
    board.plays(
        b"[    0.000000] Linux version 6.1.0 (gcc) #", 0.01, b"1 SMP\r\n",
        b"Last login: ", 0.01, b"Mon\r\n", b"cost 5 $", 0.01, b"\r\n# ", board.is_taken_over,
    )  # fmt: skip
    log_in(board.context, soon())
    assert board.typed == []


def test_prompt_with_a_kernel_message_behind_it(board: Played) -> None:
    board.plays(b"# ", 0.01, b"[    9.876543] random: crng init done\r\n", board.is_taken_over)
    log_in(board.context, soon(2))


def test_prompt_that_was_printed_over_is_asked_for(board: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the kernel goes on talking."""
    monkeypatch.setattr(login_module, "_NUDGE_AFTER", 0.2)
    chatter = [part for _ in range(5) for part in (0.1, b"[    9.876543] random: crng init done\r\n")]
    board.plays(b"# [    9.0", 0.1, b"00000] usb 1-1: new device\r\n")
    board.plays(*chatter)
    board.plays(board.is_taken_over)
    log_in(board.context, soon())
    assert set(board.typed) == {b"\n"}


def test_login_that_is_refused(board: Played) -> None:
    board.plays(b"login: ", board.hears, b"Password: ", board.hears, b"\r\nLogin incorrect\r\nboard login: ")
    with pytest.raises(
        BootFailed, match=r"the login of user 'me' was refused on played: set.* user and password"
    ) as failed:
        log_in(board.context, soon())
    assert "Login incorrect" in failed.value.evidence


def test_no_prompt(board: Played) -> None:
    board.plays(b"nothing that looks like one\r\n")
    with pytest.raises(Timeout, match="no login or shell prompt in time") as caught:
        log_in(board.context, soon(0.2))
    assert "nothing that looks like one" in caught.value.evidence


def test_panic_while_booting(board: Played) -> None:
    board.console.arm(FindingKind.FATAL)
    board.plays(b"[    1.000000] Kernel panic - not syncing: VFS\r\n[    1.1] ---[ end Kernel panic ]---\r\n")
    with pytest.raises(KernelCrash, match="Kernel panic - not syncing: VFS"):
        log_in(board.context, soon())


def test_attach_at_the_boot_loader(board: Played) -> None:
    boot = AttachBoot(AttachBoot.Options(), board.context)
    board.plays(board.hears, b"\r\n=> ")
    with pytest.raises(InfrastructureError, match="board 'played' stands at its boot loader's prompt: boot it first"):
        boot.shell(soon())
    board.plays(board.hears, b"\r\n=> ")
    assert boot.bootloader(soon()) is not None
    with pytest.raises(InfrastructureError, match="board 'played' is not at its boot loader's prompt"):
        boot.bootloader(soon(0.05))


def test_board_without_boot_loader(board: Played) -> None:
    with pytest.raises(ConfigurationError, match="board 'played' has no boot loader prompt"):
        LoginBoot(LoginBoot.Options(), board.context).bootloader(soon())


# -- U-Boot ---------------------------------------------------------------------------------------------------------

BANNER = b"\r\n\r\nU-Boot 2023.01 (Aug 13 2024)\r\n\r\nHit any key to stop autoboot:  2 "
SCRIPT = ("setenv bootargs '{append}'", "load {kernel}", "load {initrd}", "booti ${kernel_addr_r} {ramdisk} {fdt}")


def uboot(board: Played, *commands: str) -> UBootBoot:
    return UBootBoot(UBootBoot.Options(commands=commands or SCRIPT), board.context)


def answer(board: Played, output: bytes = b"", status: int = 0) -> Callable[[], None]:
    """Echo a command line, its output, its status, the prompt, as U-Boot does."""

    def play() -> None:
        board.hears()
        line = board.typed[-1].rstrip(b"\n")
        tag = line.rsplit(b"echo ", 1)[1].removesuffix(b"=$?")
        board.peer.says(line + b"\r\n" + output + tag + b"=%d\r\n=> " % status)

    return play


def test_script_leaves_out_lines_for_files_that_are_not_there(board: Played) -> None:
    boot = uboot(board)
    board.plays(BANNER, lambda: board.typed.append(board.peer.hears(1)), b"\r\n=> ", answer(board), answer(board),
                board.hears, b"booti\r\nStarting kernel ...\r\n")  # fmt: skip
    bootloader = boot.bootloader(soon())
    boot.kernel(bootloader, Deployment(files={"kernel": "Image", "append": "quiet"}), soon())
    key, setenv, load, booti = board.typed
    assert key == b" "
    assert setenv.startswith(b"setenv bootargs 'quiet'; echo ")
    assert load.startswith(b"load Image; echo ")
    assert booti == b"booti ${kernel_addr_r} - ${fdtcontroladdr}\n"


def test_command_that_fails_names_what_uboot_said(board: Played) -> None:
    board.plays(b"\r\n=> ", answer(board, b"** Bad device specification virtio 0 **\r\n", 1))
    boot = uboot(board)
    bootloader = boot.bootloader(soon())
    with pytest.raises(OperationFailed, match=r"^U-Boot: load x failed: \*\* Bad device specification virtio 0 \*\*$"):
        bootloader.run("load x")
    board.plays(answer(board, b"", 1))
    with pytest.raises(BootFailed, match=r"^U-Boot: load y failed with status 1$"):
        uboot(board, "load y", "booti").kernel(bootloader, Deployment(), soon())
    with pytest.raises(ValueError, match="one line"):
        bootloader.run("a\nb")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"Bad Linux ARM64 Image magic!\r\n=> ", "Bad Linux ARM64 Image magic!"),
        (b"=> ", "its prompt came back after 'booti'"),
        (b"kernel_comp_addr_r is not provided!\r\n=> ", "kernel_comp_addr_r is not provided!"),
        (b"ERROR: Did not find a cmdline Flattened Device Tree\r\nresetting ...\r\n" + BANNER, "ERROR: Did not find"),
        (b"\r\n\r\nU-Boot 2023.01", "it reset after 'booti'"),
        (b"hangs", "no kernel started in time after 'booti'"),
    ],
)  # fmt: skip
def test_kernel_that_does_not_start(board: Played, said: bytes, why: str) -> None:
    board.plays(b"\r\n=> ", board.hears, b"booti\r\n" + said)
    boot = uboot(board, "booti")
    with pytest.raises(BootFailed, match=re.escape(f"U-Boot could not start the kernel: {why}")):
        boot.kernel(boot.bootloader(soon()), Deployment(), soon(0.3))


def test_kernel_that_resets_the_board(board: Played) -> None:
    boot = uboot(board, "booti")
    board.plays(BANNER, lambda: board.peer.hears(1), b"\r\n=> ", board.hears, b"Starting kernel ...\r\n", 0.1, BANNER)
    boot.kernel(boot.bootloader(soon()), Deployment(), soon())
    with pytest.raises(BootFailed, match="the kernel reset played while it booted: U-Boot came back"):
        boot.shell(soon())


def test_boot_loader_that_never_comes(board: Played) -> None:
    with pytest.raises(InfrastructureError, match="never came on played: nothing came over the serial line at all"):
        uboot(board).bootloader(soon(0.1))
    board.plays(b"some other boot loader\r\n> ")
    with pytest.raises(InfrastructureError, match=r"never came on played: check \[boot\] prompt and autoboot"):
        uboot(board).bootloader(soon(0.2))


def test_a_key_that_was_lost_is_typed_again(board: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uboot_module, "_KEY", 0.1)
    board.plays(BANNER, *[lambda: board.peer.hears(1)] * 3, b"\r\n=> ", takes_back(board), answer(board, b"there", 0))
    assert uboot(board).bootloader(soon()).run("x").strip() == "there"


def test_a_board_that_does_not_wait_for_the_key(board: Played) -> None:
    board.plays(BANNER, lambda: board.peer.hears(1), b"\r\nStarting kernel ...\r\n")
    with pytest.raises(InfrastructureError, match=r"^played booted by itself before .* raise its bootdelay"):
        uboot(board).bootloader(soon())


def test_a_command_over_its_time_is_ended(board: Played) -> None:
    board.plays(b"\r\n=> ", board.hears, b"sleep 9\r\n", takes_back(board), answer(board, b"there", 0))
    bootloader = uboot(board).bootloader(soon())
    with pytest.raises(Timeout):
        bootloader.run("sleep 9", timeout=0.3)
    assert bootloader.run("x").strip() == "there"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"Loading: *\x08T T T ", "goes on in vain: Loading: .T T T$"),
        (b"Loading: *\x08##T T \r\nRetry count exceeded; starting again\r\nUsing", "in vain: Retry count exceeded"),
        (b"Loading: *" + b"\r\n\r\nU-Boot 2023.01 (Jan 2023)", "reset itself during 'tftpboot x'"),
    ],
)  # fmt: skip
def test_commands_that_would_never_end(board: Played, said: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uboot_module, "_KEY", 0.1)
    board.plays(b"\r\n=> ", board.hears, b"tftpboot x\r\n" + said, takes_back(board))
    bootloader = uboot(board).bootloader(soon())
    with pytest.raises(OperationFailed, match=why):
        bootloader.run("tftpboot x", timeout=30)


def takes_back(board: Played) -> Callable[[], None]:
    """What U-Boot does at Ctrl-C."""

    def step() -> None:
        while board.peer.hears(1) != b"\x03":
            pass
        board.peer.says(b"<INTERRUPT>\r\n=> ")

    return step


def test_script_without_anything_left(board: Played) -> None:
    board.plays(b"\r\n=> ")
    boot = uboot(board, "load {kernel}")
    with pytest.raises(ConfigurationError, match="left without a kernel: add --kernel"):
        boot.kernel(boot.bootloader(soon()), Deployment(), soon())

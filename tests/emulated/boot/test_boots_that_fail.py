"""Every boot that does not reach a shell says why, and blames the right one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import State
from pytest_lava.errors import BootFailed, InfrastructureError, LavaError
from pytest_lava.images.cache import cache_dir

pytestmark = pytest.mark.emulated

X86 = "extends = 'qemu-x86_64'\n"
ARM64 = "extends = 'qemu-arm64'\n"


def fails(
    folder: Path, text: str, kind: type[LavaError], message: str, *, append: str = "", kernel: str = ""
) -> LavaError:
    with open_board(folder, "b", text, append=append, kernel=kernel) as board:
        with pytest.raises(LavaError, match=message) as caught:
            board.reach(State.SHELL)
        assert type(caught.value) is kind
        assert board.state is State.LOST
    return caught.value


def test_panic_of_the_kernel_under_test(tmp_path: Path) -> None:
    folder = cache_dir() / "debian-x86_64"
    (initrd,) = folder.glob("initrd-*.img")
    error = fails(tmp_path, X86, BootFailed, "^the kernel crashed: Kernel panic - not syncing: sysrq triggered crash",
                  append="lava.panic", kernel=f"{folder}/vmlinuz,initrd={initrd}")  # fmt: skip
    assert "Call Trace:" in error.evidence


def test_hang(tmp_path: Path) -> None:
    limits = "[timeouts]\nkernel = 4\nlogin = 1\n"
    fails(tmp_path, X86 + limits, BootFailed, "no shell or login prompt on b within 5 s", append="lava.hang")


def test_prompt_that_never_comes(tmp_path: Path) -> None:
    limits = "[timeouts]\nkernel = 9\nlogin = 1\n[login]\nshell_prompt = 'never> $'\n"
    fails(tmp_path, X86 + limits, InfrastructureError, r"\[login\] shell_prompt; the last line was '~ # ")


def test_login(tmp_path: Path) -> None:
    login = X86 + "[login]\nuser = 'root'\npassword = 'lava'\ncommands = ['test $(id -u) = 0']\n"
    with open_board(tmp_path, "b", login, append="lava.login") as board:
        assert board.shell.run("id -un; echo $HOME").stdout == "root\n/root\n"


def test_login_that_is_refused(tmp_path: Path) -> None:
    login = X86 + "[login]\nuser = 'root'\npassword = 'wrong'\n"
    fails(tmp_path, login, BootFailed, "the login of user 'root' was refused on b", append="lava.login")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        pytest.param(
            "[boot]\ncommands = ['load virtio 0 ${kernel_addr_r} nosuch', 'booti ${kernel_addr_r}']\n",
            InfrastructureError,
            "^U-Boot: load virtio 0 .* nosuch failed: .*nosuch",
            id="file-that-is-not-there",
        ),
        pytest.param(
            "[boot]\ncommands = ['mw.b ${kernel_addr_r} 1 64', 'booti ${kernel_addr_r} {ramdisk} {fdt}']\n",
            InfrastructureError,
            "^U-Boot could not start the kernel: Bad Linux ARM64 Image magic!",
            id="no-kernel",
        ),
        pytest.param(
            "[boot]\nprompt = 'never> $'\n[timeouts]\nbootloader = 3\n",
            InfrastructureError,
            r"prompt never came on b: check \[boot\] prompt and autoboot; waited \d+\.\d s \(\[timeouts\] bootloader",
            id="wrong-boot-prompt",
        ),
        pytest.param(
            "[deploy]\nappend = 'console=ttyS9 quiet'\n[timeouts]\nkernel = 3\nlogin = 1\n",
            InfrastructureError,
            r"no shell or login prompt on b within 4 s: .*; the last line was 'Starting kernel \.\.\.'",
            id="wrong-arguments",
        ),
    ],
)
def test_boot_loader(tmp_path: Path, text: str, kind: type[LavaError], message: str) -> None:
    fails(tmp_path, ARM64 + text, kind, message)

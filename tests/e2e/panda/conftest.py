"""A lab with pandas: board files that extend the shipped ``panda``, power commands that start a QEMU of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lava_desk import Desk, free_port, missing

from pytest_lava.images.cache import cache_dir
from pytest_lava.images.media import boot_medium
from pytest_lava.images.shelf import Shelf

#: the lab's power switch: U-Boot, a boot medium, and a console as the lab has it
_SWITCH = """\
#!/bin/sh
# pdu BOARD on|off
state=$PWD/../state/$1
mkdir -p "$PWD/../state"
off() {
    [ -f "$state.pid" ] && kill -9 $(cat "$state.pid") 2>/dev/null
    rm -f "$state.pid" "$state.tty"
}
off
echo "$2 $(date +%s.%N)" >>"$state.log"
[ "$2" = off ] && exit
qemu-system-aarch64 -M virt -cpu cortex-a57 -m 512M -display none -nodefaults -bios @BIOS@ \\
    -drive file=@MEDIUM@,format=raw,if=none,id=boot,snapshot=on -device virtio-blk-device,drive=boot \\
    -daemonize -pidfile "$state.pid" -serial @SERIAL@ >"$state.said" || exit
line=$(sed -n 's/^char device redirected to \\([^ ]*\\) .*/\\1/p' "$state.said")
[ -z "$line" ] || ln -sf "$line" "$state.tty"
"""
_BOARD = """\
extends = "panda"
arch = "arm64"
console = "{console}"
[power]
on = "./pdu $LAVA_BOARD on"
off = "./pdu $LAVA_BOARD off"
settle = 0.0
[boot]
prompt = '=> ?$'
commands = [
    "setenv bootargs 'console=ttyAMA0 quiet {{append}}'",
    "load virtio 0 ${{kernel_addr_r}} Image",
    "load virtio 0 ${{ramdisk_addr_r}} initrd.img",
    "booti ${{kernel_addr_r}} ${{ramdisk_addr_r}}:${{filesize}} ${{fdtcontroladdr}}",
]
[login]
password = "lava"
"""
_BIOS = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")


@pytest.fixture(scope="session")
def medium() -> Path:
    """The boot medium on the panda's card."""
    if names := missing("qemu-system-aarch64", "mformat"):
        pytest.skip(f"not installed: {names} (make test installs them)")
    folder = cache_dir() / "debian-arm64"
    kernels, initrds = [folder / "vmlinuz"], sorted(folder.glob("initrd-*.img"))
    if not _BIOS.exists() or not kernels[0].exists() or not initrds:
        pytest.skip("needs u-boot-qemu and `pytest-lava fetch arm64`")
    return boot_medium({"Image": kernels[0], "initrd.img": initrds[-1]}, Shelf(cache_dir()))


Panda = Callable[..., int]


@pytest.fixture
def panda(desk: Desk, medium: Path) -> Panda:
    """Set up a panda whose console is ``pty`` or ``tcp``; returns the TCP port of its console."""

    def make(name: str, console: str) -> int:
        port = free_port()
        serial = "pty" if console == "pty" else f"tcp:127.0.0.1:{port},server=on,wait=off"
        text = _SWITCH.replace("@BIOS@", str(_BIOS)).replace("@MEDIUM@", str(medium)).replace("@SERIAL@", serial)
        desk.write("boards/pdu", text).chmod(0o755)
        url = {"pty": f"{desk.folder}/state/{name}.tty", "tcp": f"socket://127.0.0.1:{port}"}.get(console, console)
        desk.write(f"boards/{name}.toml", _BOARD.format(console=url))
        return port

    return make

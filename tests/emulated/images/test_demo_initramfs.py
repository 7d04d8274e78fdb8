"""The demonstration assets on bare QEMU: a shell that stays, login, panic, silence, and modules appended."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_lava.images.cache import cache_dir
from pytest_lava.images.cpio import concatenate, modules_archive
from pytest_lava.images.debian import DemoAssets, demo_assets
from pytest_lava.images.media import boot_medium
from pytest_lava.images.shelf import Shelf

pytestmark = [pytest.mark.emulated, pytest.mark.timeout(180)]

UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
PROGRAMS = {"arm64": "qemu-system-aarch64", "x86_64": "qemu-system-x86_64"}
PROMPT = re.compile(rb"(?:^|[\r\n])(?:\x1b\[6n)?\S+ [#$] (?:\x1b\[6n)?$")


class Machine:
    """A QEMU and the other end of its serial line; deliberately without any code of ours beyond the assets."""

    def __init__(self, assets: DemoAssets, arguments: str, initrd: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [PROGRAMS[assets.arch], "-nodefaults", "-no-reboot", "-display", "none", "-m", "512"]
            command += ["-netdev", "user,id=n0,restrict=on", "-chardev", f"socket,id=c0,fd={theirs.fileno()}"]
            command += ["-serial", "chardev:c0", *self._machine(assets, arguments, initrd)]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self._line = ours
        self._seen = b""
        if assets.arch == "arm64":
            self._uboot(arguments)

    def _machine(self, assets: DemoAssets, arguments: str, initrd: Path) -> list[str]:
        if assets.arch == "x86_64":
            kernel = ["-kernel", str(assets.kernel), "-initrd", str(initrd)]
            return [
                "-M",
                "q35",
                *kernel,
                "-append",
                f"console=ttyS0 quiet {arguments}",
                "-device",
                "virtio-net-pci,netdev=n0",
            ]
        medium = boot_medium({"Image": assets.kernel, "initrd.gz": initrd}, Shelf(cache_dir()))
        drive = [
            "-drive",
            f"file={medium},format=raw,if=none,id=d0,snapshot=on",
            "-device",
            "virtio-blk-device,drive=d0",
        ]
        network = ["-device", "virtio-net-device,netdev=n0"]
        return ["-M", "virt", "-cpu", "cortex-a57", "-bios", str(UBOOT), *drive, *network]

    def _uboot(self, arguments: str) -> None:
        self.expect(b"stop autoboot")
        self.send(" ")
        self.expect(b"=> $")
        for command in (
            f"setenv bootargs console=ttyAMA0 quiet {arguments}",
            "load virtio 0 ${kernel_addr_r} Image",
            "load virtio 0 ${ramdisk_addr_r} initrd.gz",
        ):
            self.send(f"{command}\n")
            self.expect(b"\n=> $")
        self.send("booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}\n")
        self.expect(b"Starting kernel")

    def send(self, text: str) -> None:
        self._line.sendall(text.encode())

    def expect(self, pattern: bytes | re.Pattern[bytes], seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self._seen)):
            ready, _, _ = select.select([self._line], [], [], max(0, end - time.monotonic()))
            data = os.read(self._line.fileno(), 65536) if ready else b""
            assert data, f"waited for {pattern!r}, saw {self._seen[-1000:]!r}"
            self._seen += data
        text, self._seen = self._seen[: match.end()], self._seen[match.end() :]
        return text.decode(errors="replace")

    def run(self, command: str) -> str:
        self.send(f"{command}\n")
        return self.expect(PROMPT)

    def silent_for(self, seconds: float) -> bool:
        return not self._seen and not select.select([self._line], [], [], seconds)[0]

    def forget(self) -> None:
        self._seen = b""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._line.close()


Boot = Callable[..., Machine]


@pytest.fixture(scope="module", params=list(PROGRAMS))
def assets(request: pytest.FixtureRequest) -> DemoAssets:
    if not shutil.which(PROGRAMS[request.param]) or not UBOOT.exists() or not shutil.which("mcopy"):
        pytest.skip("QEMU, U-Boot or mtools are not installed (make test installs them)")
    return demo_assets(request.param, cache_dir())


@pytest.fixture
def boot(assets: DemoAssets) -> Iterator[Boot]:
    machines: list[Machine] = []

    def start(arguments: str = "", initrd: Path | None = None) -> Machine:
        machines.append(Machine(assets, arguments, initrd or assets.initrd))
        return machines[-1]

    yield start
    for machine in machines:
        machine.close()


def test_a_shell_that_stays(assets: DemoAssets, boot: Boot) -> None:
    board = boot()
    board.expect(PROMPT)
    assert assets.release in board.run("uname -r")
    assert "/root" in board.run("echo $HOME; pwd")
    for name in ("proc", "sysfs", "devtmpfs", "devpts"):
        assert f"{name} on /" in board.run("mount")
    assert "tmpfs on /tmp" in board.run("mount")
    modules = board.run("lsmod")
    assert all(name in modules for name in ("virtio_blk", "virtio_net", "virtio_mmio", "virtio_pci"))
    assert "127.0.0.1" in board.run("ifconfig lo")
    assert "eth0" in board.run("ifconfig -a")
    assert "no job control" not in board.run("sleep 100 & jobs")
    for _ in range(2):
        board.run("MARK=set")
        board.run("exit")
        assert "mark=." in board.run("echo mark=$MARK.")


def test_a_login(boot: Boot) -> None:
    board = boot("lava.login")
    board.expect(rb"lava login: $")
    board.send("root\n")
    board.expect(rb"Password: $")
    board.send("wrong\n")
    board.expect(rb"incorrect(?s:.*)lava login: $")
    board.send("root\n")
    board.expect(rb"Password: $")
    board.send("lava\n")
    board.expect(PROMPT)
    assert "uid=0(root)" in board.run("id")
    board.send("exit\n")
    board.expect(rb"lava login: $")
    board.send("lava\n")
    board.expect(rb"Password: $")
    board.send("lava\n")
    board.expect(PROMPT)
    assert "uid=1000(lava)" in board.run("id")
    assert "written" in board.run("echo written > file && cat file")


def test_a_panic(boot: Boot) -> None:
    assert "sysrq triggered crash" in boot("lava.panic").expect(rb"end Kernel panic - not syncing.*")


def test_silence(boot: Boot) -> None:
    board = boot("lava.hang")
    with contextlib.suppress(AssertionError):  # what the firmware still has to say
        board.expect(rb"no such words", 5)
    board.forget()
    assert board.silent_for(2)
    board.send("echo still here\n")
    with pytest.raises(AssertionError, match="waited for"):
        board.expect(PROMPT, 1)


def test_modules_appended_to_the_initramfs(assets: DemoAssets, boot: Boot, tmp_path: Path) -> None:
    folder = tmp_path / "lib/modules" / assets.release / "extra"
    folder.mkdir(parents=True)
    (folder / "proof.ko").write_text("not really a module\n")
    with tarfile.open(tmp_path / "modules.tar", "w") as tar:
        tar.add(tmp_path / "lib", "lib")
    modules_archive(tmp_path / "modules.tar", tmp_path / "modules.cpio")
    initrd = tmp_path / "initrd"
    concatenate([assets.initrd, tmp_path / "modules.cpio"], initrd)
    board = boot(initrd=initrd)
    board.expect(PROMPT)
    assert "not really a module" in board.run("cat /lib/modules/$(uname -r)/extra/proof.ko")
    assert "virtio_net" in board.run("lsmod")

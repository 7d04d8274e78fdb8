"""The same boot by each way to a board: FAT (elsewhere), ext4, TFTP of QEMU, of a lab and of ours, a flashing tool."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import Board, State
from pytest_lava.errors import ConfigurationError, InfrastructureError, NetworkError, OperationFailed
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.debian import demo_assets

pytestmark = pytest.mark.emulated

TFTP = "extends = 'qemu-arm64-tftp'\n"


def boots(board: Board, machine: str) -> None:
    """To a shell, with the kernel, initramfs and arguments that were deployed."""
    shell = board.shell
    kernel = board.deployment.kernel
    assert kernel
    assert shell.run("uname -m -r").stdout.split() == [kernel.file.release, machine]
    assert "lava.test=1" in shell.run("cat /proc/cmdline").stdout


def test_ext4(tmp_path: Path) -> None:
    with open_board(tmp_path, "qemu-arm64-ext4", append="lava.test=1") as board:
        boots(board, "aarch64")
        magic = board.shell.run("dd if=/dev/vda bs=1 skip=1080 count=2 2>/dev/null | od -An -tx1")
        assert magic.stdout.split() == ["53", "ef"]


def test_tftp_of_qemu(tmp_path: Path) -> None:
    with open_board(tmp_path, "qemu-arm64-tftp", append="lava.test=1") as board:
        boots(board, "aarch64")
        assert board.shell.run("ls /sys/block").stdout == ""


def test_32_bit(tmp_path: Path) -> None:
    demo_assets("arm", cache_dir())  # fetched now, if `pytest-lava fetch arm` was not run
    with open_board(tmp_path, "qemu-arm", append="lava.test=1") as board:
        boots(board, "armv7l")


def test_the_tftp_folder_of_a_lab(tmp_path: Path) -> None:
    """The server is QEMU's, which knows nothing of us."""
    (tmp_path / "srv").mkdir()
    net = f'network = ["-netdev", "user,id=net,tftp={tmp_path}/srv", "-device", "virtio-net-device,netdev=net"]'
    text = f"{TFTP}[power]\n{net}\n[deploy]\nserver = 'lab'\nfolder = 'srv'\n"
    with open_board(tmp_path, "b", text, append="lava.test=1") as board:
        names = [path.name for path in (tmp_path / "srv/pytest-lava/b").iterdir()]
        assert sorted(name.split("-", 1)[1] for name in names) == ["Image", "initrd.img"]
        boots(board, "aarch64")
    assert not (tmp_path / "srv/pytest-lava/b").exists()


def port_69() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.69", 69))
        except PermissionError:
            return False
    return True


@pytest.mark.skipif(not port_69(), reason="Debian's U-Boot asks at port 69, which only root may serve here")
def test_our_own_tftp_server(tmp_path: Path) -> None:
    """By another address of this machine: what goes to 10.0.2.2, QEMU answers itself."""
    text = (
        TFTP
        + """
[deploy]
server = "own"
port = 69
address = "127.0.0.69"
[boot]
commands = '''
    setenv bootargs "{append}"
    setenv autoload no
    dhcp
    setenv serverip {serverip}
    setenv tftpdstp {port}
    setenv tftpwindowsize 16
    tftpboot ${kernel_addr_r} {kernel}
    tftpboot ${ramdisk_addr_r} {initrd}
    booti ${kernel_addr_r} {ramdisk} {fdt}
'''
"""
    )
    with open_board(tmp_path, "b", text, append="lava.test=1") as board:
        boots(board, "aarch64")
    events = [json.loads(line)["message"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    sent = [event for event in events if event.startswith("TFTP: ")]
    assert [event.split(" to ")[0] for event in sent] == ["TFTP: Image", "TFTP: initrd.img"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.69", 69))


FLASHED = """
extends = 'qemu-arm64'
[power]
arguments = ["-drive", "file=card.img,format=raw,if=none,id=card", "-device", "virtio-blk-device,drive=card"]
[deploy]
method = "command"
append = "console=ttyAMA0 quiet"
commands = [
    "mformat -C -i card.img -T 131072 -h 16 -s 63 ::",
    ["mcopy", "-o", "-i", "card.img", "{kernel}", "::Image"],
    "mcopy -o -i card.img {initrd} ::initrd.img",
]
"""


def test_a_flashing_tool(tmp_path: Path) -> None:
    """Programs write a card, which the board then boots from."""
    with open_board(tmp_path, "b", FLASHED, append="lava.test=1") as board:
        boots(board, "aarch64")
        assert board.shell.run("cat /sys/block/vda/size").stdout == "131072\n"


LOOKS = """
extends = 'qemu-arm64'
[deploy]
method = "command"
commands = ["grep -qa lava-was-here console.log"]
when = "bootloader"
"""


def test_a_program_that_needs_the_boot_loader(tmp_path: Path) -> None:
    """It finds in the console's log what was typed at the prompt; the board is off before and after."""
    text = LOOKS + 'setup = ["echo lava-was-here"]\nserve = "sleep 1000"\n'
    with open_board(tmp_path, "b", text) as board:
        assert board.state is State.OFF
        board.reach(State.BOOTLOADER)  # the sleep went with the power
        assert board.bootloader.run("echo there").strip() == "there"


def test_a_boot_loader_that_is_not_ready(tmp_path: Path) -> None:
    text = LOOKS + 'setup = ["nosuchcommand"]\n'
    message = "not ready to be deployed to: U-Boot: nosuchcommand failed: Unknown"
    with pytest.raises(InfrastructureError, match=message), open_board(tmp_path, "b", text):
        pass


def test_what_u_boot_complains_of(tmp_path: Path) -> None:
    """Faults of each kind, provoked at one prompt, which answers again after each."""
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    text = "extends = 'qemu-arm64'\n"
    with open_board(tmp_path, "b", text, images=(f"x={tmp_path}/junk",)) as board:
        board.reach(State.BOOTLOADER)
        prompt = board.bootloader
        for command, why in (
            ("load virtio 0 ${kernel_addr_r} nosuch", r"Failed to load 'nosuch'|\*\* Unable to read file nosuch"),
            ("load virtio 9 ${kernel_addr_r} Image", r"\*\* Bad device specification virtio 9"),
            ("load virtio 1 ${kernel_addr_r} Image", "Can't set block device"),
            ("bootz ${kernel_addr_r}", "Unknown command 'bootz'"),
            ("mw.b ${kernel_addr_r} 0 100; bootm ${kernel_addr_r}", "Wrong Image Format for bootm command"),
            ("run nosuch", '## Error: "nosuch" not defined'),
            ("tftpboot ${kernel_addr_r} x", r"\*\*\* ERROR: `(?:ipaddr|serverip)' not set"),
            ("setenv autoload no; dhcp; tftpboot ${kernel_addr_r} x", "TFTP error: 'Access violation' "),
            ("setenv serverip 127.0.0.70; setenv tftptimeout 1000; tftpboot ${kernel_addr_r} x", r"Loading: \*T T T"),
        ):
            with pytest.raises(OperationFailed, match=why):
                prompt.run(command, timeout=20)
            assert prompt.run("echo there").strip() == "there"


def test_a_server_that_has_no_such_file_is_the_lab_s_fault(tmp_path: Path) -> None:
    folder = cache_dir() / "debian-arm64"
    (initrd,) = folder.glob("initrd-*.img")
    text = (
        TFTP
        + """
[boot]
commands = ["setenv autoload no", "dhcp", "tftpboot ${kernel_addr_r} {kernel}x", "booti"]
"""
    )
    kernel = f"{folder}/vmlinuz,initrd={initrd}"
    message = r"TFTP error: 'File not found' \(1\) \(the server answers, but"
    with open_board(tmp_path, "b", text, kernel=kernel) as board, pytest.raises(NetworkError, match=message):
        board.reach(State.SHELL)


def test_seen_before_a_board_is_touched(tmp_path: Path) -> None:
    (tmp_path / "x.img").write_bytes(b"x" * 4096)
    drives = "extends = 'qemu-arm64'\n[deploy.drives]\nroot = 'virtio-blk-device'\n"
    for text, images, message in (
        (drives, ("rot=x.img",), "no drive for --image rot=: it has root="),
        (TFTP, ("x.img",), "cannot take an image"),
        (FLASHED, ("x.img",), "uses --image without a name: it takes none"),
        (FLASHED.replace("mformat", "nosuchformat"), (), "the program 'nosuchformat'"),
        (TFTP + "[deploy]\nserver = 'own'\n", (), "has to be told where this machine is"),
    ):
        paths = tuple(image.replace("x.img", str(tmp_path / "x.img")) for image in images)
        with pytest.raises(ConfigurationError, match=message), open_board(tmp_path, "b", text, images=paths):
            pass

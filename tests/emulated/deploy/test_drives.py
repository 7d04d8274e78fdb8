"""Images as drives: every kind of slot, several parts, what is written, and files of the user that stay as they are."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.boards import open_board

from pytest_lava.board.board import State
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.drives import Drive
from pytest_lava.deploy.qemu import QemuDeploy
from pytest_lava.errors import DeployFailed
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.kernel import inspect

pytestmark = pytest.mark.emulated

X86 = "extends = 'qemu-x86_64'\n"
ARM64 = "extends = 'qemu-arm64'\n"


def image(folder: Path, name: str, letter: str, size: int = 4096) -> Path:
    path = folder / name
    path.write_bytes(letter.encode() * size)
    path.chmod(0o444)
    return path


def test_modules_and_images(tmp_path: Path) -> None:
    folder = cache_dir() / "debian-x86_64"
    (initrd,) = folder.glob("initrd-*.img")
    release = str(inspect(folder / "vmlinuz", cache_dir()).release)
    module = tmp_path / "tree" / "lib" / "modules" / release / "kernel" / "test.ko"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"a module")
    root, data = image(tmp_path, "root.img", "r"), image(tmp_path, "data,with=comma.img", "d")
    packed = tmp_path / "packed.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-f", "raw", root, packed], check=True)
    before = packed.read_bytes()
    images = (f"root={root}", f"data={data}", f"packed={packed}")
    kernel = f"{folder}/vmlinuz,initrd={initrd},modules={tmp_path}/tree"
    with open_board(tmp_path, "qemu-x86_64", kernel=kernel, images=images, append="lava.test=1") as board:
        shell = board.shell
        assert shell.run("find /lib/modules/$(uname -r) -name test.ko | xargs cat").stdout == "a module"
        assert shell.run("cat /dev/vda /dev/vdb /dev/vdc").stdout == "r" * 4096 + "d" * 4096 + "r" * 4096
        assert "lava.test=1" in shell.run("cat /proc/cmdline").stdout
        shell.check("for d in a b c; do echo changed >/dev/vd$d; done; sync; head -c 7 /dev/vdc | grep changed")
        assert board.deployment.image
        assert list(board.deployment.image.parts) == ["root", "data", "packed"]
        board.power_off()
        assert board.shell.run("head -c 3 /dev/vda; head -c 3 /dev/vdc").stdout == "rrrrrr"
    assert (root.read_bytes(), data.read_bytes(), packed.read_bytes()) == (b"r" * 4096, b"d" * 4096, before)


def test_what_is_written_may_stay_until_the_next_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    root = image(tmp_path, "root.img", "r")
    with open_board(tmp_path, "b", X86 + "[deploy]\nwrites = 'keep'\n", images=(str(root),)) as board:
        board.shell.check("echo changed | dd of=/dev/vda conv=fsync,notrunc")  # as the power is cut
        board.power_off()
        assert board.shell.run("head -c 8 /dev/vda").stdout == "changed\n"
        assert len(list(temporary.glob("pytest-lava-*/*.qcow2"))) == 1
        board.deploy(board.deployment.kernel, board.deployment.image)
        assert board.shell.run("head -c 3 /dev/vda").stdout == "rrr"
    assert list(temporary.glob("pytest-lava-*")) == []
    assert root.read_bytes() == b"r" * 4096


def test_flash_and_card(tmp_path: Path) -> None:
    """A flash bank that is larger than its image, a card whose image has no size that QEMU takes."""
    flash, card = image(tmp_path, "flash.bin", "f", 1000), image(tmp_path, "card.img", "c", 5000)
    text = ARM64 + (
        "[power]\narguments = ['-device', 'sdhci-pci']\n"
        "[deploy.drives]\nflash = { device = 'pflash:1', size = '64M' }\ncard = 'sd-card'\n"
    )
    with open_board(tmp_path, "b", text, images=(f"flash={flash}", f"card={card}")) as board:
        board.reach(State.BOOTLOADER)
        assert board.bootloader.run("md.b 0x4000000 4").split()[1:5] == ["66"] * 4
        assert board.bootloader.run("md.b 0x40003e8 4").split()[1:5] == ["00"] * 4
        sizes = {
            drive["inserted"]["image"]["filename"].rpartition("/")[2]: drive["inserted"]["image"]["virtual-size"]
            for drive in board._power.qmp.execute("query-block", Deadline.after(10))  # type: ignore[attr-defined]
            if "inserted" in drive
        }
    assert (flash.read_bytes(), card.read_bytes()) == (b"f" * 1000, b"c" * 5000)
    assert 64 << 20 in sizes.values()
    assert 8192 in sizes.values()


def test_an_image_that_is_too_large(tmp_path: Path) -> None:
    text = ARM64 + "[deploy.drives]\nflash = { device = 'pflash:1', size = '4K' }\n"
    flash = image(tmp_path, "flash.bin", "f", 5000)
    message = r"flash\.bin has 5000 bytes, and the drive pflash:1 of this board only 4K"
    with pytest.raises(DeployFailed, match=message), open_board(tmp_path, "b", text, images=(f"flash={flash}",)):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drive": "virtio blk"}, "write a QEMU device"),
        ({"drive": "-device"}, "write a QEMU device"),
        ({"drives": {"a": {"device": "sd:0", "size": "1X"}}}, "write a number of bytes"),
        ({"drives": {"a": {"size": "1M"}}}, "device"),
        ({"drives": {"a": {"device": "sd:0", "sise": "1M"}}}, "sise"),
        ({"kernel": "ntfs"}, "'direct', 'fat' or 'ext4'"),
        ({"writes": "maybe"}, "'forget' or 'keep'"),
    ],
)
def test_board_files_that_are_wrong(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QemuDeploy.Options.model_validate(options)


@pytest.mark.parametrize(
    ("device", "size", "content", "found"),
    [
        ("virtio-blk-pci,serial=x", None, 5000, 5000),
        ("sd:0", None, 5000, 8192),
        ("sd:0", None, 8192, 8192),
        ("sd", None, 1, 512),
        ("sd-card", None, 5000, 8192),
        ("pflash:1", "64M", 5000, 64 << 20),
        ("mtd", "2G", 5000, 2 << 30),
        ("ide:0", "8192", 5000, 8192),
    ],
)
def test_sizes(device: str, size: str | None, content: int, found: int) -> None:
    assert Drive(device=device, size=size).bytes_for(content) == found

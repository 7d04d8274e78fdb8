"""What was deployed is what the board has."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.images.cache import cache_dir
from pytest_lava.images.kernel import inspect

pytestmark = pytest.mark.emulated


def test_modules_and_images(tmp_path: Path) -> None:
    folder = cache_dir() / "debian-x86_64"
    (initrd,) = folder.glob("initrd-*.img")
    release = inspect(folder / "vmlinuz").release
    module = tmp_path / "tree" / "lib" / "modules" / str(release) / "kernel" / "test.ko"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"a module")
    for name, letter in (("root.img", b"r"), ("data,with=comma.img", b"d")):
        (tmp_path / name).write_bytes(letter * 4096)
    kernel = f"{folder}/vmlinuz,initrd={initrd},modules={tmp_path}/tree"
    images = (f"root={tmp_path}/root.img", f"data={tmp_path}/data,with=comma.img")
    with open_board(tmp_path, "qemu-x86_64", kernel=kernel, images=images, append="lava.test=1") as board:
        shell = board.shell
        assert shell.run("find /lib/modules/$(uname -r) -name test.ko | xargs cat").stdout == "a module"
        assert shell.run("cat /dev/vda /dev/vdb").stdout == "r" * 4096 + "d" * 4096
        assert "lava.test=1" in shell.run("cat /proc/cmdline").stdout
        shell.check("echo changed >/dev/vda; sync")
        assert board.deployment.image
        assert list(board.deployment.image.parts) == ["root", "data"]
    assert (tmp_path / "root.img").read_bytes() == b"r" * 4096

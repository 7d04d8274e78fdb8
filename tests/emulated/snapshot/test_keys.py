"""The key of a state holds every input of it: each that changes gives another key. No board is started for that."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from emulated.snapshot.conftest import default
from support.boards import open_board

from pytest_lava.console import agent

pytestmark = pytest.mark.emulated

BASE = """
    extends = "qemu-arm64"
    [power]
    bios = "bios.bin"
    arguments = ["-drive", "file=disk.qcow2,if=virtio,snapshot=on", "-device", "loader,file={blob}"]
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with all that a board may name."""
    shutil.copy("/usr/lib/u-boot/qemu_arm64/u-boot.bin", tmp_path / "bios.bin")
    for name in ("blob", "base.raw"):
        (tmp_path / name).write_bytes(name.encode() * 300_000)
    overlay(tmp_path / "disk.qcow2", tmp_path / "base.raw")
    (tmp_path / "qemu").write_text('#!/bin/sh\nexec qemu-system-aarch64 "$@"\n')
    (tmp_path / "qemu").chmod(0o755)
    return tmp_path


def overlay(path: Path, base: Path) -> None:
    path.unlink(missing_ok=True)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path]
    subprocess.run(command, check=True)


def key(folder: Path, text: str = BASE, **options: object) -> str:
    text = text.format(blob=folder / "blob")
    with open_board(folder, "b", text, cache=folder / "cache", snapshots=True, **options) as board:  # type: ignore[arg-type]
        assert board.snapshots
        return board.snapshots.key_of(board.deployment)


def test_the_same_inputs_elsewhere_have_the_same_key(desk: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = key(desk)
    assert key(desk) == first
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(desk, other, dirs_exist_ok=True)
    shutil.rmtree(other / "cache")
    assert key(other) == first


def test_each_input_counts(desk: Path) -> None:
    kernel = shutil.copy(default("vmlinuz"), desk / "kernel")
    initrd = shutil.copy(default("initrd-*.img"), desk / "initrd")
    image = desk / "image.img"
    image.write_bytes(b"i" * 4096)
    given = f"{kernel},initrd={initrd}"
    kinds = {
        "as it is": key(desk),
        "arguments of the kernel": key(desk, append="one"),
        "memory": key(desk, BASE + 'memory = "600M"\n'),
        "processors": key(desk, BASE + "smp = 2\n"),
        "processor": key(desk, BASE + 'cpu = "cortex-a72"\n'),
        "accelerator": key(desk, BASE + 'accel = ["tcg,thread=single"]\n'),
        "QEMU": key(desk, BASE + 'binary = "./qemu"\n'),
        "login commands": key(desk, BASE + '[login]\ncommands = ["true"]\n'),
        "user": key(desk, BASE + '[login]\nuser = "me"\n'),
        "boot commands": key(desk, BASE + '[boot]\ncommands = ["booti ${{kernel_addr_r}}"]\n'),
        "image": key(desk, images=(str(image),)),
    }
    assert key(desk, kernel=given) == kinds["as it is"]
    contents = {"content of the image": image, "kernel": Path(kernel), "initrd": Path(initrd)}
    for name, file in contents.items():
        with file.open("ab") as stream:
            stream.write(b"x")
        kinds[name] = key(desk, kernel=given, images=(str(image),) if file is image else ())
    changes = {
        "firmware": "bios.bin", "file of an argument": "blob", "base of a disk": "base.raw", "another QEMU": "qemu",
    }  # fmt: skip
    for name, file_name in changes.items():
        with (desk / file_name).open("ab") as stream:
            stream.write(b"# changed")
        kinds[name] = key(desk, BASE + 'binary = "./qemu"\n')
    overlay(desk / "disk.qcow2", desk / "blob")
    kinds["disk"] = key(desk)
    assert len(set(kinds.values())) == len(kinds), json.dumps(kinds, indent=1)


def test_the_agent_counts(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lives in the board's memory has to be what this version speaks to."""
    first = key(desk)
    newer = desk / "agent.py"
    newer.write_bytes(Path(agent.__file__).read_bytes() + b"# another version\n")
    monkeypatch.setattr(agent, "__file__", str(newer))
    assert key(desk) != first


def test_tftp_files_count(tmp_path: Path) -> None:
    """QEMU's own server is an argument, whose folder may lie anywhere."""
    text = 'extends = "qemu-arm64-tftp"\n'
    first = key(tmp_path, text)
    kernel = shutil.copy(default("vmlinuz"), tmp_path / "kernel")
    with Path(kernel).open("ab") as stream:
        stream.write(b"x")
    assert key(tmp_path, text) == first
    assert key(tmp_path, text, kernel=str(kernel)) != first


def test_what_cannot_be_hashed_keeps_nothing(tmp_path: Path) -> None:
    text = 'extends = "qemu-arm64"\n[power]\narguments = ["-drive", "file=/dev/loop-control,snapshot=on"]\n'
    with open_board(tmp_path, "b", text, snapshots=True) as board:
        assert board.snapshots
        assert board.snapshots.find(board.deployment) is None
    assert "no snapshots: the state of the machine depends on /dev/" in (tmp_path / "events.jsonl").read_text()

"""Files put up for a TFTP server: named by content, shared between runs, gone when nobody uses them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.boards import NobodyToGuard

from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import DeployContext
from pytest_lava.deploy.tftp import TftpDeploy
from pytest_lava.deploy.tftp_folder import TftpFolder
from pytest_lava.errors import ConfigurationError, InfrastructureError
from pytest_lava.events import EventLog
from pytest_lava.images.kernel import KernelFile
from pytest_lava.images.shelf import Shelf
from pytest_lava.lab.guardian import Guardian
from pytest_lava.plan import KernelPlan
from pytest_lava.power.none import NoPower


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., TftpDeploy]]:
    (tmp_path / "srv").mkdir()
    with closing(Shelf(tmp_path / "cache")) as shelf:

        def build(*, board: str = "b", **options: Any) -> TftpDeploy:
            power, guard = NoPower.__new__(NoPower), NobodyToGuard()
            context = DeployContext(board, tmp_path, power, EventLog(), guard, shelf=shelf)
            return TftpDeploy(TftpDeploy.Options(**options), context)

        yield build


def kernel(folder: Path, content: bytes = b"a kernel") -> KernelPlan:
    path, initrd = folder / "vmlinuz", folder / "initrd"
    path.write_bytes(content)
    path.chmod(0o600)
    initrd.write_bytes(b"an initrd")
    return KernelPlan("k", KernelFile(path, "Image", "arm64", None, ""), initrd=initrd, append="quiet")


def served(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def soon() -> Deadline:
    return Deadline.after(20)


def test_the_folder_of_a_lab(tmp_path: Path, make: Callable[..., TftpDeploy]) -> None:
    lab = {"server": "lab", "folder": "srv", "append": "console=ttyS0"}
    deploy = make(**lab, address="192.0.2.1", prefix="/boot/")
    deploy.check(True, [])
    files = dict(deploy.deploy(kernel(tmp_path), None, soon()).files)
    assert files.pop("append") == "console=ttyS0 quiet"
    assert files.pop("serverip") == "192.0.2.1"
    assert sorted(files) == ["initrd", "kernel"]
    assert served(tmp_path / "srv") == sorted(name.removeprefix("/boot/") for name in files.values())
    image = tmp_path / "srv" / files["kernel"].removeprefix("/boot/")
    assert image.parent == tmp_path / "srv/pytest-lava/b"
    assert image.name.endswith("-Image")
    assert image.read_bytes() == b"a kernel"
    assert image.stat().st_mode & 0o777 == 0o644
    assert image.parent.stat().st_mode & 0o555 == 0o555
    assert not image.samefile(tmp_path / "vmlinuz")

    other = make(**lab, prefix="/boot/")
    assert other.deploy(kernel(tmp_path), None, soon()).files["kernel"] == files["kernel"]
    deploy.close()
    assert image.exists(), "the other one uses it"
    newer = other.deploy(kernel(tmp_path, b"another kernel"), None, soon()).files["kernel"]
    assert newer != files["kernel"]
    assert len(served(tmp_path / "srv")) == 2
    other.close()
    other.close()
    assert [path.name for path in (tmp_path / "srv").rglob("*")] == ["pytest-lava"]


def test_a_lab_s_own_folder_stays(tmp_path: Path, make: Callable[..., TftpDeploy]) -> None:
    (tmp_path / "srv" / "pytest-lava").mkdir()
    deploy = make(server="lab", folder="srv", board="a/../b c")
    name = deploy.deploy(kernel(tmp_path), None, soon()).files["kernel"]
    assert name.startswith("pytest-lava/a-..-b-c/")
    deploy.close()
    assert [path.name for path in (tmp_path / "srv").rglob("*")] == ["pytest-lava"]


KILLED = """
import sys
from pathlib import Path
from pytest_lava.deploy.tftp_folder import TftpFolder
from pytest_lava.lab.guardian import Guardian
with Guardian() as guardian:
    folder = TftpFolder(Path(sys.argv[1]), guardian.for_board(()))
    print(folder.put("pytest-lava/b/123-Image", Path(sys.argv[2])), flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_leaves_nothing_but_what_others_use(tmp_path: Path) -> None:
    source, served = tmp_path / "source", tmp_path / "srv/pytest-lava/b/123-Image"
    source.write_bytes(b"x")
    with Guardian() as guardian:
        ours = TftpFolder(tmp_path / "srv", guardian.for_board(()))
        for shared in (True, False):
            if shared:
                ours.put("pytest-lava/b/123-Image", source)
            run = subprocess.Popen(
                [sys.executable, "-c", KILLED, str(tmp_path / "srv"), str(source)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            with run:
                assert run.stdout
                assert run.stdout.readline() == b"pytest-lava/b/123-Image\n"
                run.send_signal(signal.SIGKILL)
            if shared:
                threading.Event().wait(1.0)  # its guardian's time to do wrong
                assert served.exists()
                ours.clear()
        for _ in range(200):
            if not served.parent.exists():
                break
            threading.Event().wait(0.05)
        assert not served.parent.exists()


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path, make: Callable[..., TftpDeploy]) -> None:
    left = tmp_path / "srv/pytest-lava/b"
    left.mkdir(parents=True)
    for name in ("0123456789abcdef-Image", ".0123456789abcdef-Image.12345678"):
        (left / name).write_bytes(b"old")
    deploy = make(server="lab", folder="srv")
    deploy.deploy(kernel(tmp_path), None, soon())
    assert all("0123456789abcdef" not in name for name in served(tmp_path / "srv"))
    deploy.close()


def test_our_own_server(tmp_path: Path, make: Callable[..., TftpDeploy]) -> None:
    deploy = make(server="own", ipaddr="127.0.0.5")
    deploy.check(True, [])
    files = deploy.deploy(kernel(tmp_path), None, soon()).files
    assert {key: files[key] for key in ("kernel", "initrd", "serverip", "ipaddr")} == {
        "kernel": "Image", "initrd": "initrd.img", "serverip": "127.0.0.1", "ipaddr": "127.0.0.5",
    }  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"\0\1Image\0octet\0", ("127.0.0.1", int(files["port"])))
        assert client.recv(600) == b"\0\3\0\1a kernel"
    again = deploy.deploy(kernel(tmp_path), None, soon()).files  # the server before has ended
    assert again["port"]
    deploy.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", int(again["port"])))


def test_a_port_that_somebody_has(tmp_path: Path, make: Callable[..., TftpDeploy]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        deploy = make(server="own", address="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(InfrastructureError, match="Address already in use"):
            deploy.deploy(kernel(tmp_path), None, soon())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"server": "lab", "folder": "nosuch"}, "the TFTP folder .*nosuch is not there"),
        ({"server": "lab", "folder": "vmlinuz"}, "the TFTP folder .*vmlinuz is not there"),
        ({"server": "own"}, "has to be told where this machine is: set .deploy. address"),
        ({"server": "qemu"}, 'needs power = "qemu"'),
    ],
)
def test_seen_before_a_board_is_touched(
    tmp_path: Path, make: Callable[..., TftpDeploy], options: Any, message: str
) -> None:
    kernel(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        make(**options).check(True, [])


def test_a_folder_that_is_not_ours() -> None:
    """As another user, since root may write everywhere."""
    code = (
        "import os; from pathlib import Path; from pytest_lava.deploy.tftp_folder import TftpFolder\n"
        "os.getuid() or os.setuid(65534)\n"
        "TftpFolder(Path('/usr/share'), None).check()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert "ConfigurationError: the TFTP folder /usr/share cannot be written: let its group write" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "server"),
        ({"server": "mine"}, "'lab', 'own' or 'qemu'"),
        ({"server": "lab"}, "needs the folder that it serves"),
        ({"server": "own", "folder": "/srv/tftp"}, 'folder has no effect: it is for server = "lab"'),
        ({"server": "lab", "folder": "/srv/tftp", "port": 69}, 'port has no effect: it is for server = "own"'),
        ({"server": "own", "address": "tftp.lab"}, "write an IP address: a boot loader looks up no names"),
        ({"server": "own", "address": "1.2.3.4", "port": 70000}, "less than or equal to 65535"),
    ],
)
def test_board_files_that_are_wrong(options: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TftpDeploy.Options(**options)

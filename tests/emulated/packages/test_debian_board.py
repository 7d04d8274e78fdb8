"""The Debian board: packages installed by its own dpkg, and modules of a distribution's kernel, read back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from support.additions import package, plain
from support.face import Face
from support.kernels import debian_deb, make_deb, sha256

from pytest_lava.images.cache import cache_dir
from pytest_lava.images.deb import unpack
from pytest_lava.images.debian import ARCHITECTURES
from pytest_lava.images.initramfs import ROOT_MODULES, select_modules

pytestmark = pytest.mark.emulated

BOARD = "qemu-x86_64-debian"
#: what only a configured package leaves, with the words of the dpkg that ran it
SCRIPT = 'echo "$1 by $DPKG_MAINTSCRIPT_PACKAGE, $(dpkg --print-architecture)" >/var/lib/hello-mark'
TESTS = """
    from pathlib import Path

    def status(shell):
        lines = shell.check("dpkg -s hello").stdout.splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def test_dpkg_knows_it(shell):
        found = status(shell)
        assert (found["Status"], found["Version"]) == ("install ok installed", "1.0")
        (conffile,) = shell.check("dpkg-query -W -f '${Conffiles}\\n' hello").stdout.splitlines()
        assert conffile.split() == ["/etc/hello.conf", CONFFILE]
        assert shell.check("dpkg --verify hello").stdout == ""

    def test_its_files(shell):
        assert shell.read_bytes("/etc/hello.conf") == b"greeting=hello\\n"
        assert shell.check("stat -c '%a %u %g' /etc/hello.conf /usr/lib/hello/run").stdout == "640 0 0\\n2755 0 0\\n"
        assert shell.check("readlink /usr/bin/hello; hello").stdout == "../lib/hello/run\\nhello\\n"

    def test_its_script_ran_here(shell):
        assert shell.check("cat /var/lib/hello-mark").stdout == "configure by hello, WORD\\n"
        assert shell.check("ls -A /var/cache/pytest-lava").stdout == ""

    def test_the_other_things(shell):
        assert shell.read_bytes("/etc/mine") == b"mine"

    def test_module(kernel, shell):
        assert shell.check("modprobe dummy; grep -o '^dummy ' /proc/modules").stdout == "dummy \\n"
        path = shell.check("modprobe --show-depends tun | sed -n 's/^insmod //p' | tail -n 1").stdout.strip()
        assert path.startswith(f"/lib/modules/{kernel.file.release}/")
        shell.check(f"insmod {path}")
        assert "tun " in shell.check("cat /proc/modules").stdout
"""


def module_package(folder: Path, arch: str) -> Path:
    content = unpack(debian_deb(arch), lambda name: ".ko" in name)
    files = select_modules(content, (*ROOT_MODULES, "dummy", "tun"))
    files = {path: data for path, data in files.items() if path.endswith(".ko")}
    return make_deb(folder, files, name="linux-modules-lava", arch=ARCHITECTURES[arch])


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_a_package_a_file_and_modules(face: Face, tmp_path: Path, arch: str) -> None:
    """All in one boot, and in the bundle. The package of modules is small: those that it takes to boot, and two."""
    deb, modules, mine = package(tmp_path, SCRIPT), module_package(tmp_path, arch), plain(tmp_path / "mine", b"mine")
    conffile = hashlib.md5(b"greeting=hello\n").hexdigest()
    face.write(test_it=TESTS.replace("CONFFILE", repr(conffile)).replace("WORD", ARCHITECTURES[arch]))
    options = ("--deb", deb, "--file", f"{mine}:/etc/mine", "--modules", modules)
    face.run(f"--board=qemu-{arch}-debian", *options, "test_it.py", passed=5)
    assert len(face.journal("boot")) == 1
    (run,) = [
        run for run in json.loads((face.latest / "bundle.json").read_text())["test_runs"] if run["test_id"] != "lava"
    ]
    release = face.journal("boot")[0]["uname"]["release"]
    packages = run["software_context"]["packages"]
    assert packages[:4] == [
        {"name": "linux", "version": release},
        {"name": "linux-modules-lava", "version": "6.1.0-1"},
        {"name": "hello", "version": "1.0"},
        {"name": "mine", "version": f"sha256:{sha256(mine)}"},
    ]
    assert {"dpkg", "apt", "adduser"} <= {one["name"] for one in packages[4:]}  # those that the board had
    assert run["software_context"]["image"]["name"].startswith("root-")
    assert run["attributes"]["added.2.sha256"] == sha256(deb)


def test_a_package_whose_script_fails(face: Face, tmp_path: Path) -> None:
    """It is what was under test, so the job is to blame; dpkg's words are there, and no test runs without it."""
    deb = package(tmp_path, "echo no room for hello >&2; exit 7")
    result = face.run(f"--board={BOARD}", "--deb", deb, "--command=true")
    result.assert_outcomes(failed=1, skipped=1)
    assert result.ret == 1
    (error,) = [line["error"] for line in face.journal() if line["outcome"] == "failed"]
    assert (error["type"], error["blame"]) == ("BootFailed", "job")
    assert "dpkg could not install a package on the board" in error["message"]
    assert "no room for hello" in error["evidence"]


def test_the_board_as_it_is_is_the_labs(face: Face) -> None:
    """Resumed, too; nothing of the last run is left on its disk, and nothing is said to be under test."""
    assert (cache_dir() / "debian-root-x86_64/manifest.json").exists(), "run `pytest-lava fetch debian-x86_64`"
    face.snapshots = True
    face.write(
        test_it="""
            def test_it(shell):
                shell.check("touch /once && ! [ -e /var/lib/hello-mark ]")
            def test_services_of_a_root_file_system(shell):
                mounts = shell.check("mount").stdout
                assert all(f" on {path} type " in mounts for path in ("/", "/proc", "/dev/pts", "/run", "/tmp"))
        """
    )
    face.run(f"--board={BOARD}", "test_it.py", passed=2)
    face.run(f"--board={BOARD}", "--snapshot", "--command=test ! -e /once && dpkg --audit", passed=1)
    assert face.journal("resume")
    (line,) = face.journal("target")
    assert (line["kernel"]["given"], line["added"]) == (False, [])

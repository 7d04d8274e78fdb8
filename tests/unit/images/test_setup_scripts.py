"""The set-up scripts on machines that lack something: one sentence that says what."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def machine(folder: Path, *programs: str, **fakes: str) -> dict[str, str]:
    """An environment whose PATH has only these programs of this machine, and scripts that say what is given."""
    folder.mkdir()
    for program in ("sh", "dirname", "mktemp", "rm", "tail", "env", *programs):
        found = shutil.which(program)
        assert found, program
        (folder / program).symlink_to(found)
    for name, text in fakes.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return {"PATH": str(folder), "TMPDIR": str(folder)}


def run(script: str, argument: str, env: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "scripts" / script), argument]
    return subprocess.run(command, env=env | more, capture_output=True, text=True, check=False, timeout=30)


def test_programs_missing_without_apt(tmp_path: Path) -> None:
    done = run("setup-host", "demo", machine(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stderr.startswith("missing here: qemu-system-arm ")
    assert "mtools" in done.stderr
    assert "make demo KERNEL_DEB=" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def debian() -> bool:
    release = Path("/etc/os-release")
    return release.exists() and "ID=debian" in release.read_text().splitlines()


@pytest.mark.skipif(not debian(), reason="looks at the Debian part")
class TestOnDebian:
    def test_no_root_and_no_sudo(self, tmp_path: Path) -> None:
        done = run("setup-host", "demo", machine(tmp_path / "bin", apt_get="exit 1", id="echo 1000"))
        assert done.returncode == 1
        assert "install them as root (apt-get install qemu-system-arm" in done.stderr
        assert len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize("user", ["0", "1000"])
    def test_what_is_missing_is_installed(self, tmp_path: Path, user: str) -> None:
        log = tmp_path / "log"
        sudo = '[ "$1" = -n ] || exit 1\nshift\nexec "$@"'
        env = machine(tmp_path / "bin", apt_get=f'echo "$@" >>{log}', id=f"echo {user}", sudo=sudo, true="exit 0")
        done = run("setup-host", "demo", env)
        assert done.returncode == 0, done.stderr
        update, install = log.read_text().splitlines()
        assert update.endswith("update")
        assert "install" in install
        assert "mtools" in install
        assert "qemu-system-x86" not in install
        assert "installing qemu-system-arm" in done.stdout

    def test_apt_fails(self, tmp_path: Path) -> None:
        env = machine(tmp_path / "bin", apt_get="echo 'E: held by someone' >&2; exit 100", id="echo 0")
        done = run("setup-host", "test", env)
        assert done.returncode == 1
        assert done.stderr.startswith("apt-get could not install")
        assert "E: held by someone" in done.stderr


def test_nothing_missing_is_silent_and_asks_nobody(tmp_path: Path) -> None:
    if not Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin").exists():
        pytest.skip("U-Boot for QEMU is not installed")
    fakes = {"qemu_system_aarch64": "", "mcopy": "", "apt_get": "exit 1"}
    done = run("setup-host", "demo", machine(tmp_path / "bin", **fakes))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("python", "words"),
    [("nosuch-python", "there is no nosuch-python"), ("old", "this is Python 3.9.2: install one")],
)
def test_no_python_to_use(tmp_path: Path, python: str, words: str) -> None:
    fakes = {"old": 'if [ "$1" = -V ]; then echo Python 3.9.2; else exit 1; fi'}
    done = run("setup-venv", "demo", machine(tmp_path / "bin", **fakes), PYTHON=python)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert os.access(ROOT / "scripts" / "setup-venv", os.X_OK)

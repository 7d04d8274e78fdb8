"""Quarantine is a file for each board that a person can read, and clear by a command or by removing it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from pytest_lava.cli import main
from pytest_lava.errors import InfrastructureError
from pytest_lava.lab.quarantine import find, quarantine, quarantine_folder, quarantined, release


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "locks"
    monkeypatch.setenv("PYTEST_LAVA_LOCKS", str(folder))
    return folder


def test_in_and_out(tmp_path: Path) -> None:
    assert quarantined() == {}
    path = quarantine("panda-1", 'its "power"\nis\x1b[1m gone \\ \x7f \udc80', run=tmp_path)
    text = path.read_text()
    assert "pytest-lava boards --release panda-1" in text
    assert tomllib.loads(text)["run"] == str(tmp_path)
    known = quarantined()["panda-1"]
    assert known == find("panda-1")
    assert known.reason == 'its "power"\nis\x1b[1m gone \\ \x7f ?'
    assert known.describe().endswith(': its "power"')
    quarantine("panda-1", "worse")
    assert quarantined()["panda-1"].reason == "worse"
    assert release("panda-1")
    assert not release("panda-1")
    assert quarantined() == {}
    assert list(path.parent.iterdir()) == []


def test_a_person_may_write_empty_or_remove_it() -> None:
    folder = quarantine_folder()
    (folder / "a.toml").write_text('reason = "on loan to alice"\n')
    (folder / "b.toml").write_text("")
    (folder / "c.toml").write_text("broken on friday")
    found = quarantined()
    assert set(found) == {"a", "c"}
    assert found["a"].describe() == "in quarantine: on loan to alice"
    assert "is not TOML" in found["c"].reason
    (folder / "a.toml").unlink()
    assert find("a") is None


def test_everybody_may_change_it() -> None:
    path = quarantine("a", "why")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o1777


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be several users: run as root")
def test_another_user_releases_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:  # which others may enter, unlike pytest's
        Path(folder).chmod(0o755)
        monkeypatch.setenv("PYTEST_LAVA_LOCKS", f"{folder}/locks")
        path = quarantine("a", "why")
        code = (
            "import os; from pytest_lava.lab.quarantine import *; os.setuid(65534); print(release('a'), quarantined())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout == "True {}\n", done.stderr
        assert path.read_bytes() == b""
        quarantine("a", "again")
        assert quarantined()["a"].reason == "again"


def test_no_folder_for_it(locks: Path) -> None:
    locks.mkdir()
    (locks / "quarantine").write_text("")
    with pytest.raises(InfrastructureError, match="cannot put a into quarantine"):
        quarantine("a", "why")


def test_the_command_lists_and_releases(capsys: pytest.CaptureFixture[str]) -> None:
    quarantine("qemu-arm64", "does not boot")
    quarantine("elsewhere", "of another folder")
    assert main(["boards"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("qemu-arm64 ")]
    assert lines[at + 1].strip().startswith("in quarantine since ")
    assert lines[at + 1].endswith(": does not boot")
    assert lines[-1].startswith("elsewhere ")
    assert main(["boards", "--release", "qemu-arm64", "--release", "elsewhere"]) == 0
    assert capsys.readouterr().out == "qemu-arm64 can be used again\nelsewhere can be used again\n"
    assert main(["boards", "--release", "qemu-arm64"]) == 4
    assert capsys.readouterr().err == "pytest-lava: qemu-arm64 is not in quarantine; in quarantine: none\n"
    assert main(["boards", "--release", "qemu-arm46"]) == 4
    assert capsys.readouterr().err == (
        "pytest-lava: qemu-arm46 is no board that is known here, nor in quarantine; in quarantine: none; "
        "did you mean 'qemu-arm64'?\n"
    )
    assert quarantined() == {}

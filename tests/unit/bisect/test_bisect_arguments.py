"""What is wrong with pytest's arguments is told before a build that may take an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--board=nosuch", "test_it.py"], "there is no board 'nosuch'"),
        (["--board=localhost", "--bord=x", "test_it.py"], "error: unrecognized arguments: --bord=x"),
        (["--board=localhost", "--kernel", "not/built/yet", "test_no.py"], "file or directory not found: test_no.py"),
        (["--board=localhost", "--stress-limit=2 weeks", "test_it.py"], "--stress-limit 2 weeks: write a time"),
    ],
)
def test_refused_before_the_build(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_it.py").write_text("def test_it(shell): pass")
    assert main(["bisect", "--build", "touch built", "--", *arguments]) == 132
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pytest-lava bisect: pytest does not take what is behind --: {says}")
    assert not (tmp_path / "built").exists()


def test_what_the_build_makes_need_not_be_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_it.py").write_text("def test_it(shell): pass")
    given = ["--board=qemu-arm64", "--kernel=arch/Image,modules=m.tar", "--vmlinux", "vmlinux", "test_it.py"]
    assert main(["bisect", "--build", "touch built; exit 1", "--", *given]) == 125
    assert (tmp_path / "built").exists()
    assert "it does not build (status 1)" in capfd.readouterr().out

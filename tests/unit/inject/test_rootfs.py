"""A root file system of Debian packages: what is missing or does not answer is told, and nothing half made is left."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from pytest_lava.cli import main
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, ExitStatus, NetworkError, ToolMissing
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.commands import add_parsers
from pytest_lava.inject.rootfs import debian_root


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the kernel and the busybox, so that only the packages are missing."""
    cache, known = tmp_path_factory.mktemp("cache"), cache_dir() / "debian-x86_64"
    assert known.exists(), "run `pytest-lava fetch x86_64`"
    shutil.copytree(known, cache / known.name)
    return cache


def test_architectures() -> None:
    with pytest.raises(ConfigurationError, match="no root file system is made for 'arm': there are arm64, x86_64"):
        debian_root("arm", cache_dir())


def test_without_the_program(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"mmdebstrap is missing, .*: apt-get install mmdebstrap"):
        debian_root("x86_64", assets)
    assert list((assets / "debian-root-x86_64").iterdir()) == []


def test_without_a_network(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy at which nobody listens; the real mmdebstrap, whose apt finds nothing."""
    assert shutil.which("mmdebstrap"), "run `scripts/setup-host test`: mmdebstrap is missing"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(
        NetworkError, match=r"the packages cannot be fetched: .* - go online, then start again"
    ) as caught:
        debian_root("x86_64", assets)
    assert "127.0.0.1" in caught.value.evidence
    assert list((assets / "debian-root-x86_64").iterdir()) == []


def test_nothing_is_left_when_time_is_over(assets: Path) -> None:
    """The real one has just begun, and removes what it made."""
    before = set(Path(tempfile.gettempdir()).glob("*mmdebstrap.*"))
    with pytest.raises(NetworkError, match="mmdebstrap did not end in time"):
        debian_root("x86_64", assets, deadline=Deadline.after(3))
    assert list((assets / "debian-root-x86_64").iterdir()) == []
    assert not set(Path(tempfile.gettempdir()).glob("*mmdebstrap.*")) - before
    assert "mmdebstrap" not in Path("/proc/mounts").read_text()
    work = str(assets / "debian-root-x86_64")
    assert subprocess.run(["pgrep", "-f", f"/mmdebstrap .*{work}"], capture_output=True, check=False).returncode == 1


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is not made again: without any program."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["fetch", "debian-x86_64"]) == 0
    said = capsys.readouterr().out
    folder = cache_dir() / "debian-root-x86_64"
    assert said.splitlines()[:2] == ["debian-x86_64:", f"  kernel  {folder}/vmlinuz"]
    assert main(["fetch", "debian-arm"]) == ExitStatus.USAGE
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(), lambda arch, cache: [f"made {arch} {cache}"])
    arguments = parser.parse_args(["fetch", "debian-x86_64", "debian-arm64"])
    assert arguments.func(arguments) == 0
    assert capsys.readouterr().out == f"made x86_64 {cache_dir()}\nmade arm64 {cache_dir()}\n"

"""What goes wrong while an image is edited: the right one is blamed, the cache is whole, nothing stays behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.volumes import MIB, check_ext4, facts_of, make_ext4, run

from pytest_lava.errors import ConfigurationError, InfrastructureError
from pytest_lava.images.housekeeping import prune
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import parse_addition
from pytest_lava.inject.disks import volumes
from pytest_lava.inject.inject import inject

SCRIPT = """
import sys
from pathlib import Path
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import parse_addition
from pytest_lava.inject.disks import volumes
from pytest_lava.inject.inject import inject
base, tree, cache = map(Path, sys.argv[1:])
print("begins", flush=True)
inject(base, volumes(base)[0], [parse_addition("--file", f"{tree}:/srv")], Shelf(cache))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    return make_ext4(tmp_path / "root.img", tmp_path / "root", 128 * MIB)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(1500):
        (folder / str(number)).write_bytes(os.urandom(20_000))
    return folder


def test_killed_in_the_middle(tmp_path: Path, base: Path, tree: Path) -> None:
    cache = tmp_path / "cache"
    injected = cache / "injected"
    for moment in (".*/image.img", ".*/.inject-*", ".*/image.img"):
        child = subprocess.Popen([sys.executable, "-c", SCRIPT, base, tree, cache], stdout=subprocess.PIPE)
        end = time.monotonic() + 60
        while not list(injected.glob(moment)) and child.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert list(injected.glob("[!.]*")) == []
    assert list(injected.glob(".*.tmp-*")) != []
    prune(cache, 1 << 40)
    assert list(injected.glob(".*.tmp-*")) == []
    made = inject(base, volumes(base)[0], [parse_addition("--file", f"{tree}:/srv")], Shelf(cache))
    check_ext4(made.path)
    facts = facts_of(made.path)
    assert all(facts[f"srv/{number}"].what == (tree / str(number)).read_bytes() for number in range(1500))
    left = sorted(path.name for path in injected.iterdir() if not path.name.endswith(".json"))
    assert left == [made.path.parent.name]
    assert sorted(path.name for path in made.path.parent.iterdir()) == ["about.json", "image.img"]


def test_a_disk_that_is_full_while_debugfs_writes(tmp_path: Path, base: Path, tree: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk to fill; the copy on a full disk is tested without")
    cache = tmp_path / "cache"
    cache.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", cache)
    try:
        with pytest.raises(InfrastructureError, match=r"debugfs cannot write .*No space left.*--lava-cache another"):
            inject(base, volumes(base)[0], [parse_addition("--file", f"{tree}:/srv")], Shelf(cache))
        assert list((cache / "injected").iterdir()) == []
    finally:
        run("umount", cache)


@pytest.mark.parametrize("limit", [1, 40])
def test_a_disk_that_is_full(tmp_path: Path, tree: Path, limit: int) -> None:
    """A limit on sizes of files, in MiB, stands for the disk: at the copy, and where the image has to grow."""
    (tmp_path / "small/etc").mkdir(parents=True)
    base = make_ext4(tmp_path / "root.img", tmp_path / "small", 16 * MIB)
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", SCRIPT, base, tree, cache]
    allowed = (limit * MIB, limit * MIB)
    child = subprocess.run(
        command, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, allowed),
    )  # fmt: skip
    assert child.returncode == 1
    assert "pytest_lava.errors.InfrastructureError: " in child.stderr
    assert "--lava-cache another folder" in child.stderr
    assert list((cache / "injected").iterdir()) == []


def test_two_runs_at_once_make_one(tmp_path: Path, base: Path, tree: Path) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", SCRIPT, base, tree, cache]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    assert len(list((cache / "injected").glob("[!.]*"))) == 1
    assert list((cache / "injected").glob(".*.tmp-*")) == []


def test_a_program_that_is_missing(tmp_path: Path, base: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "fat.img").write_bytes(bytes(54) + b"FAT16   " + bytes(10 * MIB))
    fat = tmp_path / "fat.img"
    with pytest.raises(ConfigurationError, match=r"mdir is needed to edit this image: .*apt-get install mtools"):
        inject(fat, volumes(fat)[0], [parse_addition("--file", f"{tree}:/srv")], Shelf(tmp_path / "cache"))


def test_a_source_that_becomes_another_thing(tmp_path: Path, base: Path, tree: Path) -> None:
    wanted = parse_addition("--file", f"{tree}:/srv")
    (tree / "7").unlink()
    (tree / "7").symlink_to("nowhere")
    made = inject(base, volumes(base)[0], [wanted], Shelf(tmp_path / "cache"))
    assert facts_of(made.path)["srv/7"].what == "nowhere"

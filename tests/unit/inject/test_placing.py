"""Paths through symbolic links, against what this machine's kernel makes of the same paths."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_lava.errors import InjectFailed
from pytest_lava.inject.entries import Entry
from pytest_lava.inject.filesystem import Node, Placed
from pytest_lava.inject.placing import place


class Folder:
    """A folder of this machine as a file system; entries become files and folders."""

    name, folds = "a folder", False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked = 0

    def listings(self, folders: Sequence[str]) -> Mapping[str, Mapping[str, Node]]:
        self.asked += 1
        found = {}
        for folder in folders:
            with os.scandir(self.root / folder) as entries:
                found[folder] = {
                    entry.name: Node("symlink" if entry.is_symlink() else "folder" if entry.is_dir() else "file")
                    for entry in entries
                }
        return found

    def targets(self, symlinks: Sequence[str]) -> Mapping[str, str]:
        return {path: str((self.root / path).readlink()) for path in symlinks}

    def apply(self, placed: Sequence[Placed]) -> Sequence[str]:
        for item in placed:
            path = self.root / item.entry.path
            assert not any(parent.is_symlink() for parent in path.parents), "a link is left in the path"
            if item.over:
                path.unlink()
            if item.entry.kind == "folder":
                path.mkdir()
            else:
                path.touch(exist_ok=False)
        return ()


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
LINKS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map("/".join)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(PATHS, st.one_of(st.none(), LINKS)), max_size=8),
    st.lists(st.tuples(PATHS, st.sampled_from(["file", "folder"])), min_size=1, max_size=4),
)
@example([("a/l", "..")], [("a/l/x", "file")])
@example([("a/b/l", "../c"), ("a/c/m", "./../..")], [("a/b/l/m/x", "folder"), ("a/b/l/y", "file")])
def test_paths_lead_where_the_kernel_says(there: list[tuple[str, str | None]], wanted: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as top:
        # so deep that no .. of a link leaves the tree: above the root there is only the root
        root = Path(os.path.realpath(top), *"xyzxyzxyzxyz")
        root.mkdir(parents=True)
        for path, target in there:
            try:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                if target is None:
                    (root / path).touch()
                else:
                    (root / path).symlink_to(target)
            except OSError:
                continue
        if any(_leaves(root / path, root) for path, target in there if target is not None):
            return
        system = Folder(root)
        entries = [Entry(path, kind) for path, kind in wanted]  # type: ignore[arg-type]
        try:
            placed = place(entries, system)
        except InjectFailed:
            return
        # what one question at a time gives is what all at once give
        for number, (path, kind) in enumerate(wanted):
            one = place(entries[number : number + 1], system)
            parent, name = os.path.split(root / path)
            real = os.path.realpath(root / path) if kind == "folder" else f"{os.path.realpath(parent)}/{name}"
            made = {item.entry.path for item in one}
            assert os.path.relpath(real, root) in made or (kind == "folder" and Path(real).is_dir())
            assert placed[: len(one)] == one
            del placed[: len(one)]
            system.apply(one)
        assert placed == []


def _leaves(link: Path, root: Path) -> bool:
    where = os.path.realpath(link)
    return where != str(root) and not where.startswith(f"{root}/")


def test_few_questions_for_many_files(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / "usr/lib/modules" / str(number) / "kernel").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    system = Folder(tmp_path)
    placed = place(
        [Entry(f"lib/modules/{number}/kernel/{name}", "file") for number in range(50) for name in range(20)], system
    )
    assert len(placed) == 1000
    assert all(item.entry.path.startswith("usr/lib/modules/") for item in placed)
    assert system.asked <= 6


@pytest.mark.parametrize("target", ["/", "../../../..", "/..", "."])
def test_links_to_the_root(tmp_path: Path, target: str) -> None:
    (tmp_path / "a").symlink_to(target)
    placed = place([Entry("a/b/c", "file")], Folder(tmp_path))
    assert [item.entry.path for item in placed] == ["b", "b/c"]


def test_a_package_that_links_a_folder_which_is_there(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    assert place([Entry("lib", "symlink", target="usr/lib", gentle=True)], Folder(tmp_path)) == []
    with pytest.raises(InjectFailed, match="/lib is a folder"):
        place([Entry("lib", "symlink", target="usr/lib")], Folder(tmp_path))

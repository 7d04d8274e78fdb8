"""What of a repository is sent: what the steps name, and what that names."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from pytest_lava.suites.repository import archive, crlf_scripts, needed, root_of

STEPS = ["cd ./automated/linux/smoke/", "./smoke.sh", "../../utils/send.sh output/result.txt"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Like a public repository of definitions, with much that one of them does not need."""
    root = tmp_path / "repository"
    for name, text in {
        "automated/linux/smoke/smoke.yaml": "x",
        "automated/linux/smoke/smoke.sh": "#!/bin/sh\n. ../../lib/sh-test-lib\n",
        "automated/linux/smoke/data/input.txt": "x",
        "automated/lib/sh-test-lib": "command -v ../../tools/probe\n",
        "automated/utils/send.sh": "#!/bin/sh\n",
        "automated/linux/other/other.sh": "#!/bin/sh\n",
        "automated/linux/other/large.bin": "\0" * (2 << 20),
        "README.md": "x",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "automated/linux/smoke/smoke.sh").chmod(0o755)
    return root


def names(root: Path, files: tuple[Path, ...]) -> set[str]:
    return {str(file.relative_to(root)) for file in files}


def test_the_root_is_where_the_steps_find_their_folders(tree: Path) -> None:
    assert root_of(tree / "automated/linux/smoke/smoke.yaml", STEPS) == tree
    assert root_of(tree / "automated/linux/smoke/smoke.yaml", ["cd linux/smoke"]) == tree / "automated"


def test_else_it_is_that_of_git_and_else_the_definitions_own(tree: Path) -> None:
    definition = tree / "automated/linux/smoke/smoke.yaml"
    assert root_of(definition, ["uname"]) == definition.parent
    assert root_of(definition, [". ./automated/lib/sh-test-lib", "cd /tmp"]) == tree
    assert root_of(definition, ["$HERE/lib/sh-test-lib"]) == tree / "automated"
    (tree / ".git").mkdir()
    assert root_of(definition, ["uname"]) == tree
    assert root_of(definition, ["./smoke.sh"]) == definition.parent, "the only one that has it"
    (tree / "smoke.sh").write_text("true\n")
    assert root_of(definition, ["./smoke.sh"]) == tree, "as in LAVA"


def test_only_what_is_needed(tree: Path) -> None:
    assert names(tree, needed(tree, STEPS)) == {
        "automated/linux/smoke/smoke.yaml", "automated/linux/smoke/smoke.sh", "automated/linux/smoke/data/input.txt",
        "automated/lib/sh-test-lib", "automated/utils/send.sh",
    }  # fmt: skip


def test_a_small_repository_is_sent_whole_but_for_its_history(tree: Path) -> None:
    (tree / "automated/linux/other/large.bin").unlink()
    (tree / ".git").mkdir()
    (tree / ".git/config").write_text("x")
    assert names(tree, needed(tree, ["true"])) == {
        str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file() and ".git" not in file.parts
    }


def test_nothing_above_the_root_is_sent(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    assert all(file.is_relative_to(tree) for file in needed(tree, [*STEPS, "cat ../secret /etc/hostname"]))


def test_equal_contents_are_equal_bytes(tree: Path, tmp_path: Path) -> None:
    files = needed(tree, STEPS)
    first = archive(tree, files, [], tmp_path / "a.tar")
    os.utime(tree / "automated/utils/send.sh", (1, 1))
    second = archive(tree, files, [], tmp_path / "b.tar")
    assert first.key == second.key
    (tree / "automated/utils/send.sh").write_text("#!/bin/sh\nexit 1\n")
    assert archive(tree, files, [], tmp_path / "c.tar").key != first.key
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getmember("repo/automated/linux/smoke/smoke.sh").mode == 0o755
        assert {member.uid for member in tar} == {0}


def test_scripts_with_dos_line_ends_are_found(tmp_path: Path) -> None:
    for name, text in {"a.sh": b"#!/bin/sh\r\n", "b.sh": b"#!/bin/sh\n", "c.txt": b"text\r\n"}.items():
        (tmp_path / name).write_bytes(text)
    assert crlf_scripts(sorted(tmp_path.iterdir())) == [tmp_path / "a.sh"]

"""Repositories that a definition wants: with their history where its steps use that."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_lava.errors import FetchFailed
from pytest_lava.suites.clones import clone_all
from pytest_lava.suites.definition import Repository


@pytest.fixture
def origin(tmp_path: Path) -> str:
    """A repository of two commits, the first of which has a tag; its URL."""
    folder = tmp_path / "pm-qa.git"
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (
        ["git", "init", "-q", "-b", "main", str(folder)],
        [*git, "commit", "-q", "--allow-empty", "-m", "one"], [*git, "tag", "v1"],
        [*git, "commit", "-q", "--allow-empty", "-m", "two"],
    ):  # fmt: skip
        subprocess.run(command, check=True)
    return f"file://{folder}"


@pytest.mark.parametrize(
    "steps, commits",
    [
        (["make check"], 1),
        (["cd pm-qa", "git checkout tags/v1"], 2),
        (["git -C pm-qa log --oneline"], 2),
        (["apt-get install git"], 1),
    ],
)
def test_steps_that_use_git_have_all_of_it(tmp_path: Path, origin: str, steps: list[str], commits: int) -> None:
    files = clone_all([Repository(origin)], {}, tmp_path / "clones", steps)
    assert {name.partition("/")[0] for name, _ in files} == {"pm-qa"}
    told = subprocess.run(
        ["git", "-C", str(tmp_path / "clones/pm-qa"), "rev-list", "--count", "HEAD"], capture_output=True, check=True
    )
    assert int(told.stdout) == commits


def test_names_may_be_parameters(tmp_path: Path, origin: str) -> None:
    files = clone_all([Repository("URL", "REL", "tools")], {"URL": origin, "REL": "v1"}, tmp_path / "clones")
    assert {name.partition("/")[0] for name, _ in files} == {"tools"}


def test_a_destination_is_a_name(tmp_path: Path, origin: str) -> None:
    with pytest.raises(FetchFailed, match=r"is a name and not '\.\./x'"):
        clone_all([Repository(origin, "", "../x")], {}, tmp_path / "clones")


def test_why_it_failed_is_not_the_last_word_of_advice(tmp_path: Path, origin: str) -> None:
    for repository, said in (
        (Repository(f"file://{tmp_path}/none.git"), "does not appear to be a git repository"),
        (Repository(origin, branch="nobranch"), "Remote branch nobranch not found"),
    ):
        with pytest.raises(FetchFailed) as raised:
            clone_all([repository], {}, tmp_path / "clones")
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)

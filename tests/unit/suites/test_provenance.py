"""Where suites come from: repositories made here, with the git of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.face import Face

from pytest_lava.suites.provenance import Provenance, provenance


def git(folder: Path, *words: str) -> str:
    own = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *own, "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "test_a.py").write_text("def test_a(shell): pass\n")
    (root / "other.txt").write_text("x")
    git(root, "init", "-q", ".")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_a_file_as_it_was_committed(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD").strip()
    file = repository / "sub" / "test_a.py"
    (repository / "other.txt").write_text("changed, and not beside the suite")
    assert provenance(file) == Provenance("mine", "", head, False, "sub/test_a.py")
    git(repository, "remote", "add", "origin", "https://user:secret@example.org/tests/board-tests.git/")
    found = provenance(file)
    assert found is not None
    assert (found.project, found.url) == ("board-tests", "https://example.org/tests/board-tests.git/")


def test_what_was_changed_or_never_added(repository: Path) -> None:
    file, new = repository / "sub" / "test_a.py", repository / "sub" / "test_new.py"
    new.write_text("")
    found, added = provenance(file), provenance(new)
    assert found is not None
    assert added is not None
    assert (found.changed, added.changed) == (False, True)
    file.write_text("# changed\n")
    found = provenance(file)
    assert found is not None
    assert found.changed


def test_nothing_to_tell(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alone.py").write_text("")
    assert provenance(tmp_path / "alone.py") is None
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q", ".")
    assert provenance(tmp_path / "empty" / "x.py") is None
    monkeypatch.setenv("PATH", "/nonexistent")
    assert provenance(repository / "sub" / "test_a.py") is None


def test_a_run_tells_it(face: Face) -> None:
    face.write(test_it="def test_a(shell): pass\ndef test_b(shell): pass\n")
    git(face.path, "init", "-q", ".")
    git(face.path, "add", "test_it.py")
    git(face.path, "commit", "-q", "-m", "first")
    face.run("--board=localhost", "test_it.py", "--command=true", passed=3)
    assert [line["suite"] for line in face.journal("source")] == ["test_it.py"]
    head = git(face.path, "rev-parse", "HEAD").strip()
    runs = {run["test_id"]: run for run in face.bundle()["test_runs"]}
    (source,) = runs["test-it.py"]["software_context"]["sources"]
    assert source["branch_revision"] == head
    assert runs["test-it.py"]["attributes"].items() >= {"suite.revision": head, "suite.path": "test_it.py"}.items()
    assert "suite.changed" not in runs["test-it.py"]["attributes"]
    assert "sources" not in runs["true"]["software_context"]

"""Links to files in JUnit, read back by junitparser and by the rules of GitLab and Jenkins; and what fits into it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml, TestCase
from support.finishedrun import finished_run

from pytest_lava.errors import ConfigurationError
from pytest_lava.planning.mistakes import Mistakes
from pytest_lava.planning.planner import Options
from pytest_lava.planning.results import junit_links
from pytest_lava.results.commands import junit_command
from pytest_lava.results.junit import document
from pytest_lava.results.junit_links import Links

#: what GitLab looks for in system-out; it takes the first
GITLAB = re.compile(r"\[\[ATTACHMENT\|(?P<path>.+?)\]\]")


def cases(data: bytes) -> dict[str, TestCase]:
    """By name, as junitparser reads them; the counts of the suite are right."""
    (suite,) = JUnitXml.fromstring(data)
    found = list(suite)
    assert suite.tests == len(found)
    tags = [type(result).__name__ for case in found for result in case.result]
    assert (suite.failures, suite.errors, suite.skipped) == tuple(map(tags.count, ("Failure", "Error", "Skipped")))
    return {case.name: case for case in found}


def links(case: TestCase) -> list[str]:
    """What Jenkins takes: lines that are nothing else."""
    return re.findall(r"^\[\[ATTACHMENT\|(.+)\]\]$", case.system_out or "", re.MULTILINE)


@pytest.fixture
def run(tmp_path: Path, told: Any, make: Any) -> list[dict[str, Any]]:
    """Tests with files, in a project folder."""
    (tmp_path / "console").mkdir()
    for name in ("console/0001-good.log", "console/0002-bad.log", "shot.png", "odd]].txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "console.log").write_text("U-Boot\n")
    files = [{"name": "shot.png", "path": "shot.png", "mime": "image/png"}]
    odd = [{"name": name, "path": name, "mime": "text/plain"} for name in ("odd]].txt", "missing", "../../etc/passwd")]
    console = {"console": [0, 7], "console_log": "console.log"}
    lines: list[dict[str, Any]] = told(
        ("run", {"host": "desk"}),
        ("outcome", make.outcome("t.py::good", slice="console/0001-good.log", attachments=files)),
        (
            "outcome",
            make.outcome(
                "t.py::bad", outcome="failed", slice="console/0002-bad.log", attachments=[*files, *odd],
                sections=[["Captured stdout call", "[[ATTACHMENT|/etc/passwd]]\n"]],
            ),
        ),
        ("outcome", make.outcome("boot", suite="lava", case="boot", outcome="failed", **console)),
        ("outcome", make.outcome("t.py::plain")),
    )  # fmt: skip
    return lines


def test_none_is_the_default(run: list[dict[str, Any]], tmp_path: Path) -> None:
    found = cases(document(run, folder=tmp_path))
    assert [links(case) for case in found.values()] == [[], ["/etc/passwd"], [], []]  # what the test itself wrote


def test_jenkins_takes_absolute_paths(run: list[dict[str, Any]], tmp_path: Path) -> None:
    found = cases(document(run, folder=tmp_path, links=Links("jenkins")))
    assert links(found["good"]) == [f"{tmp_path}/shot.png", f"{tmp_path}/console/0001-good.log"]
    assert links(found["bad"])[:2] == [f"{tmp_path}/console/0002-bad.log", f"{tmp_path}/shot.png"]
    assert links(found["bad"])[2:] == ["/etc/passwd"]
    assert links(found["q1-k1"]) == [f"{tmp_path}/console.log"]  # the boot that failed
    assert found["plain"].system_out is None


def test_gitlab_takes_paths_from_the_project_on_and_the_first_is_the_failure(
    run: list[dict[str, Any]], tmp_path: Path
) -> None:
    data = document(run, folder=tmp_path, links=Links("gitlab", tmp_path.parent))
    first = GITLAB.search(cases(data)["bad"].system_out)
    assert first
    assert first["path"] == f"{tmp_path.name}/console/0002-bad.log"
    assert (tmp_path.parent / first["path"]).read_text() == "x"


def test_what_the_run_asked_for_is_in_its_journal(told: Any, make: Any, tmp_path: Path) -> None:
    (tmp_path / "shot.png").write_text("x")
    asked = Links("gitlab", tmp_path)
    outcome = make.outcome("t.py::a", attachments=[{"name": "s", "path": "shot.png", "mime": "image/png"}])
    lines = told(("run", asked.told()), ("outcome", outcome))
    assert Links.of(lines[0]) == asked
    assert links(cases(document(lines, folder=tmp_path))["a"]) == ["shot.png"]
    assert links(cases(document(lines, folder=tmp_path, links=Links()))["a"]) == []
    assert links(cases(document(lines))["a"]) == []


@pytest.mark.parametrize("told", [None, 1, {}, {"dialect": "other"}, {"dialect": ["x"]}])
def test_a_damaged_journal_asks_for_none(told: object) -> None:
    assert Links.of({"junit_links": told}) == Links()


def test_a_run_folder_that_gitlab_does_not_see_is_told_before_the_run(tmp_path: Path) -> None:
    options = Options(junit_attachments="gitlab", project_dir=str(tmp_path / "project"))
    mistakes = Mistakes()
    junit_links(options, tmp_path / "project/lava-runs/1", mistakes)
    mistakes.raise_all()
    junit_links(options, tmp_path / "elsewhere", mistakes)
    with pytest.raises(ConfigurationError, match="put the run folder there with --lava-dir"):
        mistakes.raise_all()


def test_the_command_links_as_it_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_PROJECT_DIR", str(folder.parent))
    args = argparse.Namespace(journal=[folder], output=None, attachments="gitlab")
    assert junit_command(args) == 0
    text = (folder / "junit.xml").read_text()
    monkeypatch.setenv("CI_PROJECT_DIR", str(folder / "deeper"))
    with pytest.raises(ConfigurationError, match="GitLab takes files from below the project folder"):
        junit_command(args)
    args.attachments = None
    assert junit_command(args) == 0
    assert "ATTACHMENT" not in (folder / "junit.xml").read_text()
    assert text.count("<testcase") == 6


def test_a_cut_does_not_leave_half_of_an_escape_sequence(told: Any, make: Any) -> None:
    output = "\x1b[31mred\x1b[0m " * 60_000
    lines = told(("outcome", make.outcome("t.py::a", outcome="failed", sections=[["out", output]], longrepr=output)))
    case = cases(document(lines))["a"]
    for text in (case.system_out, case.result[0].text):
        assert set(re.sub(r"\[the first \d+ characters are cut\]|---- out ----", "", text).split()) <= {
            "red",
            "ed",
            "d",
        }


def test_a_file_that_gitlab_would_refuse_has_shorter_outputs(tmp_path: Path) -> None:
    results = finished_run(tmp_path / "run", tests=300, output="x" * 150_000)
    data = (results.folder / "junit.xml").read_bytes()
    assert len(data) < 30_000_000
    found = cases(data)
    assert len(found) == 300
    assert all("characters are cut]" in case.system_out for case in found.values())
    assert b'<property name="output_limit" value="65536" />' in data

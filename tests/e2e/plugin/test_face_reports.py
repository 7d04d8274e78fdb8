"""Reports of tests with a lot of output: the HTML stays small, and JUnit leads to files."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from junitparser import JUnitXml
from support.face import Face

TESTS = r"""
    LINE = "\x1b[31m[  123.456789] usb 1-1: <new> & high-speed\x1b[0m device\n"

    def test_prints(shell):
        shell.run("echo on the board")
        print("the first line\n" + LINE * 150_000 + "the last line")
        assert False, "no reason"

    def test_is_short():
        print("short & <sweet>")
"""


def test_ten_megabytes_of_output(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_PROJECT_DIR", str(face.path))
    face.write(test_it=TESTS)
    face.run("--board=localhost", "test_it.py", "--junit-attachments=gitlab", "-q", passed=1, failed=1)

    page = face.latest / "report.html"
    assert page.stat().st_size < 300_000
    data = json.loads(html.unescape(re.findall(r'data-jsonblob="([^"]*)"', page.read_text())[0]))
    (failed,) = data["tests"]["test_it.py::test_prints[localhost]"]
    assert all(word in failed["log"] for word in ("the first line", "the last line", "no reason", "&lt;new&gt; &amp;"))
    (link,) = re.findall(r'characters left out: <a href="([^"]+)"', failed["log"])
    whole = (face.latest / link).read_text()
    assert whole.startswith("the first line\n")
    assert whole.count("<new> &") == 150_000
    (short,) = data["tests"]["test_it.py::test_is_short"]
    assert "short &amp; &lt;sweet&gt;" in short["log"]
    assert [path.name for path in (face.latest / "output").iterdir()] == [Path(link).name]

    (suite,) = JUnitXml.fromfile(str(face.latest / "junit.xml"))
    cases = {case.name: case for case in suite}
    assert suite.tests == len(cases) == 2
    found = re.search(r"\[\[ATTACHMENT\|(.+?)\]\]", cases["test_prints"].system_out)
    assert found
    assert b"on the board" in (face.path / found[1]).read_bytes()
    assert "ATTACHMENT" not in (cases["test_is_short"].system_out or "")


def test_gitlab_must_be_able_to_see_the_run_folder(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_PROJECT_DIR", str(face.path / "project"))
    said = face.refused("--board=localhost", "--command=true", "--junit-attachments=gitlab")
    assert any("put the run folder there with --lava-dir" in line for line in said)

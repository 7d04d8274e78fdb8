"""JUnit XML: every parser can read it, its counts are those of its elements."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_lava.results.journal import read
from pytest_lava.results.junit import document, write
from pytest_lava.results.record import collect


def suite_of(data: bytes) -> ET.Element:
    suite = ET.fromstring(data).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert suite.get("tests") == str(len(cases))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(key) == str(len(suite.findall(f"testcase/{tag}")))
    return suite


def test_a_whole_run(folder: Path) -> None:
    path = folder / "junit.xml"
    write(read(folder), path, folder=folder)
    suite = suite_of(path.read_bytes())
    assert (suite.get("name"), suite.get("hostname"), suite.get("time")) == ("pytest-lava", "desk", "9.000")
    cases = {(case.get("classname"), case.get("name")): case for case in suite.findall("testcase")}
    assert list(cases) == [
        ("tests.test_mm", "test_good"),
        ("tests.test_mm", "test_bad[2 MB]"),
        ("tests.test_mm", "test_off"),
        ("tests.test_mm.TestA", "test_x"),
        ("tests.test_lab", "test_power"),
        ("command", "free -m"),
    ]
    tags = [[child.tag for child in case if child.tag in ("failure", "error", "skipped")] for case in cases.values()]
    assert tags == [[], ["failure"], ["skipped"], ["skipped"], ["error"], []]
    properties = {one.get("name"): one.get("value") for one in suite.findall("properties/property")}
    assert properties.items() >= {"board": "q1", "kernel": "6.1.0", "boot_seconds": "3.5"}.items()
    assert properties["run_folder"] == str(folder)
    command = cases["command", "free -m"]
    assert command.findtext("system-out") == "Mem:#x00\ufffd\n"
    good = {one.get("name"): one.get("value") for one in cases["tests.test_mm", "test_good"].iter("property")}
    assert good.items() >= {"board": "q1", "console": "16-67", "measurement": "12.5"}.items()


def test_a_killed_run_shows_the_running_test_as_an_error(told: Any, make: Any) -> None:
    suite = suite_of(document(told(("run", {}), ("start", {"nodeid": "t.py::a", "target": "q"}))))
    error = suite.find("testcase/error")
    assert error is not None
    assert error.get("message") == "the run ended while this test was running"


def test_boot_reports_have_a_class_of_their_own(told: Any, make: Any) -> None:
    boot = make.outcome("boot::q1", suite="lava", case="boot", outcome="failed", message="no prompt", board="q1")
    suite = suite_of(document(told(("outcome", boot))))
    case = suite.find("testcase")
    assert case is not None
    assert (case.get("classname"), case.get("name"), suite.get("failures")) == ("boot", "q1-k1", "1")


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
@pytest.mark.parametrize("blame", ["infrastructure", "configuration", "bug", "job", "test", "a fixture"])
def test_junit_and_bundle_agree_on_what_failed(told: Any, make: Any, when: str, blame: str) -> None:
    """A failure is one in both; where nothing is known of the test, JUnit has an error and the bundle ``unknown``."""
    error = make.error(blame if blame != "a fixture" else "test")
    if blame == "a fixture":  # an assertion or the like, as the plugin tells it
        error["result"] = "fail" if when == "call" else "unknown"
    lines = list(told(("outcome", make.outcome("t.py::a", when=when, outcome="failed", error=error))))
    (case,) = collect(lines).cases
    tag = "failure" if error["result"] == "fail" else "error"
    assert [one.tag for one in suite_of(document(lines)).findall("testcase/*") if one.tag != "properties"] == [tag]
    assert case.verdict.result == ("fail" if tag == "failure" else "unknown")


def test_an_error_after_a_failure_is_in_the_same_report(told: Any, make: Any) -> None:
    call = make.outcome("t.py::a", outcome="failed", longrepr="first")
    late = make.outcome("t.py::a", when="teardown", outcome="failed", longrepr="second", error=make.error())
    suite = suite_of(document(told(("outcome", call), ("outcome", late))))
    assert suite.findtext("testcase/failure") == "first\n\nsecond"


@pytest.mark.parametrize(
    "text, shown", [("\x1b[31mred\x1b[0m", "red"), ("a\0b\x07", "a#x00b#x07"), ("\udc80", "#xDC80")]
)
def test_escapes_go_and_what_xml_cannot_hold_is_shown(told: Any, make: Any, text: str, shown: str) -> None:
    suite = suite_of(document(told(("outcome", make.outcome("t.py::a", outcome="failed", longrepr=text)))))
    assert suite.findtext("testcase/failure") == shown


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_any_text_is_valid_xml(one: str, two: str) -> None:
    line = {"v": 1, "run": "r", "time": one, "kind": "outcome", "nodeid": one, "when": "call", "outcome": "failed"}
    line |= {"message": two, "longrepr": one, "sections": [[one, two]], "properties": [[two, one]], "command": two}
    suite_of(document([line]))

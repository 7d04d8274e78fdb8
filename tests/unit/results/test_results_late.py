"""What came to light after a test had ended: it belongs to that test in bundle, JUnit and summary, and to no other."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from pytest_lava.results import junit
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.schema import validate
from pytest_lava.results.kernel_messages import told_stored
from pytest_lava.results.record import collect

NAME = "dmesg-ramoops-0"
PATH = f"console/0001-a.pstore/{NAME}"


def journal_of(folder: Path, told: Any, make: Any) -> list[dict[str, Any]]:
    """A test that crashed, one that passed, and then the record of the crash."""
    (folder / PATH).parent.mkdir(parents=True)
    (folder / PATH).write_bytes(b"<0>Kernel panic\n")
    crash = make.error("job", type="KernelCrash", message="the kernel crashed")
    evidence = {
        "nodeid": "t.py::a",
        "target": "q1-k1",
        "sections": [[f"{NAME} of q1, as its kernel stored it", "<0>Kernel panic\n"]],
        "attachments": [{"name": NAME, "path": PATH, "mime": "text/plain"}],
    }
    lines: list[dict[str, Any]] = told(
        ("start", {"nodeid": "t.py::a", "target": "q1-k1"}),
        ("outcome", make.outcome("t.py::a", outcome="failed", error=crash)),
        ("start", {"nodeid": "t.py::b", "target": "q1-k1"}),
        ("evidence", evidence),
        ("outcome", make.outcome("t.py::b")),
    )
    return lines


def test_it_is_attached_to_the_test_that_it_is_about(tmp_path: Path, told: Any, make: Any) -> None:
    lines = journal_of(tmp_path, told, make)
    for version in ("1.3", "1.5", "1.6", "1.7"):
        bundle = build_bundle(lines, version=version, folder=tmp_path)
        validate(bundle)
        run = next(run for run in bundle["test_runs"] if run["test_id"] == "t.py")
        found = {one["pathname"]: one for one in run.get("attachments", [])} | {
            f"{case['test_case_id']}/{one['pathname']}": one
            for case in run["test_results"]
            for one in case.get("attachments", [])
        }
        assert [name for name in found if NAME in name] == [f"a/{NAME}"]
        assert base64.b64decode(found[f"a/{NAME}"]["content"]) == b"<0>Kernel panic\n"


def test_people_find_it(tmp_path: Path, told: Any, make: Any) -> None:
    lines = journal_of(tmp_path, told, make)
    first, second = ET.fromstring(junit.document(lines, folder=tmp_path)).iter("testcase")
    assert "Kernel panic" in (first.findtext("system-out") or "")
    assert second.findtext("system-out") is None
    assert told_stored(collect(lines)) == [f"by the kernel that died in t.py::a: {PATH}"]


def test_without_its_test_it_is_no_result(tmp_path: Path, told: Any, make: Any) -> None:
    """The run may have been killed before, or its journal cut."""
    lines = journal_of(tmp_path, told, make)
    alone = [line for line in lines if line.get("nodeid") != "t.py::a" or line["kind"] == "evidence"]
    assert [case.nodeid for case in collect(alone).cases] == ["t.py::b"]

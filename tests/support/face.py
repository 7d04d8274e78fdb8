"""pytest run as a user runs it, and a reader of what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

# pytester forgets what a test of it imported: what holds classes that others keep, or is dear, has to be there before
import fastjsonschema  # noqa: F401
import pytest

import pytest_lava.plugin.output.html
import pytest_lava.plugin.registration
import pytest_lava.plugin.xdist
import pytest_lava.suites.running  # noqa: F401
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import dump_bundle
from pytest_lava.results.bundle.schema import validate
from pytest_lava.results.journal import read

__all__ = ["Face", "properties"]

QUICK = ("-p", "no:hypothesispytest")  # its import takes half a second


class Face:
    """A user's folder: ``run`` starts pytest in it, the rest reads the newest run folder."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        #: whether boards may be resumed: most tests are about boots, and share the cache of this machine's user
        self.snapshots = False

    def write(self, **files: str) -> None:
        """Python files by name without suffix."""
        self.pytester.makepyfile(**files)

    def board(self, name: str, text: str) -> None:
        """A board file of the user's own."""
        folder = self.path / "boards"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.toml").write_text(text)

    def run(self, *arguments: object, seconds: float = 120, **counts: int) -> pytest.RunResult:
        """pytest in a process of its own; ``counts`` as ``assert_outcomes`` takes them. Its bundle is checked.

        ``seconds`` are its limit.
        """
        quick = QUICK if self.snapshots else (*QUICK, "--no-snapshot")
        result = self.pytester.runpytest_subprocess(*quick, *map(str, arguments), timeout=seconds)
        if counts:
            result.assert_outcomes(**counts)
        if (self.latest / "bundle.json").exists():
            self.check_bundle()
        return result

    def here(self, *arguments: object) -> pytest.RunResult:
        """pytest in this process, for runs that touch no board."""
        return self.pytester.runpytest_inprocess(*QUICK, *map(str, arguments))

    def refused(self, *arguments: object) -> list[str]:
        """pytest in this process, where it must end with exit status 4 before anything began; what it said."""
        result = self.here(*arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR, result.outlines + result.errlines
        assert not (self.path / "lava-runs").exists()
        said = [line for line in result.errlines if line.strip()]
        assert not any("Traceback" in line for line in said)
        return said

    @property
    def latest(self) -> Path:
        return self.path / "lava-runs" / "latest"

    @property
    def untouched(self) -> bool:
        """Whether no run left anything."""
        return not (self.path / "lava-runs").exists()

    def journal(self, kind: str = "outcome") -> list[dict[str, Any]]:
        return [line for line in read(self.latest) if line["kind"] == kind]

    def events(self) -> list[dict[str, Any]]:
        """The event logs of all processes of the newest run."""
        files = sorted(self.latest.glob("events*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def deployments(self) -> list[str]:
        return [line["target"] for line in self.journal("phase") if line["name"] == "deploy"]

    def bundle(self) -> dict[str, Any]:
        """The bundle of the newest run."""
        found: dict[str, Any] = json.loads((self.latest / "bundle.json").read_text())
        return found

    def results(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Results of the bundle by test id and case."""
        runs = json.loads((self.latest / "bundle.json").read_text())["test_runs"]
        assert len({run["test_id"] for run in runs}) == len(runs)
        return {run["test_id"]: {case["test_case_id"]: case for case in run["test_results"]} for run in runs}

    def junit(self, path: Path | None = None) -> dict[str, ET.Element]:
        """Test cases by ``classname::name``; each name is there once."""
        cases = list(ET.parse(path or self.latest / "junit.xml").iter("testcase"))
        named = {f"{case.get('classname')}::{case.get('name')}": case for case in cases}
        assert len(named) == len(cases)
        return named

    def check_bundle(self) -> None:
        """It is valid, and the journal gives the same bytes once more."""
        path = (self.latest / "bundle.json").resolve()
        written = path.read_bytes()
        found = json.loads(written)
        validate(found)
        version = found["format"].rpartition(" ")[2]
        assert dump_bundle(build_bundle(read(path.parent), version=version, folder=path.parent)).encode() == written


def properties(case: ET.Element) -> dict[str, str]:
    """Properties of a JUnit test case; each name is there once."""
    pairs = [(one.get("name", ""), one.get("value", "")) for one in case.iter("property")]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)

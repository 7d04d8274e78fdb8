"""Numbers that a dashboard's database has no room for: whole in the bundle, fitted for the dashboard alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.dashboard_importer import Database, ImportFailed

from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import write_bundle
from pytest_lava.results.journal import Journal, read
from pytest_lava.sinks.api import Results
from pytest_lava.sinks.dashboard import DashboardSink
from pytest_lava.sinks.dashboard_numbers import fit_numbers
from pytest_lava.sinks.secrets import FoundSecrets

RUN = "6f3b1c52-7a55-4a3f-9a7e-0a4de1f1c001"
#: what was measured, what the dashboard gets, and what is told beside it
NUMBERS: list[tuple[Any, Any, str]] = [
    (12.5, 12.5, ""),
    (9999999999, 9999999999, ""),
    (10**10, None, "10000000000"),
    (-123456789012.75, None, "-123456789012.75"),
    (9999999999.99999999999, None, "10000000000.0"),
    (1.5e-11, 0.0, "1.5e-11"),
    (0.12345678901234, 0.1234567890, "0.12345678901234"),
    (2**53 + 1, None, "9007199254740993"),
    ("0.12345678901234567890", 0.1234567890, "0.12345678901234567890"),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A run whose tests are numbers, and recorded each once more."""
    folder = tmp_path / "run"
    folder.mkdir()
    with Journal(folder / "journal.jsonl", run=RUN) as journal:
        journal.write("run", argv=[], rootdir="/r", host="desk", versions={}, boards=["q1"])
        for number, (value, _, _) in enumerate(NUMBERS):
            name = f"t::test_{number}"
            journal.write("measurement", nodeid=name, target="q1", name="size", value=value, units="B", result="pass")
            journal.write(
                "outcome", board="q1", nodeid=name, suite="t", case=f"test_{number}", when="call", outcome="passed",
                seconds=1, target="q1", properties=[["measurement", value], ["units", "B"]],
            )  # fmt: skip
        journal.write("end", status=0, seconds=9.0)
    write_bundle(folder / "bundle.json", build_bundle(read(folder), version="1.5", folder=folder))
    return Results(RUN, folder, folder / "bundle.json")


def cases(data: bytes) -> dict[str, dict[str, Any]]:
    runs = json.loads(data)["test_runs"]
    return {one["test_case_id"]: one for run in runs for one in run["test_results"]}


def test_the_bundle_has_them_all(results: Results) -> None:
    found = cases(results.bundle.read_bytes())
    for number, (value, _, _) in enumerate(NUMBERS):
        for one in (found[f"test_{number}"], found[f"test_{number}.size"]):
            assert (one["measurement"], one["units"]) == (round(float(value), 10), "B")
    assert found["test_7"]["attributes"]["measurement"] == "9007199254740993"
    assert "measurement" not in found["test_0"]["attributes"]


def test_a_dashboard_gets_what_it_has_room_for(results: Results, tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="numeric field overflow"):  # or all of the bundle is lost
        Database().load(results.bundle.read_text())
    options = DashboardSink.Options(url="http://dash.example/RPC2/", stream="/anonymous/lab/")
    DashboardSink("dash", options, FoundSecrets({}, keyring=False)).pack(results, tmp_path)
    data = (tmp_path / "bundle.json").read_bytes()
    Database().load(data.decode())
    found = cases(data)
    for number, (_, fitting, exact) in enumerate(NUMBERS):
        for one in (found[f"test_{number}"], found[f"test_{number}.size"]):
            assert one.get("measurement") == fitting
            assert one["attributes"].get("measurement", "") == exact
            assert one.get("units", one["attributes"].get("units")) == "B"


def test_a_bundle_that_fits_goes_as_it_is(tmp_path: Path) -> None:
    document = {"format": "Dashboard Bundle Format 1.5", "test_runs": [{"test_results": [{"measurement": 1.25}, {}]}]}
    before = json.dumps(document)
    assert not fit_numbers(document)
    assert json.dumps(document) == before

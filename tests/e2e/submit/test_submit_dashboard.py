"""Whole runs to a dashboard: through the spool, past a server that is down, and from senders that are killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.dashboardserver import DashboardServer, dashboard_server
from support.face import Face
from support.faultserver import fault_proxy
from support.finishedrun import finished_run
from support.soak import SOAK
from support.submitting import Submitter

pytestmark = pytest.mark.e2e

STREAM = "/private/personal/lab/"


def arrived(server: DashboardServer, folder: Path) -> None:
    """The run's bundle is there, byte for byte, imported once."""
    (bundle,) = server.bundles.values()
    content = (folder / "bundle.json").read_bytes()
    assert bundle.content.encode("ascii") == content
    assert bundle.imported
    results = [result for run in json.loads(content)["test_runs"] for result in run["test_results"]]
    assert sorted(row.case for row in server.database.results) == sorted(one["test_case_id"] for one in results)


def test_a_run(face: Face, tmp_path: Path) -> None:
    with dashboard_server() as server:
        token = server.users["lab"]
        url = f"dashboard+{server.url('lab', token)}?stream={STREAM}"
        spool = tmp_path / "spool"
        result = face.run("--board=localhost", "--command=true", "--submit", url, "--lava-spool", spool, passed=1)
        arrived(server, face.latest)
        (bundle,) = server.bundles.items()
        assert (bundle[1].user, bundle[1].stream) == ("lab", STREAM)
        assert bundle[1].filename == f"{face.latest.resolve().name}.json"
        result.stdout.fnmatch_lines([f"sent *http://127.0.0.1:{server.port}/dashboard/permalink/bundle/{bundle[0]}/"])
        written = [path for top in (face.path, spool) for path in top.rglob("*") if path.is_file()]
        assert len(written) > 10
        assert [path for path in written if token.encode() in path.read_bytes()] == []


def test_a_server_that_is_down_and_then_says_no(face: Face) -> None:
    with dashboard_server() as server, fault_proxy(("127.0.0.1", server.port), *["502"] * 50) as proxy:
        face.path.joinpath("pytest.ini").write_text("[pytest]\n")
        settings = f'[sinks.lab]\nkind = "dashboard"\nurl = "{proxy.url("/RPC2/")}"\nstream = "/anonymous/new/"\n'
        face.path.joinpath("pytest-lava.toml").write_text(settings)
        desk = Submitter(face.path)
        options = ("--board=localhost", "--command=true", "--submit=lab", "--lava-spool", desk.spool)
        result = face.run(*options, "--submit-wait=1", passed=1)
        result.stdout.fnmatch_lines(["waiting *502 Bad Gateway*"])
        proxy.heal()
        status, said = desk.run("submit", "--all", "--wait", "20")
        assert (status, "has no stream /anonymous/new/" in said) == (1, True), said
        server.make_stream("", "/anonymous/new/", "")
        assert desk.run("spool", "retry", "--all")[0] == 0
        status, said = desk.run("submit", "--all", "--wait", "20")
        assert status == 0, said
        arrived(server, face.latest)


def test_killed_at_each_step(tmp_path: Path) -> None:
    stride, survived = (1 if SOAK else 41), 0
    for step in range(1, 2000, stride):
        folder = tmp_path / str(step)
        desk = Submitter(folder)
        results = finished_run(folder / "run", tests=2, run=f"{step:032x}")
        with dashboard_server() as server:
            words = ["submit", "run", "--to", f"dashboard+{server.url()}?stream=/anonymous/lab/", "--wait", "20"]
            status, said = desk.run(*words, step=step)
            assert status in (0, -9), said
            survived += status == 0
            if status == -9:
                status, said = desk.run(*words)
                assert status == 0, said
            arrived(server, results.folder)
        if survived:
            break
    print(f"killed before each {stride}. of {step} steps")
    assert survived
    assert step > 50

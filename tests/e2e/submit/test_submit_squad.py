"""Whole runs to SQUAD and KCIDB, as a user starts them; one of them to a real SQUAD 1.98."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

import pytest
from lava_desk import Desk, Session, until
from support.faultserver import fault_proxy
from support.kcidbserver import kcidb_server
from support.squadreal import real_squad
from support.squads import SquadPlace, Stored
from support.squadserver import squad_server

from pytest_lava.results.journal import read
from pytest_lava.results.record import collect
from pytest_lava.sinks.squad_testruns import Form, per_target

pytestmark = pytest.mark.e2e

LONG = """
    import time
    def test_quick(shell): assert shell.run("true").returncode == 0
    def test_asleep(shell):
        open("asleep", "w").close()
        time.sleep(60)
"""


def slow(count: int) -> str:
    """So many tests of 0.4 s, one of which fails."""
    return f"""
        import pytest
        @pytest.mark.parametrize("number", range({count}))
        def test_slow(shell, number):
            assert shell.run(f"sleep 0.4; test {{number}} != 3").returncode == 0
    """


def settings(desk: Desk, **urls: str) -> None:
    """A table for each sink, named after its kind."""
    more = {"kcidb": 'origin = "lab"'}
    tables = [f'[sinks.{kind}]\nkind = "{kind}"\nurl = "{url}"\n{more.get(kind, "")}' for kind, url in urls.items()]
    desk.write("pytest-lava.toml", "\n".join(tables))


def run_of(session: Session) -> str:
    return collect(read(session.folder)).run


def check(place: SquadPlace, session: Session) -> Stored:
    """The server has the run's one testrun, and in it what the journal says."""
    [ours] = per_target(collect(read(session.folder)), Form("{kernel}", "{device_type}"), session.folder)
    [stored] = place.testruns(run_of(session))
    assert stored.complete
    assert stored.tests == tuple(sorted((name, test["result"]) for name, test in ours.tests.items()))
    assert stored.metadata == {**ours.metadata, "job_id": ours.job_id}
    assert len(stored.metrics) == len(ours.metrics)
    return stored


def test_a_run_to_a_real_squad(desk: Desk, tmp_path: Path) -> None:
    """Shown while it goes on, and then as a whole; a second run of the same kernel is in the same build."""
    server = tmp_path / "server"
    server.mkdir()
    desk.write("test_it.py", slow(8))
    with real_squad(server) as place:
        settings(desk, squad=f"{place.url}/lab/board")
        desk.env["PYTEST_LAVA_TOKEN_SQUAD"] = place.token
        session = desk.start("--board=localhost", "test_it.py", "--submit=squad", "--submit-live", "--submit-wait=60s")
        live = until(lambda: place.every("testruns/", job_status="Running"), 30, "testrun of a run that goes on")
        assert session.wait() == 1, session.output
        stored = check(place, session)
        assert stored.id != live[0]["id"]
        assert len(stored.tests) == 9
        assert place.attachment(stored.id, "console.log") == (session.folder / "console.log").read_bytes()
        url = f"{place.url}/lab/board/build/{stored.build}/"
        assert f"sent     squad: {url}" in session.output
        desk.write("test_it.py", "def test_quick(shell): pass")
        assert desk.run("--board=localhost", "test_it.py", "--submit=squad", "--submit-wait=60s", run="second")[0] == 0
        builds = place.every("builds/")
        assert [build["version"] for build in builds] == [stored.build]
        assert place.read(f"builds/{builds[0]['id']}/status/")["tests_total"] == 11


def test_live_on_both(desk: Desk) -> None:
    """With two workers, whose controller shows what both have done; each has booted its own board."""
    desk.write("test_it.py", slow(24))
    with squad_server() as (server, place), kcidb_server() as kcidb:
        server.break_next(1)  # the first part that is shown stays half
        settings(desk, squad=f"{place.url}/lab/board", kcidb=kcidb.url)
        desk.env |= {"PYTEST_LAVA_TOKEN_SQUAD": place.token, "PYTEST_LAVA_TOKEN_KCIDB": kcidb.token}
        words = ["-n2", "--submit=squad", "--submit=kcidb", "--submit-live"]
        session = desk.start("--board=localhost", "test_it.py", *words)
        until(lambda: _running(place), 30, "testrun of a run that goes on")
        until(lambda: kcidb.submissions, 30, "submission of a run that goes on")
        assert session.process.poll() is None
        kcidb.looks = 0
        assert session.wait() == 1, session.output
        kcidb.drain()
        stored = check(place, session)
        assert stored.attachments == ("console-2.log", "console.log")
        assert len(kcidb.submissions) > 1
        assert sorted(one["status"] for one in kcidb.objects["tests"].values()) == ["FAIL", *["PASS"] * 25]
        assert kcidb.changed == []


def _running(place: SquadPlace) -> bool:
    return any(row["job_status"] == "Running" and row["data_processed"] for row in place.every("testruns/"))


def test_what_a_killed_run_showed_is_replaced(desk: Desk) -> None:
    desk.write("test_it.py", LONG)
    with squad_server() as (_, place):
        settings(desk, squad=f"{place.url}/lab/board")
        desk.env["PYTEST_LAVA_TOKEN_SQUAD"] = place.token
        session = desk.start("--board=localhost", "test_it.py", "--submit=squad", "--submit-live")
        until(lambda: _running(place), 30, "testrun of a run that goes on")
        session.reach("asleep")
        session.signal(signal.SIGKILL)
        session.process.wait(10)
        [shown] = place.testruns(run_of(session))
        assert [name for name, _ in shown.tests] == ["lava/boot", "test_it.py/test_quick"]
        done = desk.cli("submit", "run", "--to", "squad")
        assert done.returncode == 0, done.stdout + done.stderr
        stored = check(place, session)
        assert (stored.metadata["job_status"], len(stored.tests)) == ("Incomplete", 3)


def test_a_server_in_trouble_neither_delays_nor_fails_a_run(desk: Desk) -> None:
    """One that takes connections and says nothing, and one that is never well."""
    desk.write("test_it.py", slow(8))
    took = {}
    with (
        socket.create_server(("127.0.0.1", 0), backlog=64) as silent,
        squad_server() as (server, place),
        fault_proxy(("127.0.0.1", server.server_port), *["500"] * 40) as proxy,
    ):
        desk.env["PYTEST_LAVA_TOKEN_SQUAD"] = place.token
        urls = {"silent": f"http://127.0.0.1:{silent.getsockname()[1]}/lab/board", "ill": proxy.url("/lab/board")}
        for name, url in urls.items():
            settings(desk, squad=url)
            begun = time.monotonic()
            status, session = desk.run(
                    "--board=localhost", "test_it.py", "--submit=squad", "--submit-live", "--submit-wait=0s", run=name
                )  # fmt: skip
            took[name] = time.monotonic() - begun
            assert status == 1, session.output
            assert "7 passed" in session.output
    assert re.search(r"^live +squad: failed \d+ of \d+ times, .*answered 500", session.output, re.MULTILINE)
    assert abs(took["silent"] - took["ill"]) < 5  # a request may last a minute


def test_live_needs_somebody_to_show_it_to(desk: Desk) -> None:
    desk.write("test_it.py", "def test_it(shell): pass")
    status, session = desk.run("--board=localhost", "test_it.py", "--submit-live", "--submit=./folder")
    assert status == 4
    assert "--submit-live needs a sink that can show results early: --submit to SQUAD or KCIDB" in session.output
    assert not (desk.folder / "run").exists()

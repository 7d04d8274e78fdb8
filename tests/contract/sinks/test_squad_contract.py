"""The sink against SQUAD: the real 1.98 and ours, which the other tests use, by the same tests."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from support.sending import send_until_done
from support.soak import SOAK
from support.squadreal import real_squad
from support.squads import SquadPlace, Stored
from support.squadserver import squad_server
from support.widerun import TARGETS, wide_run

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.results.journal import read
from pytest_lava.results.record import collect
from pytest_lava.sinks.api import Parcel, Results, SinkBusy
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.squad import SquadSink
from pytest_lava.sinks.squad_testruns import Form, TestRun, per_target


@pytest.fixture(params=["ours", "real"], scope="module")
def squad(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SquadPlace]:
    if request.param == "ours":
        with squad_server() as (_, place):
            yield place
    else:
        with real_squad(tmp_path_factory.mktemp("squad")) as place:
            yield place


def sink_for(squad: SquadPlace, **options: object) -> SquadSink:
    given = {"url": f"{squad.url}/{squad.group}/{squad.project}", **options}
    return SquadSink("lab", SquadSink.Options.model_validate(given), secrets_of(squad.token))


def secrets_of(token: str) -> FoundSecrets:
    return FoundSecrets({"PYTEST_LAVA_TOKEN_LAB": token} if token else {}, home=Path("/nonexistent"), keyring=False)


def packed(sink: SquadSink, results: Results, folder: Path) -> Path:
    folder.mkdir()
    sink.pack(results, folder)
    return folder


def wanted(results: Results, most: int = 5000) -> list[TestRun]:
    form = Form("{kernel}", "{device_type}", most=most)
    return per_target(collect(read(results.folder)), form, results.folder)


def assert_equal(stored: list[Stored], results: Results, most: int = 5000) -> None:
    """What the server has is what was measured, each once."""
    expected = wanted(results, most)
    assert [(one.job_id, one.build, one.environment) for one in stored] == [
        (one.job_id, one.build, one.environment) for one in expected
    ]
    for there, ours in zip(stored, expected, strict=True):
        assert there.complete
        assert there.tests == tuple(sorted((name, test["result"]) for name, test in ours.tests.items()))
        assert there.metrics == tuple(
            sorted((name, _mean(one["value"]), one.get("unit", "")) for name, one in ours.metrics.items())
        )
        assert there.metadata == {**ours.metadata, "job_id": ours.job_id}


def _mean(value: object) -> float:
    values = value if isinstance(value, list) else [value]
    return sum(map(float, values)) / len(values)


# -- what the server does: the facts that the sink is built on -------------------------------------------------------


def submit(squad: SquadPlace, path: str = "build/env", **fields: object) -> tuple[int, str]:
    files = {name: (name, data if isinstance(data, bytes) else json.dumps(data)) for name, data in fields.items()}
    answer = squad.ask("POST", f"submit/{squad.group}/{squad.project}/{path}", files=files)
    return answer.status_code, answer.text


def test_a_job_id_is_taken_once_in_a_build(squad: SquadPlace) -> None:
    job = str(uuid.uuid4())
    assert submit(squad, metadata={"job_id": job}, tests={"a": "pass"})[0] == 201
    assert submit(squad, metadata={"job_id": job}, tests={"a": "pass"}) == (
        400, f"There is already a test run with job_id {job}"
    )  # fmt: skip
    assert submit(squad, "other/env", metadata={"job_id": job}, tests={"a": "pass"})[0] == 201


def test_what_breaks_leaves_half_a_testrun(squad: SquadPlace) -> None:
    job = str(uuid.uuid4())
    assert submit(squad, metadata={"job_id": job}, tests={"a": 5})[0] == 500
    [row] = squad.testruns(job)
    assert (row.complete, row.tests) == (False, ())
    assert submit(squad, metadata={"job_id": job}, tests={"a": "pass"})[0] == 400
    assert squad.ask("DELETE", f"testruns/{row.id}/").status_code == 204
    assert squad.ask("DELETE", f"testruns/{row.id}/").status_code == 404
    assert submit(squad, metadata={"job_id": job}, tests={"a": "pass"})[0] == 201


def test_long_names_are_dropped_and_urls_are_cut(squad: SquadPlace) -> None:
    job = str(uuid.uuid4())
    tests = {"s/" + "x" * 256: "pass", "s/" + "x" * 257: "pass", "s/t[a/b]": "PASS", "s/u": "xfail", "v": None}
    assert submit(squad, "cut/env[0]", metadata={"job_id": job}, tests=tests)[0] == 201
    [row] = squad.testruns(job)
    assert row.environment == "env"
    assert row.tests == (("s/t[a/b]", "pass"), ("s/u", "skip"), ("s/" + "x" * 256, "pass"), ("v", "skip"))


def test_refusals(squad: SquadPlace) -> None:
    assert submit(squad, tests=b"{")[0] == 400
    assert submit(squad, tests=[])[0] == 400
    assert submit(squad, metrics={"a": "b"})[0] == 400
    assert submit(squad, metadata={"job_id": "a/b"})[0] == 400
    assert submit(squad, log=b"\xff")[0] == 500
    stranger = SquadPlace(squad.url, "nobody")
    assert submit(stranger, tests={})[0] == 403
    assert stranger.ask("GET", "testruns/").status_code == 403
    assert submit(SquadPlace(squad.url, squad.token, project="nothing"), tests={})[0] == 404


# -- what the sink makes of it ---------------------------------------------------------------------------------------


def test_a_run_arrives(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run")
    sink = sink_for(squad)
    parcel = packed(sink, results, tmp_path / "parcel")
    receipt = send_until_done(sink, parcel, results.uuid, tries=1)
    stored = squad.testruns(results.uuid)
    assert len(stored) == len(TARGETS)
    assert_equal(stored, results)
    assert receipt.id == ", ".join(str(one.id) for one in stored)
    assert stored[0].log.startswith((results.folder / "console.log").read_bytes()[:3].decode("utf-8", "replace"))
    assert squad.attachment(stored[0].id, "console.log") == (results.folder / "console.log").read_bytes()
    assert stored[0].attachments == ("attach_0.trace.bin", "attach_1.trace.bin", "attach_2.trace.bin", "console.log")
    send_until_done(sink, parcel, results.uuid, tries=1)
    assert squad.testruns(results.uuid) == stored


def test_names_are_shortened_and_none_is_lost(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    sink = sink_for(squad)
    send_until_done(sink, packed(sink, results, tmp_path / "parcel"), results.uuid, tries=1)
    [stored] = squad.testruns(results.uuid)
    assert len(stored.tests) == len({name for name, _ in stored.tests}) == 19
    names = [name for name, _ in stored.tests]
    assert {"smoke/same", "smoke/same-2", "tests/test_mm.py/TestMm/test_huge[2 MB/4 KB]"} <= set(names)
    assert all(len(part) <= 256 for name in names for part in (name.rpartition("/")[0], name.rpartition("/")[2]))
    assert ("smoke/speed.heat_cpu", "fail") in stored.tests
    assert ("smoke/speed.heat_cpu", 6.0, "°C") in stored.metrics
    logs = {one["name"]: one["log"] for one in squad.every(f"testruns/{stored.id}/tests/")}
    cut = [name for name in names if "a-name-without-end" in name]
    assert len(cut) == 3
    assert all(logs[name].startswith("full name: ") for name in cut)


def test_more_files_than_django_takes(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", files=150, targets=["q1-next"])
    sink = sink_for(squad)
    send_until_done(sink, packed(sink, results, tmp_path / "parcel"), results.uuid, tries=1)
    [stored] = squad.testruns(results.uuid)
    assert len(stored.attachments) == 90
    archive = zipfile.ZipFile(BytesIO(squad.attachment(stored.id, "more-attachments.zip")))
    assert len(archive.namelist()) == 151 - 89
    assert archive.read("attach_149.trace.bin") == (results.folder / "file149.bin").read_bytes()


def test_files_beyond_the_limit_are_named(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    sink = sink_for(squad, attachments=0.001)
    send_until_done(sink, packed(sink, results, tmp_path / "parcel"), results.uuid, tries=1)
    [stored] = squad.testruns(results.uuid)
    assert stored.attachments == ("attach_0.trace.bin", "attach_1.trace.bin", "attach_2.trace.bin")
    assert stored.metadata["attachments_left_out"] == "console.log (more than 1000 bytes in all)"


def test_half_a_testrun_is_healed(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    [ours] = wanted(results)
    half = {"metadata": {"job_id": ours.job_id}, "tests": {"a": 5}}
    assert submit(squad, f"{ours.build}/{ours.environment}", **half)[0] == 500
    patient = sink_for(squad)
    parcel = packed(patient, results, tmp_path / "parcel")
    with pytest.raises(SinkBusy, match="still at work"):  # for all we know another request is
        send_until_done(patient, parcel, results.uuid, tries=1)
    send_until_done(sink_for(squad, half_after=0), parcel, results.uuid, tries=3)
    stored = squad.testruns(results.uuid)
    assert_equal(stored, results)


def test_two_projects_of_one_server(squad: SquadPlace, tmp_path: Path) -> None:
    """The list of testruns is of the whole server: one project's is not taken for the other's."""
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    sink = sink_for(squad)
    parcel = packed(sink, results, tmp_path / "parcel")
    other = SquadPlace(squad.url, squad.token, project="other")
    for place in (squad, other):
        send_until_done(sink_for(place), parcel, results.uuid, tries=1)
        send_until_done(sink_for(place), parcel, results.uuid, tries=1)
    assert len(squad.testruns(results.uuid)) == 2


def test_several_servers_errors_are_told(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    parcel = packed(sink_for(squad), results, tmp_path / "parcel")
    for place, text in (
        (SquadPlace(squad.url, squad.token, "nobody"), "there is no project nobody/board on http://127.0.0.1"),
        (SquadPlace(squad.url, squad.token, project="nothing"), "there is no project lab/nothing on http://127.0.0.1"),
        (SquadPlace(squad.url, "x" * 40), "refuses the token for lab/board .*: set PYTEST_LAVA_TOKEN_LAB"),
        (SquadPlace(squad.url, ""), "wants a token: set PYTEST_LAVA_TOKEN_LAB"),
    ):
        with pytest.raises(ConfigurationError, match=text) as caught:
            send_until_done(sink_for(place), parcel, results.uuid, tries=1)
        assert "x" * 40 not in str(caught.value)
    assert squad.testruns(results.uuid) == []


# -- while the run goes on -------------------------------------------------------------------------------------------


def test_live_is_replaced_and_never_doubled(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    whole = (results.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    begun = tmp_path / "begun"
    begun.mkdir()
    sink, so_far = sink_for(squad), Results(results.uuid, begun, begun / "bundle.json")
    shown = []
    for number, lines in enumerate((whole[:8], whole[:-6])):
        (begun / "journal.jsonl").write_bytes(b"".join(lines))
        (tmp_path / f"live{number}").mkdir()
        sink.show(so_far, tmp_path / f"live{number}", Deadline.after(60), lambda: False)
        [row] = squad.testruns(results.uuid)
        assert (row.metadata["lava.live"], row.metadata["job_status"]) == (True, "Running")
        shown.append(len(row.tests))
    assert 0 < shown[0] < shown[1] < len(wanted(results)[0].tests)
    send_until_done(sink, packed(sink, results, tmp_path / "parcel"), results.uuid, tries=1)
    assert_equal(squad.testruns(results.uuid), results)
    (tmp_path / "late").mkdir()
    sink.show(so_far, tmp_path / "late", Deadline.after(60), lambda: True)
    assert_equal(squad.testruns(results.uuid), results)


def test_half_of_what_was_shown_live_is_not_waited_for(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    [ours] = wanted(results)
    half = {"metadata": {"job_id": ours.job_id, "lava.live": True}, "tests": {"a": 5}}
    assert submit(squad, f"{ours.build}/{ours.environment}", **half)[0] == 500
    sink = sink_for(squad)
    send_until_done(sink, packed(sink, results, tmp_path / "parcel"), results.uuid, tries=1)
    assert_equal(squad.testruns(results.uuid), results)


def test_live_leaves_a_complete_testrun_alone(squad: SquadPlace, tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run", targets=["q1-next"])
    sink = sink_for(squad)
    send_until_done(sink, packed(sink, results, tmp_path / "parcel"), results.uuid, tries=1)
    (tmp_path / "late").mkdir()
    sink.show(results, tmp_path / "late", Deadline.after(60), lambda: False)
    assert_equal(squad.testruns(results.uuid), results)


# -- large, and broken -----------------------------------------------------------------------------------------------


def test_many_tests(squad: SquadPlace, tmp_path: Path) -> None:
    """In several testruns. The real one takes a while for them, so there only the soak has all ten thousand."""
    number = 1000 if squad.server and not SOAK else 10_000
    results = wide_run(tmp_path / "run", targets=["q1-next"], tests=number)
    sink = sink_for(squad, most_tests=number // 2)
    begun = time.monotonic()
    parcel = packed(sink, results, tmp_path / "parcel")
    taken = time.monotonic() - begun
    send_until_done(sink, parcel, results.uuid, tries=1, limit=170)
    print(f"packed in {taken:.2f} s, sent in {time.monotonic() - begun - taken:.2f} s")
    stored = squad.testruns(results.uuid)
    assert [len(one.attachments) for one in stored] == [4, 0, 0]
    assert_equal(stored, results, most=number // 2)


def test_a_server_that_dies_in_the_middle(squad: SquadPlace, tmp_path: Path) -> None:
    """Of the real one a worker is killed once the testrun is stored, and its tests are not."""
    if not squad.server:
        return
    results = wide_run(tmp_path / "run", targets=["q1-next"], tests=1000)
    sink = sink_for(squad, half_after=0)
    parcel = packed(sink, results, tmp_path / "parcel")
    killed: list[int] = []
    killer = threading.Thread(target=lambda: killed.append(_kill_worker_when_stored(squad, results.uuid)))
    killer.start()
    with pytest.raises(SinkBusy):
        sink.send(Parcel(results.uuid, parcel), Deadline.after(60))
    killer.join(60)
    assert killed
    [half] = squad.testruns(results.uuid)
    assert not half.complete
    send_until_done(sink, parcel, results.uuid, tries=40, limit=60)
    assert_equal(squad.testruns(results.uuid), results)


def _kill_worker_when_stored(squad: SquadPlace, run: str) -> int:
    """It cannot be asked meanwhile, as it has one worker: its database tells."""
    process = Path("/proc") / str(squad.server)
    database = sqlite3.connect(f"file:{process / 'cwd' / 'db.sqlite3'}?mode=ro", uri=True)
    until = time.monotonic() + 50
    while time.monotonic() < until:
        if database.execute("select 1 from core_testrun where job_id like ?", (f"{run}%",)).fetchall():
            worker = int((process / "task" / str(squad.server) / "children").read_text().split()[0])
            os.kill(worker, signal.SIGKILL)
            return worker
        time.sleep(0.002)
    raise AssertionError("the testrun was not stored")

"""Runs to SQUAD through a network that breaks at random, a server that stores halves, and a sender that is killed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from support.faultserver import CHEAP, FAULTS, fault_proxy
from support.sending import kill_at, send_until_done
from support.soak import SOAK
from support.squads import SquadPlace
from support.squadserver import squad_server
from support.torture import seed
from support.widerun import TARGETS, wide_run

from pytest_lava.deadline import Deadline
from pytest_lava.errors import LavaError
from pytest_lava.results.journal import read
from pytest_lava.results.record import collect
from pytest_lava.sinks.api import Results
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.squad import SquadSink
from pytest_lava.sinks.squad_testruns import Form, per_target

SCHEDULES = 500 if SOAK else 10
SLOW = tuple(name for name in FAULTS if name not in (*CHEAP, "good"))

SEND = """
import sys
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import Parcel, SinkBusy
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.squad import SquadSink
url, token, parcel, limit, tries = sys.argv[1:]
options = SquadSink.Options(url=url, half_after=0)
sink = SquadSink("lab", options, FoundSecrets({"PYTEST_LAVA_TOKEN_LAB": token}, keyring=False))
print("ready", flush=True)
for left in reversed(range(int(tries))):  # as the spool does
    try:
        sink.send(Parcel("u", Path(parcel)), Deadline.after(float(limit)))
        break
    except SinkBusy:
        if not left:
            raise
"""


def sink(url: str, place: SquadPlace, home: Path) -> SquadSink:
    secrets = FoundSecrets({"PYTEST_LAVA_TOKEN_LAB": place.token}, home=home, keyring=False)
    return SquadSink("lab", SquadSink.Options(url=url, half_after=0), secrets)


def test_random_faults(tmp_path: Path) -> None:
    dice = random.Random(seed())
    met: set[str] = set()
    halves = killed = shown = 0
    with squad_server() as (server, place):
        for number in range(SCHEDULES):
            faults = dice.choices(CHEAP, k=dice.randrange(7))
            if dice.random() < (0.3 if SOAK else 0.1):
                faults.insert(dice.randrange(len(faults) + 1), dice.choice(SLOW))
            results, parcel = run_and_parcel(tmp_path, number, dice)
            half = dice.choice([0, 0, 1, 2])
            with fault_proxy(("127.0.0.1", server.server_port), *faults) as proxy:
                url = proxy.url("/lab/board")
                if number % 4 == 1:
                    shown += show(url, place, results, tmp_path / f"live-{number}")
                server.break_next(half)
                if number % (5 if SOAK else 10) == 0:
                    command = [sys.executable, "-c", SEND, url, place.token, str(parcel), "1", "1"]
                    killed += kill_at(command, proxy, at=dice.randrange(1, 5), after=dice.random() / 200)
                limit = 1.0 if any(fault in SLOW for fault in faults) else 60.0
                send_until_done(
                    sink(url, place, tmp_path), parcel, results.uuid, tries=6 * len(faults) + 12, limit=limit
                )
                met |= set(proxy.met)
            halves += half
            check(place, results, faults)
    print(f"{SCHEDULES} schedules, {len(met)} kinds of faults, {halves} halves, {killed} killed, {shown} shown live")
    assert len(met) > 6
    assert halves


def run_and_parcel(folder: Path, number: int, dice: random.Random) -> tuple[Results, Path]:
    targets = list(TARGETS)[: dice.randrange(1, 3)]
    results = wide_run(folder / f"run-{number}", tests=dice.randrange(9), targets=targets)
    parcel = folder / f"parcel-{number}"
    parcel.mkdir()
    options = SquadSink.Options(url="http://nowhere/lab/board")
    SquadSink("lab", options, FoundSecrets({}, keyring=False)).pack(results, parcel)
    return results, parcel


def show(url: str, place: SquadPlace, results: Results, folder: Path) -> bool:
    """What a run that still goes on shows, as far as the network lets it."""
    folder.mkdir()
    begun = folder / "run"
    begun.mkdir()
    lines = (results.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (begun / "journal.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    (folder / "parcel").mkdir()
    try:
        sink(url, place, folder).show(
            Results(results.uuid, begun, begun / "b"), folder / "parcel", Deadline.after(1), lambda: False
        )
    except LavaError:
        return False
    return True


def check(place: SquadPlace, results: Results, faults: list[str]) -> None:
    """Each testrun is there once, with all that was measured."""
    wanted = per_target(collect(read(results.folder)), Form("{kernel}", "{device_type}"), results.folder)
    stored = place.testruns(results.uuid)
    assert sorted(one.job_id for one in stored) == sorted(one.job_id for one in wanted), faults
    ours = {one.job_id: one for one in wanted}
    for one in stored:
        expected = ours[one.job_id]
        assert one.complete, faults
        assert one.tests == tuple(sorted((name, test["result"]) for name, test in expected.tests.items())), faults
        assert one.metadata == {**expected.metadata, "job_id": one.job_id}, faults
        assert len(one.metrics) == len(expected.metrics), faults
        for name, path in expected.files:
            assert place.attachment(one.id, name) == path.read_bytes(), faults


def test_every_fault_alone(tmp_path: Path) -> None:
    """At each request of a submission: the look, the submission itself, and the look after it."""
    dice = random.Random(1)
    with squad_server() as (server, place):
        for number, fault in enumerate(FAULTS):
            results, parcel = run_and_parcel(tmp_path, number, dice)
            plan = [fault, "good", fault] if fault in SLOW else [fault, "good", fault, fault, "good", fault]
            with fault_proxy(("127.0.0.1", server.server_port), *plan) as proxy:
                send_until_done(
                    sink(proxy.url("/lab/board"), place, tmp_path), parcel, results.uuid, tries=40,
                    limit=0.4 if fault in SLOW else 20,
                )  # fmt: skip
                assert proxy.met[0] == fault
            check(place, results, [fault])


def test_three_processes_at_once(tmp_path: Path) -> None:
    """The spool has a lock; without one (two spools, two machines) it must not matter either."""
    with squad_server() as (_, place):
        results, parcel = run_and_parcel(tmp_path, 0, random.Random(1))
        command = [sys.executable, "-c", SEND, f"{place.url}/lab/board", place.token, str(parcel), "60", "5"]
        children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
        assert [child.wait(60) for child in children] == [0, 0, 0]
        check(place, results, [])

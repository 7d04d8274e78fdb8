"""Bundles to a dashboard through a network that breaks at random, a server that dies, and a sender that is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from support.dashboardserver import DashboardServer, dashboard_server
from support.faultserver import CHEAP, FAULTS, FaultProxy, fault_proxy
from support.finishedrun import finished_run
from support.sending import send_until_done
from support.soak import SOAK
from support.torture import seed

from pytest_lava.sinks.dashboard import DashboardSink
from pytest_lava.sinks.secrets import FoundSecrets

SCHEDULES = 500 if SOAK else 20
SLOW = tuple(name for name in FAULTS if name not in (*CHEAP, "good"))
OLD: list[set[str]] = [set(), set(), {"put_ex"}, {"deserialize"}]

SEND = """
import sys
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import Parcel
from pytest_lava.sinks.dashboard import DashboardSink
from pytest_lava.sinks.secrets import FoundSecrets
options = DashboardSink.Options(url=sys.argv[1], stream="/anonymous/lab/")
sink = DashboardSink("dash", options, FoundSecrets({}, keyring=False))
print("ready", flush=True)
sink.send(Parcel("u", Path(sys.argv[2])), Deadline.after(float(sys.argv[3])))
"""


def test_random_faults(tmp_path: Path) -> None:
    dice = random.Random(seed())
    met: set[str] = set()
    killed = 0
    with dashboard_server() as server:
        for number in range(SCHEDULES):
            faults = dice.choices(CHEAP, k=dice.randrange(7))
            if dice.random() < (0.3 if SOAK else 0.1):
                faults.insert(dice.randrange(len(faults) + 1), dice.choice(SLOW))
            server.lacks = dice.choice(OLD)
            server.dies_in_import = int(dice.random() < 0.3 and not server.lacks)
            server.locked = int(dice.random() < 0.2)
            parcel, run = tmp_path / f"parcel-{number}", f"{dice.getrandbits(128):032x}"
            parcel.mkdir()
            results = finished_run(tmp_path / f"run-{number}", tests=dice.randrange(1, 9), run=run)
            sink(server.url(), tmp_path).pack(results, parcel)
            with fault_proxy(("127.0.0.1", server.port), *faults) as proxy:
                url = proxy.url("/RPC2/")
                if number % 5 == 0:
                    killed += kill_a_sender(proxy, url, parcel, at=dice.randrange(1, 4), after=dice.random() / 50)
                tries = 4 * len(faults) + 4
                receipt = send_until_done(
                    sink(url, tmp_path), parcel, run, tries=tries, limit=1.0 if _slow(faults) else 60
                )
                met |= set(proxy.met)
            content = server.bundles[receipt.id].content.encode("ascii")
            assert content == (parcel / "bundle.json").read_bytes() == results.bundle.read_bytes(), faults
        print(f"{SCHEDULES} schedules, {len(met)} kinds of faults, {killed} senders killed")
        assert len(met) > 6
        assert killed
        check(server, [tmp_path / f"run-{number}" for number in range(SCHEDULES)])


def sink(url: str, home: Path) -> DashboardSink:
    options = DashboardSink.Options(url=url, stream="/anonymous/lab/")
    return DashboardSink("dash", options, FoundSecrets({}, home=home, keyring=False))


def _slow(faults: list[str]) -> bool:
    return any(fault in SLOW for fault in faults)


def kill_a_sender(proxy: FaultProxy, url: str, parcel: Path, *, at: int, after: float) -> bool:
    """Send in another process, and kill it that long after its connection number ``at``, if it comes so far."""
    with subprocess.Popen(
        [sys.executable, "-c", SEND, url, parcel, "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout
        child.stdout.readline()
        tick = threading.Event()
        while len(proxy.met) < at and child.poll() is None:
            tick.wait(0.001)
        tick.wait(after)
        child.kill()
        return child.wait(30) == -signal.SIGKILL


def check(server: DashboardServer, folders: list[Path]) -> None:
    """Each bundle is stored and imported once, and each result is there once."""
    assert len(server.bundles) == len(folders)
    assert all(one.imported for one in server.bundles.values())
    wanted = [
        (run["analyzer_assigned_uuid"], result["test_case_id"], result["result"])
        for folder in folders
        for run in json.loads((folder / "bundle.json").read_bytes())["test_runs"]
        for result in run["test_results"]
    ]
    found = [(row.run, row.case, row.result) for row in server.database.results]
    assert sorted(found) == sorted(wanted)


def test_every_fault_alone(tmp_path: Path) -> None:
    with dashboard_server() as server:
        for number, fault in enumerate(FAULTS):
            parcel = tmp_path / f"parcel-{number}"
            parcel.mkdir()
            sink(server.url(), tmp_path).pack(finished_run(tmp_path / f"run-{number}"), parcel)
            with fault_proxy(("127.0.0.1", server.port), fault, fault) as proxy:
                send_until_done(
                    sink(proxy.url("/RPC2/"), tmp_path), parcel, "u", tries=12, limit=0.5 if fault in SLOW else 20
                )
                assert proxy.met[:2] == [fault, fault]
        check(server, [tmp_path / f"run-{number}" for number in range(len(FAULTS))])


def test_two_processes_at_once(tmp_path: Path) -> None:
    """The spool has a lock; without one (two spools, two machines) it must not matter either."""
    parcel = tmp_path / "parcel"
    parcel.mkdir()
    with dashboard_server() as server:
        sink(server.url(), tmp_path).pack(finished_run(tmp_path / "run"), parcel)
        command = [sys.executable, "-c", SEND, server.url(), str(parcel), "60"]
        children = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ) for _ in range(3)]
        assert [child.wait(60) for child in children] == [0, 0, 0]
        check(server, [tmp_path / "run"])

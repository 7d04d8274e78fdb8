"""Runs to KCIDB as kcidb-restd takes them: checked by kcidb-io, through faults at random, and while the run goes on."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
from kcidb_io.schema import V5_3
from support.faultserver import CHEAP, FAULTS, fault_proxy
from support.kcidbserver import KcidbServer, kcidb_server, make_token
from support.sending import kill_at, send_until_done
from support.soak import SOAK
from support.torture import seed
from support.widerun import wide_run

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.sinks.api import Parcel, Results, SinkBusy
from pytest_lava.sinks.kcidb import KcidbSink
from pytest_lava.sinks.secrets import FoundSecrets

SCHEDULES = 500 if SOAK else 10
SLOW = tuple(name for name in FAULTS if name not in (*CHEAP, "good"))

SEND = """
import sys
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import Parcel
from pytest_lava.sinks.kcidb import KcidbSink
from pytest_lava.sinks.secrets import FoundSecrets
url, token, parcel, limit = sys.argv[1:]
secrets = FoundSecrets({"PYTEST_LAVA_TOKEN_KCI": token}, keyring=False)
sink = KcidbSink("kci", KcidbSink.Options(url=url, origin="lab"), secrets)
print("ready", flush=True)
sink.send(Parcel("u", Path(parcel)), Deadline.after(float(limit)))
"""


def sink(url: str, token: str) -> KcidbSink:
    secrets = FoundSecrets({"PYTEST_LAVA_TOKEN_KCI": token}, home=Path("/nonexistent"), keyring=False)
    return KcidbSink("kci", KcidbSink.Options(url=url, origin="lab"), secrets)


def pack(results: Results, folder: Path) -> Path:
    folder.mkdir()
    sink("http://nowhere/", "").pack(results, folder)
    V5_3.validate(json.loads((folder / "submission.json").read_bytes()))
    return folder


def check(server: KcidbServer, parcel: Path) -> int:
    """All that was packed is there; the number of tests."""
    packed = json.loads((parcel / "submission.json").read_bytes())
    for kind in ("checkouts", "builds", "tests"):
        for one in packed[kind]:
            assert server.objects[kind][one["id"]] == one
    assert len({one["id"] for one in packed["tests"]}) == len(packed["tests"])
    return len(packed["tests"])


def test_random_faults(tmp_path: Path) -> None:
    dice = random.Random(seed())
    met: set[str] = set()
    killed = tests = 0
    with kcidb_server() as server:
        for number in range(SCHEDULES):
            faults = dice.choices(CHEAP, k=dice.randrange(7))
            if dice.random() < (0.3 if SOAK else 0.1):
                faults.insert(dice.randrange(len(faults) + 1), dice.choice(SLOW))
            server.looks = dice.randrange(2)
            results = wide_run(tmp_path / f"run-{number}", tests=dice.randrange(9))
            parcel = pack(results, tmp_path / f"parcel-{number}")
            with fault_proxy(("127.0.0.1", server.server_port), *faults) as proxy:
                if number % (5 if SOAK else 10) == 0:
                    command = [sys.executable, "-c", SEND, proxy.url(), server.token, str(parcel), "1"]
                    killed += kill_at(command, proxy, at=dice.randrange(1, 4), after=dice.random() / 50)
                limit = 1.5 if any(fault in SLOW for fault in faults) else 60.0
                tries = 6 * len(faults) + 12
                send_until_done(sink(proxy.url(), server.token), parcel, results.uuid, tries=tries, limit=limit)
                met |= set(proxy.met)
            tests += check(server, parcel)
        server.drain()
        print(f"{SCHEDULES} schedules, {len(met)} kinds of faults, {killed} killed, {tests} tests")
        assert server.changed == []
        assert len(server.objects["tests"]) == tests
        assert {one.status for one in server.submissions.values()} == {"processed"}
        assert len(met) > 6


def test_every_fault_alone(tmp_path: Path) -> None:
    with kcidb_server() as server:
        for number, fault in enumerate(FAULTS):
            parcel = pack(wide_run(tmp_path / f"run-{number}"), tmp_path / f"parcel-{number}")
            with fault_proxy(("127.0.0.1", server.server_port), fault, "good", fault) as proxy:
                send_until_done(
                    sink(proxy.url(), server.token), parcel, "u", tries=40, limit=1.0 if fault in SLOW else 20
                )
                assert proxy.met[0] == fault
            check(server, parcel)


def test_the_queue_is_waited_for_and_asked_only_once_for_each_parcel(tmp_path: Path) -> None:
    with kcidb_server() as server:
        server.looks = 1000
        parcel = pack(wide_run(tmp_path / "run"), tmp_path / "parcel")
        known: dict[str, str] = {}
        for _ in range(2):
            with pytest.raises(SinkBusy, match=r"KCIDB has it as .* not worked it off yet"):
                sink(server.url, server.token).send(Parcel("u", parcel, dict(known), known.update), Deadline.after(0.8))
        assert list(known.values()) == list(server.submissions)
        server.forget()  # then there is nothing to wait for
        server.looks = 0
        sink(server.url, server.token).send(Parcel("u", parcel, dict(known), known.update), Deadline.after(20))
        check(server, parcel)


def test_tokens(tmp_path: Path) -> None:
    with kcidb_server() as server:
        parcel = pack(wide_run(tmp_path / "run"), tmp_path / "parcel")
        with pytest.raises(ConfigurationError, match="KCIDB wants a token: set PYTEST_LAVA_TOKEN_KCI"):
            send_until_done(sink(server.url, ""), parcel, "u", tries=1)
        forged = make_token({"origin": "lab", "exp": 1 << 40}, b"another key")
        with pytest.raises(ConfigurationError, match="KCIDB refuses the token") as caught:
            send_until_done(sink(server.url, forged), parcel, "u", tries=1)
        assert forged not in str(caught.value)
        assert not server.submissions


def test_live_and_the_whole_are_the_same_objects(tmp_path: Path) -> None:
    results = wide_run(tmp_path / "run")
    whole = (results.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    begun = tmp_path / "begun"
    begun.mkdir()
    with kcidb_server() as server:
        live, counts = sink(server.url, server.token), []
        for number, end in enumerate((1, 8, 20, 20, len(whole))):
            (begun / "journal.jsonl").write_bytes(b"".join(whole[:end]))
            (tmp_path / f"live-{number}").mkdir()
            so_far = Results(results.uuid, begun, begun / "bundle.json")
            counts.append(live.show(so_far, tmp_path / f"live-{number}", Deadline.after(20), lambda: False))
            server.drain()
        assert counts[0] == counts[3] == 0
        assert min(counts[1], counts[2], counts[4]) > 0
        parcel = pack(results, tmp_path / "parcel")
        send_until_done(live, parcel, results.uuid, tries=1)
        assert check(server, parcel) == len(server.objects["tests"])
        assert server.changed == []

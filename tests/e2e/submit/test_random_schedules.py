"""Results through a network that breaks at random, and senders killed at any step: none lost, none doubled."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.faultserver import CHEAP, FAULTS, fault_proxy
from support.finishedrun import finished_run
from support.receiver import Receiver, receiver
from support.soak import SOAK
from support.submitting import Submitter
from support.torture import seed

from pytest_lava.sinks.api import Results

pytestmark = pytest.mark.e2e

SCHEDULES = 500 if SOAK else 20
SLOW = tuple(name for name in FAULTS if name not in (*CHEAP, "good"))
ROUNDS = 30


def test_random_schedules(tmp_path: Path) -> None:
    """A server behind faults, a folder for whole runs and one for JUnit; the sender is killed up to three times."""
    begin = seed()
    with ThreadPoolExecutor(5) as pool:  # they wait most of the time
        done = list(pool.map(lambda number: _schedule(tmp_path / str(number), begin + number), range(SCHEDULES)))
    met, killed = set().union(*(faults for faults, _ in done)), sum(count for _, count in done)
    print(f"{SCHEDULES} schedules, {killed} senders killed, faults met: {', '.join(sorted(met))}")
    assert len(met) > (14 if SOAK else 6)
    assert killed > SCHEDULES / 4


def _schedule(folder: Path, number: int) -> tuple[set[str], int]:
    """The faults that were met, and how often the sender was killed."""
    dice, killed = random.Random(number), 0
    desk = Submitter(folder, {"PYTEST_LAVA_TOKEN_HTTP_127_0_0_1": "shared"})
    results = finished_run(folder / "run", tests=dice.randrange(1, 9), run=_uuid(dice))
    faults = dice.choices(CHEAP, k=dice.randrange(7 if SOAK else 4))
    if dice.random() < (0.3 if SOAK else 0.1):
        faults.insert(dice.randrange(len(faults) + 1), dice.choice(SLOW))
    with receiver(folder / "server", "shared") as server, fault_proxy(server.address, *faults) as proxy:
        words = ["submit", "run", "--to", proxy.url("/bundles"), "--to", "./all", "--to", "junit:xml", "--wait"]
        for _ in range(dice.randrange(4 if SOAK else 3)):
            two = dice.random() < 0.5
            other = desk.start("submit", "--all", "--wait", "1", step=dice.randrange(1, 120), name="2") if two else None
            killed += desk.run(*words, "1", step=dice.randrange(1, 260))[0] == -9
            if other:
                other.join(60)
        _until_sent(desk, words)
        _check(desk, server, results)
        return set(proxy.met), killed


def test_killed_at_each_step(tmp_path: Path) -> None:
    """Every step that the sender takes is one before which it dies once; the next one brings it to its end."""
    stride, survived = (1 if SOAK else 37), 0
    for step in range(1, 2000, stride):
        folder = tmp_path / str(step)
        desk = Submitter(folder)
        results = finished_run(folder / "run", tests=2, run=f"{step:032x}")
        with receiver(folder / "server") as server:
            words = ["submit", "run", "--to", server.url(), "--to", "./all", "--to", "junit:xml", "--wait"]
            status, said = desk.run(*words, "5", step=step)
            assert status in (0, -9), said
            survived += status == 0
            if status == -9:
                _until_sent(desk, words)
            _check(desk, server, results)
        if survived:
            break
    print(f"killed before each {stride}. of {step} steps")
    assert survived, "there are more steps than this test has"
    assert step > 100


def test_the_real_program_is_killed(tmp_path: Path) -> None:
    """As above with the installed command, killed from outside while its server does not answer."""
    desk = Submitter(tmp_path)
    results = finished_run(tmp_path / "run", tests=3)
    words = ["submit", "run", "--to", "URL", "--to", "./all", "--to", "junit:xml", "--lava-spool", str(desk.spool)]
    with receiver(tmp_path / "server") as server, fault_proxy(server.address, "hang after") as proxy:
        words[3] = proxy.url()
        command = [str(Path(sys.executable).parent / "pytest-lava"), *words]
        process = subprocess.Popen(command, cwd=tmp_path)
        while not server.stored:  # it has arrived, and the sender does not know
            assert process.poll() is None
        process.kill()
        process.wait(10)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        _check(desk, server, results)
        assert (server.posts, server.created) == (2, 1)


def _until_sent(desk: Submitter, words: list[str]) -> None:
    """What a person or a job does later: the same command, then what is left."""
    said = []
    for number in range(ROUNDS):
        status, text = desk.run(*(["submit", "--all", "--wait", "2"] if number % 2 else [*words, "2"]))
        said.append(f"{status}: {text}")
        if status == 0 and not number % 2:
            return
    raise AssertionError("\n".join(said))


def _check(desk: Submitter, server: Receiver, results: Results) -> None:
    """Each has it once, byte by byte; the spool is done with it, and has nothing half."""
    bundle, xml = results.bundle.read_bytes(), (results.folder / "junit.xml").read_bytes()
    assert server.stored == {results.uuid: bundle}
    assert server.created == 1
    place = desk.folder / "all"
    assert {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()} == {
        f"{results.uuid}/bundle.json", f"{results.uuid}/junit.xml"
    }  # fmt: skip
    assert (place / results.uuid / "bundle.json").read_bytes() == bundle
    assert (place / results.uuid / "junit.xml").read_bytes() == xml
    assert {path.name: path.read_bytes() for path in (desk.folder / "xml").iterdir()} == {f"{results.uuid}.xml": xml}
    places = desk.places()
    assert (places["new"], places["failed"], places["tmp"]) == ([], [], [])
    assert len(places["sent"]) == 1


def _uuid(dice: random.Random) -> str:
    text = f"{dice.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

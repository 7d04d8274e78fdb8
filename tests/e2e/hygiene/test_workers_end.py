"""pytest -n 2: workers and their controller are killed; boards go off, results stay."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from lava_desk import SOAK, Desk, Session, until

pytest.importorskip("xdist")
pytestmark = [pytest.mark.e2e, pytest.mark.emulated]

UNFINISHED = "the run ended while this test was running"


@pytest.fixture
def session(bench: Desk) -> Session:
    """Two workers, in the middle of a test each."""
    text = (bench.folder / "test_it.py").read_text()
    bench.write("test_it.py", text.replace("if last_board:", "if not list(HERE.glob('calm')):"))
    session = bench.start("-n2", "--board=bench", "--board=qemu-x86_64", "test_it.py")
    until(lambda: len(workers(bench)) == 2 or session.process.poll() is not None, 30, "two tests that hang")
    assert session.process.poll() is None, session.output
    return session


def workers(desk: Desk) -> list[int]:
    return [int(path.name.removeprefix("reached-")) for path in desk.folder.glob("reached-*")]


def worker_of(session: Session, board: str) -> int:
    """The process that has the board."""
    journals = session.folder.glob("journal-gw*.jsonl")
    name = next(path.stem.removeprefix("journal-") for path in journals if f'"board":"{board}"' in path.read_text())
    for pid in workers(session.desk):
        if any(str(file.readlink()).endswith(f"journal-{name}.jsonl") for file in Path(f"/proc/{pid}/fd").iterdir()):
            return pid
    raise AssertionError("no worker has that board")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGINT to all"] if SOAK else ["SIGTERM", "SIGINT to all"])
def test_controller_is_told_to_end(bench: Desk, session: Session, name: str) -> None:
    sent = session.signal(getattr(signal, name.split(maxsplit=1)[0]), group="all" in name)
    assert session.wait() == (143 if name == "SIGTERM" else 2)
    assert time.time() - sent < 12  # xdist's own patience is 10 s
    bench.assert_clean()
    assert bench.switches("bench")[-1][1] - sent < 3
    found = session.bundle()
    for board in ("bench", "qemu-x86_64"):
        assert found[f"test_first[{board}]"] == "pass"
        assert found[f"test_victim[{board}]"] == UNFINISHED


def test_controller_is_killed(bench: Desk, session: Session) -> None:
    session.process.kill()
    session.wait()
    bench.assert_clean()
    found = session.rebuilt()
    for board in ("bench", "qemu-x86_64"):
        assert found[f"test_first[{board}]"] == "pass"
        assert found[f"test_victim[{board}]"] == UNFINISHED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_worker_is_killed(bench: Desk, session: Session, number: int) -> None:
    """The board of the dead worker goes off; a new worker leases it again and does the rest."""
    victim = worker_of(session, "bench")
    (bench.folder / "calm").touch()
    os.kill(victim, number)
    until(lambda: bench.switches("bench")[-1][0] == "off" or len(bench.switches("bench")) > 3, 3, "power-off")
    journal = session.folder / "journal-gw2.jsonl"
    until(lambda: journal.exists() and "test_after[bench]" in journal.read_text(), 20, "test on the new worker")
    until(lambda: journal.read_text().count('"when":"teardown"'), 5, "end of it")
    session.signal(signal.SIGINT, group=True)
    session.wait()
    bench.assert_clean()
    found = session.rebuilt()
    assert found["test_first[bench]"] == "pass"
    assert found["test_victim[qemu-x86_64]"] == UNFINISHED
    assert found["test_after[bench]"] == "pass", session.output
    assert found["test_victim[bench]"] not in ("pass", UNFINISHED)


def test_everything_is_killed(bench: Desk, session: Session) -> None:
    """As the kernel does when memory runs out, or a CI system that ends a job."""
    session.signal(signal.SIGKILL, group=True)
    session.wait()
    bench.assert_clean()
    assert bench.switches("bench")[-1][0] == "off"
    assert session.rebuilt()["test_first[bench]"] == "pass"

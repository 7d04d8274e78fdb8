"""kill -9 and its like: the guardian cleans up, and the journal has every finished result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from lava_desk import SOAK, Desk, Session, until

pytestmark = [pytest.mark.e2e, pytest.mark.emulated]

UNFINISHED = "the run ended while this test was running"
SEED = int(os.environ.get("LAVA_SEED") or random.randrange(1 << 30))
COUNT = 50 if SOAK else 3
Write = Callable[[str], None]
Boards = tuple[str, ...]


def assert_nothing_lost(session: Session) -> dict[str, str]:
    """A valid bundle from the journal, with all that the user saw end."""
    found = session.rebuilt()
    for name, outcome in session.seen().items():
        assert found.get(name) == {"passed": "pass", "failed": "fail"}[outcome], (name, found)
    return found


MOMENTS = {
    "deploy": "deploy begins",
    "power-on": "power begins",
    "boot": "boot.login begins",
}


@pytest.mark.parametrize("board", ["bench", "qemu-x86_64"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_before_the_first_test(bench: Desk, moment: str, board: str) -> None:
    session = bench.start(f"--board={board}", "test_it.py")
    session.reach(MOMENTS[moment])
    session.process.kill()
    session.wait()
    bench.assert_clean()
    assert [what for what, _ in bench.switches("bench")][-1:] != ["on"]
    assert assert_nothing_lost(session)[f"test_first[{board}]"] == UNFINISHED


DEATHS = {
    "kill -9 during a test": "reached(); shell.run('sleep 600', timeout=600)",
    "os._exit": "os._exit(0)",
    "segfault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "a child holds everything open": "os.fork() or time.sleep(3) or os._exit(0); os._exit(1)",
}


@pytest.mark.parametrize("death", DEATHS if SOAK else ["kill -9 during a test", "a child holds everything open"])
def test_during_a_test(bench: Desk, boards: Boards, tests: Write, death: str) -> None:
    tests(
        f"def test_victim(shell, last_board):\n    if last_board:\n        {DEATHS[death]}\n\n"
        "def test_after(shell): pass\n"
    )
    session = bench.start(*boards)
    if "kill" in death:
        session.reach("reached")
        session.process.kill()
    session.wait()
    bench.assert_clean(5 if "child" in death else 2)
    assert bench.switches("bench")[-1][0] == "off"
    found = assert_nothing_lost(session)
    assert len(session.seen()) == 7
    assert found["test_victim[qemu-x86_64]"] == UNFINISHED
    assert found["job[]"] == "the run was killed before its end"
    assert bench.cli("junit", str(session.folder)).returncode == 0


@pytest.mark.parametrize("where", ["between", "teardown"])
def test_outside_of_a_test(bench: Desk, boards: Boards, tests: Write, where: str) -> None:
    if where == "between":
        tests("def test_victim(shell): pass\n\ndef test_after(): reached(); time.sleep(600)\n")
    else:
        tests(
            """
            @pytest.fixture
            def slow(shell, last_board):
                yield
                if last_board:
                    reached()
                    time.sleep(600)

            def test_victim(slow): pass
            """
        )
    session = bench.start(*boards)
    session.reach("reached")
    session.process.kill()
    session.wait()
    bench.assert_clean()
    found = assert_nothing_lost(session)
    assert found["test_victim[qemu-x86_64]"] == "pass"


@pytest.mark.parametrize("number", range(COUNT))
def test_at_any_moment(bench: Desk, boards: Boards, tests: Write, number: int) -> None:
    """LAVA_SEED repeats a run; LAVA_SOAK=1 does it fifty times."""
    print(f"LAVA_SEED={SEED} number {number}")
    tests(
        """
        @pytest.mark.parametrize("n", range(20))
        def test_many(shell, n):
            assert shell.run(f"echo {n}").stdout == f"{n}\\n"
        """
    )
    moment = random.Random(f"{SEED} {number}").uniform(0.3, 4.5)
    session = bench.start(*boards)
    try:
        session.process.wait(moment)
    except subprocess.TimeoutExpired:
        session.process.kill()
    session.wait()
    bench.assert_clean()
    assert [what for what, _ in bench.switches("bench")][-1:] != ["on"]
    if (session.folder / "journal.jsonl").exists():
        assert_nothing_lost(session)
    else:
        assert not session.seen()


def test_the_next_run_takes_over_at_once(bench: Desk) -> None:
    """A run right behind a killed one meets neither a lock nor a late power-off, though switching off takes a while."""
    bench.write("boards/slow", '#!/bin/sh\nsleep 1\nexec ./bench "$@"\n').chmod(0o755)
    board = bench.folder / "boards" / "bench.toml"
    board.write_text(board.read_text().replace("./bench off", "./slow off"))
    bench.write("test_it.py", "import time\ndef test_first(shell): pass\ndef test_hang(shell): time.sleep(600)\n")
    session = bench.start("--board=bench", "test_it.py::test_hang")
    session.reach("boot.login done")
    session.process.kill()
    session.wait()
    time.sleep(0.2)
    status, second = bench.run("--board=bench", "test_it.py::test_first", run="second")
    assert status == 0, second.output
    bench.assert_clean()
    assert second.bundle()["test_first[bench]"] == "pass"


def test_the_guardian_dies_first(bench: Desk, boards: Boards) -> None:
    """Without the guardian QEMU and the pty still go with pytest; only a power switch cannot be helped."""
    session = bench.start("--board=localhost", "--board=qemu-x86_64", "test_it.py")
    session.reach("reached")
    guardians = [pid for pid, command in bench.processes() if "_guardian_main" in command]
    assert len(guardians) == 1
    os.kill(guardians[0], signal.SIGKILL)
    until(lambda: not [1 for _, command in bench.processes() if "_guardian_main" in command], 2, "end of the guardian")
    session.process.kill()
    session.wait()
    started = time.monotonic()
    bench.assert_clean()
    assert time.monotonic() - started < 2

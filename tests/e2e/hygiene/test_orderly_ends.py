"""Ctrl-C, SIGTERM, -x, failing fixtures: the power goes off first, the results are complete, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pexpect
import pytest
from lava_desk import SOAK, Desk

pytestmark = [pytest.mark.e2e, pytest.mark.emulated]

UNFINISHED = "the run ended while this test was running"
Write = Callable[[str], None]
Boards = tuple[str, ...]


def assert_off_within(desk: Desk, seconds: float, since: float) -> None:
    what, when = desk.switches("bench")[-1]
    assert what == "off"
    assert when - since < seconds


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 2), (signal.SIGTERM, 143)], ids=["Ctrl-C", "TERM"])
def test_in_the_middle_of_a_test(bench: Desk, boards: Boards, number: int, status: int) -> None:
    session = bench.start(*boards)
    session.reach("reached")
    sent = session.signal(number, group=number == signal.SIGINT)
    assert session.wait() == status
    assert time.time() - sent < 3
    bench.assert_clean()
    assert_off_within(bench, 3, sent)
    found = session.bundle()
    assert found["test_victim[qemu-x86_64]"] == UNFINISHED
    assert found["test_after[bench]"] == "pass"
    assert found == session.rebuilt()
    assert "Traceback" not in session.output


@pytest.mark.parametrize("mark", ["boot.kernel begins", "power begins"])
@pytest.mark.parametrize("board", ["bench", "qemu-x86_64"])
def test_while_the_board_boots(bench: Desk, board: str, mark: str) -> None:
    session = bench.start(f"--board={board}", "test_it.py")
    session.reach(mark)
    session.signal(signal.SIGINT, group=True)
    assert session.wait() == 2
    bench.assert_clean()
    assert [what for what, _ in bench.switches("bench")][-1:] != ["on"]
    assert session.bundle()[f"test_first[{board}]"] == UNFINISHED


def test_ctrl_c_at_a_terminal(bench: Desk, boards: Boards) -> None:
    child = pexpect.spawn(
        "env", bench.command("--lava-dir=run", *boards)[1:], cwd=str(bench.folder), env=bench.env, encoding="utf-8"
    )
    try:
        child.expect("test_it.py .......", timeout=30)
        child.sendintr()
        child.expect(pexpect.EOF, timeout=10)
        child.close()
    finally:
        child.close(force=True)
    assert child.exitstatus == 2
    bench.assert_clean()
    assert (bench.folder / "run" / "bundle.json").exists()


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5] if SOAK else [0.1])
def test_ctrl_c_twice(bench: Desk, boards: Boards, pause: float) -> None:
    """The second one cuts the orderly end short; the rest is done nevertheless."""
    bench.write("boards/slow", '#!/bin/sh\nsleep 0.2\nexec ./bench "$@"\n').chmod(0o755)
    board = bench.folder / "boards" / "bench.toml"
    board.write_text(board.read_text().replace("./bench off", "./slow off"))
    session = bench.start(*boards)
    session.reach("reached")
    session.signal(signal.SIGINT, group=True)
    time.sleep(pause)
    if session.process.poll() is None:
        session.signal(signal.SIGINT, group=True)
    assert session.wait() != 0
    bench.assert_clean()
    assert bench.switches("bench")[-1][0] == "off"
    assert session.rebuilt()["test_victim[qemu-x86_64]"] == UNFINISHED


@pytest.mark.parametrize("option, last", [("-x", "qemu-x86_64"), ("--maxfail=1", "localhost")])
def test_stops_at_the_first_failure(bench: Desk, tests: Write, option: str, last: str) -> None:
    tests(
        """
        def test_victim(shell, board):
            assert board.name == "bench"

        def test_after(shell):
            pass
        """
    )
    status, session = bench.run(option, "--board=bench", f"--board={last}", "test_it.py")
    assert status == 1
    bench.assert_clean()
    found = session.bundle()
    assert found[f"test_victim[{last}]"] == "fail"
    assert found["test_after[bench]"] == "pass"
    assert f"test_after[{last}]" not in found


FIXTURES = {
    "setup": "@pytest.fixture\ndef broken(shell): raise RuntimeError('broken')",
    "teardown": "@pytest.fixture\ndef broken(shell): yield; raise RuntimeError('broken')",
    "session setup": "@pytest.fixture(scope='session')\ndef broken(board): raise RuntimeError('broken')",
    "session teardown": "@pytest.fixture(scope='session')\ndef broken(board): yield; raise RuntimeError('broken')",
    "SystemExit": "@pytest.fixture\ndef broken(shell): sys.exit(5)",
    "pytest.exit": "@pytest.fixture\ndef broken(shell): pytest.exit('enough', returncode=9)",
}


@pytest.mark.parametrize("kind", FIXTURES)
def test_exception_in_a_fixture(bench: Desk, tests: Write, kind: str) -> None:
    tests(f"{FIXTURES[kind]}\n\ndef test_victim(shell, broken): pass\n\ndef test_after(shell): pass\n")
    status, session = bench.run("--board=bench", "--board=localhost", "test_it.py")
    assert status == {"pytest.exit": 9}.get(kind, 1)
    bench.assert_clean()
    found = session.bundle()
    assert found["test_first[bench]"] == "pass"
    if kind != "pytest.exit":
        assert found["test_after[bench]"] == "pass"
        assert "broken" in session.output or kind == "SystemExit"


@pytest.mark.parametrize("ending", ["by itself", "TERM", "KILL"])
def test_a_pipe_behind_pytest_ends(bench: Desk, ending: str) -> None:
    """``pytest | cat`` must not wait for a helper that holds the pipe."""
    command = bench.command("--lava-dir=run", "--board=bench", "--board=localhost", "test_it.py")
    if ending == "by itself":
        bench.write("test_it.py", "def test_first(shell): pass\n")
    else:
        text = (bench.folder / "test_it.py").read_text().replace("if last_board:", "if True:")
        bench.write("test_it.py", text)
    pytest_process = subprocess.Popen(
        command, cwd=bench.folder, env=bench.env, stdout=subprocess.PIPE, start_new_session=True
    )
    cat = subprocess.Popen(["cat"], stdin=pytest_process.stdout, stdout=subprocess.DEVNULL)
    assert pytest_process.stdout
    pytest_process.stdout.close()
    if ending != "by itself":
        end = time.monotonic() + 20
        while not (bench.folder / "reached").exists() and time.monotonic() < end:
            time.sleep(0.01)
        pytest_process.send_signal({"TERM": signal.SIGTERM, "KILL": signal.SIGKILL}[ending])
    pytest_process.wait(20)
    cat.wait(2)
    bench.assert_clean()


def test_stopped_job_can_be_ended(bench: Desk) -> None:
    """Ctrl-Z, then kill: SIGTERM waits for SIGCONT, as a shell's ``kill %1`` sends it."""
    session = bench.start("--board=localhost", "--board=bench", "--board=qemu-x86_64", "test_it.py")
    session.reach("reached")
    os.kill(session.process.pid, signal.SIGSTOP)
    session.signal(signal.SIGTERM)
    session.signal(signal.SIGCONT)
    assert session.wait() == 143
    bench.assert_clean()

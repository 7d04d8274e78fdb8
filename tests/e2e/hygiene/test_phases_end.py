"""Ctrl-C twice, SIGTERM and SIGHUP in deployment, boot and recovery: the board goes off, the results are complete."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pexpect
import pytest
from lava_desk import SOAK, Desk, Session, until

pytestmark = [pytest.mark.e2e, pytest.mark.emulated]

Write = Callable[[str], None]
QUICK = ("-p", "no:hypothesispytest")  # its import takes half a second
UNFINISHED = "the run ended while this test was running"
#: what a board file says so that a phase does not end, and the word of the event log by which it has begun
PHASES = {
    "deploy": ('[deploy]\nmethod = "command"\ncommands = ["sleep 600"]\n', "deploy begins"),
    "boot": ('[login]\nshell_prompt = "never"\n', "boot.login begins"),
    "recovery": ("", "recovery begins"),
}
SIGNALS = {
    "TERM": ((signal.SIGTERM,), 128 + signal.SIGTERM),
    "HUP": ((signal.SIGHUP,), 128 + signal.SIGHUP),
    "INT twice": ((signal.SIGINT, signal.SIGINT), None),
}
MATRIX = [(phase, name) for phase in PHASES for name in SIGNALS]
REDUCED = [("deploy", "HUP"), ("deploy", "INT twice"), ("boot", "TERM"), ("recovery", "HUP"), ("recovery", "INT twice")]


def interrupt(session: Session, name: str) -> None:
    """Send it; the second Ctrl-C comes while the first one is acted upon."""
    numbers, status = SIGNALS[name]
    for number in numbers:
        if session.process.poll() is None:
            session.signal(number, group=number == signal.SIGINT)
            time.sleep(0.05)
    ended = session.wait()
    assert ended == status if status else ended != 0, session.output


@pytest.mark.parametrize(("phase", "name"), MATRIX if SOAK else REDUCED)
def test_in_each_phase(bench: Desk, tests: Write, phase: str, name: str) -> None:
    tests(
        """
        def test_victim(shell):
            shell.run("kill -9 $PPID")

        def test_after(shell):
            pass
        """
    )
    more, mark = PHASES[phase]
    board = bench.folder / "boards" / "bench.toml"
    board.write_text(board.read_text() + more)
    # the second power-on, by which the board is to come back, takes its time
    bench.write("boards/slow", '#!/bin/sh\n[ -e once ] && exec sleep 600\n: >once\nexec ./bench "$@"\n').chmod(0o755)
    board.write_text(board.read_text().replace("./bench on", "./slow on"))
    session = bench.start(*QUICK, "--board=bench", "test_it.py")
    session.reach(mark, 60)
    interrupt(session, name)
    bench.assert_clean()
    assert [what for what, _ in bench.switches("bench")][-1:] in ([], ["off"])
    found = session.bundle()
    assert found == session.rebuilt()
    if phase == "recovery":
        assert found["test_first[bench]"] == "pass"
        assert found["test_victim[bench]"] not in ("pass", UNFINISHED)
        assert found["test_after[bench]"] == UNFINISHED
    else:
        assert found["test_first[bench]"] == UNFINISHED
    if name != "INT twice":  # pytest itself shows where the second one hit it
        assert "Traceback" not in session.output


def test_the_terminal_is_closed(bench: Desk) -> None:
    """Nothing can be printed any more, and all is written nevertheless."""
    bench.write("test_it.py", (bench.folder / "test_it.py").read_text().replace("if last_board:", "if True:"))
    command = bench.command("--lava-dir=run", "--no-snapshot", *QUICK, "--board=bench", "test_it.py")
    child = pexpect.spawn(command[0], command[1:], cwd=str(bench.folder), env=bench.env, encoding="utf-8")
    try:
        until((bench.folder / "reached").exists, 60, "test that hangs")
        os.close(child.child_fd)  # the kernel sends SIGHUP to whom it was the terminal of
        until(lambda: not child.isalive(), 20, "end of pytest")
    finally:
        child.terminate(force=True)
    assert child.exitstatus or child.signalstatus
    bench.assert_clean()
    assert bench.switches("bench")[-1][0] == "off"
    session = Session(None, bench, bench.folder / "run", bench.folder / "none")  # type: ignore[arg-type]
    found = session.bundle()
    assert found == session.rebuilt()
    assert found["test_victim[bench]"] == UNFINISHED


def test_nohup(bench: Desk) -> None:
    """Who wants SIGHUP to be ignored has it ignored."""
    bench.write(
        "test_it.py",
        """
        import os, signal, pytest

        def test_first(shell):
            os.kill(os.getpid(), signal.SIGHUP)
            assert shell.run("echo first").stdout == "first\\n"
        """,
    )
    bench.write("sitecustomize.py", "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n")
    session = bench.start(*QUICK, "--board=localhost", "test_it.py", env={"PYTHONPATH": str(bench.folder)})
    assert session.wait() == 0, session.output

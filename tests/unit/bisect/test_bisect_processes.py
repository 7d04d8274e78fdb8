"""Builds and runs as processes: their output, their end, and signals that come meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pytest_lava.bisect.processes import Ended, Processes
from pytest_lava.deadline import Deadline


def alive(pid: int) -> bool:
    try:
        return b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except FileNotFoundError:
        return False


def until_gone(pid: int) -> None:
    end = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < end, f"{pid} lives"
        time.sleep(0.01)


def test_a_build_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert Processes().build("echo one; echo two >&2; exit 3", log, Deadline.after(20)) == Ended(3)
    assert log.read_text() == "one\ntwo\n"


def test_a_build_over_its_time_goes_with_all_it_started(tmp_path: Path) -> None:
    ended = Processes().build(f"sleep 600 & echo $! >{tmp_path}/pid; sleep 600", tmp_path / "log", Deadline.after(0.5))
    assert ended.timed_out
    until_gone(int((tmp_path / "pid").read_text()))


def test_a_build_that_ignores_term_is_killed(tmp_path: Path) -> None:
    begun = time.monotonic()
    command = f"trap '' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 0.1; done"
    assert Processes(grace=0.5).build(command, tmp_path / "log", Deadline.after(0.5)).status == -signal.SIGKILL
    assert time.monotonic() - begun < 15
    until_gone(int((tmp_path / "pid").read_text()))


SCRIPT = """
    import sys
    from pathlib import Path
    from pytest_lava.bisect.processes import Processes
    from pytest_lava.deadline import Deadline

    processes = Processes()
    with processes.signals():
        if sys.argv[1] == "build":
            ended = processes.build("sleep 600 & echo $! >pid; wait", Path("log"), Deadline.after(60))
        else:
            ended = processes.run(["/bin/sh", "-c", "trap 'exit 7' INT; sleep 600 >&2 & echo $! >pid; wait"])
    print(processes.interrupted, ended.status, ended.timed_out)
"""


@pytest.mark.parametrize("what", ["build", "run"])
def test_an_interrupt_reaches_what_runs(what: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    process = subprocess.Popen(
        [sys.executable, "script.py", what],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    end = time.monotonic() + 20
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    number, status, timed_out = out.split()
    assert (number, timed_out) == ("2", "False")
    assert process.returncode == 0
    if what == "run":  # it gets the signal and ends as it wants
        assert status == "7"
        os.kill(int(pid.read_text()), signal.SIGKILL)
    else:  # all that the build started goes
        assert int(status) < 0 or int(status) > 128
        until_gone(int(pid.read_text()))

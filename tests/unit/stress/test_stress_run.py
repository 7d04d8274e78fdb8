"""Stress runs on shells of this machine: what ends them, what is measured, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.lines import SHELLS, open_agent, open_shell

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Hang, OperationFailed
from pytest_lava.stress.outcome import Cause, Outcome
from pytest_lava.stress.plan import Limits
from pytest_lava.stress.run import Pace, stress

QUICK = Pace(shortest=0.1, patience=0.5, silence=2.0, report=0.4)
BUSY = 1.5  # seconds by which a busy machine may be late

both = pytest.mark.parametrize("kind", [AgentShell, MarkerShell], ids=["agent", "marker"])
Kind = type[AgentShell] | type[MarkerShell]


@contextmanager
def shell_of(folder: Path, kind: Kind, command: str = "dash -i") -> Iterator[AgentShell | MarkerShell]:
    opened = open_agent(folder, command) if kind is AgentShell else open_shell(folder, command)
    with opened as shell:
        yield shell


def stressed(shell: AgentShell | MarkerShell, command: str, *, pace: Pace = QUICK, **limits: float) -> Outcome:
    told: list[Outcome] = []
    chosen = Limits(limits.get("seconds", 60.0), int(limits.get("iterations", 0)))
    outcome = stress(shell._console, shell, command, limits=chosen, pace=pace, on_progress=told.append, leash=True)
    assert told[0].cause is Cause.RUNNING
    assert told[-1] == outcome
    return outcome


def processes(command: str) -> list[str]:
    """Process ids whose command line has this in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if command in words and int(folder.name) != os.getpid():
            found.append(folder.name)
    return found


def assert_gone(command: str, seconds: float = 6) -> None:
    end = time.monotonic() + seconds
    while found := processes(command):
        assert time.monotonic() < end, found
        time.sleep(0.05)


def files_of(shell: Shell) -> list[str]:
    return shell.run('ls -a /dev/shm /run /tmp 2>/dev/null | grep "lava$$.stress"').stdout.split()


# -- ends that are known ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SHELLS))
def test_it_is_run_again_until_its_iterations_are_done(tmp_path: Path, name: str) -> None:
    with open_agent(tmp_path, SHELLS[name]) as shell:
        outcome = stressed(shell, "echo one; sleep 0.05", iterations=8)
        assert (outcome.cause, outcome.iterations, outcome.status) == (Cause.LIMIT, 8, 0)
        assert outcome.output == b"one\n" * 8
        assert (outcome.error, outcome.stopped) == (None, True)
        assert 0.4 <= outcome.seconds < 0.4 + BUSY + 8 * 0.1
        assert outcome.board_seconds == pytest.approx(outcome.seconds, abs=0.2)
        assert files_of(shell) == []
        assert shell.run("echo next").stdout == "next\n"


@both
def test_a_command_that_fails_ends_it(tmp_path: Path, kind: Kind) -> None:
    with shell_of(tmp_path, kind) as shell:
        outcome = stressed(shell, "c=$(cat c 2>/dev/null); echo x$c >c; cat c; [ x$c != xxxxx ] || exit 7")
    assert (outcome.cause, outcome.iterations, outcome.status) == (Cause.FAILED, 5, 7)
    assert isinstance(outcome.error, OperationFailed)
    assert str(outcome).startswith("ran ")
    assert ", 5 iterations, until: the command returned 7: c=$(cat c" in str(outcome)
    assert outcome.output.endswith(b"xxxxx\n")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells begin here."""
    monkeypatch.chdir(tmp_path)


@both
def test_a_load_without_end_is_ended_at_the_limit_with_all_its_processes(tmp_path: Path, kind: Kind) -> None:
    with shell_of(tmp_path, kind) as shell:
        long = f"98{os.getpid()}"  # other tests run beside this one
        load = f"(trap '' TERM; while :; do sleep {long}1; done) & (setsid=1; sleep {long}2) & sleep {long}3"
        outcome = stressed(shell, load, seconds=1.0)
        assert (outcome.cause, outcome.iterations, outcome.stopped) == (Cause.LIMIT, 0, True)
        assert 1.0 <= outcome.seconds < 1.0 + BUSY
        assert str(outcome) == f"ran {outcome.seconds:.1f} s, until: the limit of 1.0 s was met"
        assert outcome.pulse.count >= 2
        assert processes(f"sleep {long}") == processes(f"sleep\x00{long}") == []
        assert shell.run("echo next").stdout == "next\n"


def test_of_output_without_end_the_end_is_kept(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        begin = shell._console.end
        outcome = stressed(shell, "yes; true", seconds=1.0)
        assert outcome.output == b"y\n" * 32768
        assert outcome.pulse.count >= 2
        assert shell._console.end - begin < 100_000 + len(outcome.output)


def test_iterations_are_counted_while_it_runs(tmp_path: Path) -> None:
    told: list[Outcome] = []
    with open_agent(tmp_path) as shell:
        stress(shell._console, shell, "sleep 0.02", limits=Limits(1.5), pace=QUICK, on_progress=told.append, leash=True)
    counts = [outcome.iterations for outcome in told]
    assert len(told) >= 4
    assert counts == sorted(counts)
    assert 5 < counts[-2] <= counts[-1] <= 75
    assert [outcome.cause for outcome in told[:-1]] == [Cause.RUNNING] * (len(told) - 1)
    assert told[1].pulse.count > 0


# -- slow, dead, lost ------------------------------------------------------------------------------------------------


def test_a_shell_that_is_slow_is_no_hang(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        pid = int(shell.run("echo $$").stdout)
        timers = [
            threading.Timer(0.4, os.kill, (pid, signal.SIGSTOP)),
            threading.Timer(1.4, os.kill, (pid, signal.SIGCONT)),
        ]
        for timer in timers:
            timer.start()
        outcome = stressed(shell, "sleep 0.1", seconds=2.5)
        assert outcome.cause is Cause.LIMIT
        assert 0.7 < outcome.pulse.slowest < 1.1 + BUSY
        assert outcome.iterations > 10  # the load was not disturbed


def test_a_shell_that_never_answers_is_a_hang(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        pid = int(shell.run("echo $$").stdout)
        timer = threading.Timer(0.5, os.kill, (pid, signal.SIGSTOP))
        timer.start()
        begun = time.monotonic()
        outcome = stressed(shell, "sleep 0.1")
        took = time.monotonic() - begun
        os.kill(pid, signal.SIGKILL)
    assert outcome.cause is Cause.HANG
    assert isinstance(outcome.error, Hang)
    assert "no heartbeat for 2 s; whether the kernel lives is not known" in outcome.reason
    assert 0.2 < outcome.seconds < 0.5 + BUSY  # its last sign of life
    assert outcome.seconds == outcome.pulse.last
    assert took < 2.5 + 3 + BUSY
    assert outcome.error.responsiveness is not None


def test_a_line_that_ends(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        pid = int(shell.run("echo $$").stdout)
        timer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
        timer.start()
        outcome = stressed(shell, f"sleep 97{os.getpid()}", pace=Pace(shortest=0.1))
        assert outcome.cause is Cause.LOST
        assert isinstance(outcome.error, ConsoleLost)
        assert outcome.stopped is False
    assert_gone(f"sleep\x00{97}{os.getpid()}")  # by its leash


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    told: list[Outcome] = []
    with open_agent(tmp_path) as shell:
        timer = threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            stress(shell._console, shell, f"sleep 96{os.getpid()}", pace=QUICK, on_progress=told.append, leash=True)
        assert_gone(f"sleep\x00{96}{os.getpid()}")
    assert told[-1].cause is Cause.INTERRUPTED
    assert 0.2 < told[-1].seconds < 0.6 + BUSY
    assert str(told[-1]).endswith("until: interrupted")


# -- how often it asks -----------------------------------------------------------------------------------------------


def test_a_slow_board_is_asked_less_often() -> None:
    pace = Pace()
    assert [pace.rest(latency) for latency in (0.0, 0.01, 0.5, 100.0)] == [2.0, 2.0, 10.0, 30.0]


def test_the_heartbeat_starts_no_process(tmp_path: Path) -> None:
    """The next process id tells how many were started; other ones of this machine only add to that."""
    with open_agent(tmp_path) as shell:
        name = tmp_path / "iterations"
        name.write_text("42\n")
        heart = shell.heartbeat(str(name), Deadline.after(5))
        own = int(shell.run("echo $$").stdout)
        children = Path(f"/proc/{own}/task/{own}/children")
        before = Path(f"/proc/{own}/stat").read_text().split()
        for _ in range(20):
            heart.ask()
            beat = shell._console.wait(heart.answer, Deadline.after(5), what="beat")
            assert beat.said == "42"
            assert beat.uptime is not None
            assert children.read_text() == ""
        # cminflt counts the page faults of children that ended: a process cannot be without any
        assert Path(f"/proc/{own}/stat").read_text().split()[10] == before[10]

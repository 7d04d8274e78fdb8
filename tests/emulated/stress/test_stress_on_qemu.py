"""Stress runs that break a real kernel: the time to it is right, its cause is told, and the board comes back."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator

import pytest
from support.boards import open_board
from support.lines import soon

from pytest_lava.board.board import Board, State
from pytest_lava.errors import Hang, KernelCrash, UnexpectedReset
from pytest_lava.power.qemu import QemuMachine
from pytest_lava.responsiveness import Verdict
from pytest_lava.stress.outcome import Cause, Outcome
from pytest_lava.stress.plan import Limits
from pytest_lava.stress.run import Pace, stress

pytestmark = pytest.mark.emulated

SOAK = bool(os.environ.get("LAVA_SOAK"))
SEED = int(os.environ.get("LAVA_SEED") or random.randrange(1 << 30))
CRASH = "echo c >/proc/sysrq-trigger"
RIGHT = 0.2  # seconds by which the time to a crash may be wrong


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with open_board(tmp_path_factory.mktemp("arm64"), "qemu-arm64", snapshots=True) as board:
        yield board


def broken(board: Board, command: str, pace: Pace | None = None) -> Outcome:
    """What came of a load that breaks the board; which is back when this returns, and takes another load."""
    board.reach(State.SHELL)
    told: list[Outcome] = []
    outcome = stress(board.console, board.shell, command, pace=pace, on_progress=told.append)
    assert told[-1] == outcome
    board.lose(str(outcome))
    board.recover()
    board.reach(State.SHELL)
    return outcome


def stamp(board: Board, start: int, text: bytes) -> float:
    """When the kernel said this, on its own clock."""
    found = re.search(rb"\[ *(\d+\.\d+)\][^\n]*" + text, board.console.read(start))
    assert found
    return float(found[1])


def test_the_time_to_a_crash_is_that_of_the_kernels_clock(
    board: Board, record_property: Callable[[str, object], None]
) -> None:
    """The moment of each crash is random; the kernel's own records tell when it was, whatever we measured."""
    record_property("seed", SEED)
    dice, wrong = random.Random(SEED), []
    for _ in range(20 if SOAK else 2):
        start = board.console.end
        moment = dice.uniform(0.0, 6.0 if SOAK else 3.0)
        outcome = broken(board, f"sleep {moment:.2f}; {CRASH}")
        assert outcome.cause is Cause.CRASH
        assert type(outcome.error) is KernelCrash
        assert str(outcome).endswith("until: the kernel crashed: Kernel panic - not syncing: sysrq triggered crash")
        truth = stamp(board, start, b"Kernel panic - not syncing: sysrq") - stamp(board, start, b"pytest-lava: stress")
        assert truth >= moment
        wrong.append(outcome.seconds - truth)
        assert outcome.board_seconds == pytest.approx(truth, abs=1e-6)
    record_property("wrong", wrong)
    assert max(map(abs, wrong)) < RIGHT, (SEED, wrong)
    again = stress(board.console, board.shell, "true", limits=Limits(iterations=3))
    assert (again.cause, again.iterations, again.stopped) == (Cause.LIMIT, 3, True)


def test_iterations_before_a_crash_are_counted(board: Board) -> None:
    load = f"n=$(cat /n 2>/dev/null); echo $((n+1)) >/n; sleep 0.3; [ $((n+0)) -lt 8 ] || {CRASH}"
    outcome = broken(board, load, Pace(0.5, thrift=1.0))
    assert outcome.cause is Cause.CRASH
    assert outcome.pulse.count >= 1
    assert 1 <= outcome.iterations <= 8  # those of the last heartbeat
    assert outcome.pulse.last <= outcome.seconds
    assert outcome.pulse.uptime is not None


def test_a_reset_is_told_from_a_crash(board: Board) -> None:
    start = board.console.end
    outcome = broken(board, "sleep 1; reboot -f")
    assert (outcome.cause, type(outcome.error)) == (Cause.RESET, UnexpectedReset)
    truth = stamp(board, start, b"Restarting system") - stamp(board, start, b"pytest-lava: stress")
    assert outcome.seconds == pytest.approx(truth, abs=RIGHT)


def test_a_machine_that_stops_is_dead(board: Board) -> None:
    """As if its clock had stopped: nothing answers, not even SysRq."""
    pace = Pace(shortest=0.5, patience=2.0, report=1.0)
    board.reach(State.SHELL)
    machine = board._power
    assert isinstance(machine, QemuMachine)
    told: list[Outcome] = []

    def stop_it(outcome: Outcome) -> None:
        told.append(outcome)
        if len(told) == 3:
            machine.pause(soon())

    outcome = stress(board.console, board.shell, "sleep 0.1", pace=pace, on_progress=stop_it)
    assert outcome.cause is Cause.HANG
    assert isinstance(outcome.error, Hang)
    assert outcome.error.responsiveness is not None
    assert outcome.error.responsiveness.verdict is Verdict.DEAD
    assert "nothing answers any more, not even the kernel to SysRq" in str(outcome)
    assert outcome.seconds == outcome.pulse.last <= told[-1].seconds
    assert told[-2].seconds - outcome.seconds < pace.rest(outcome.pulse.latency) + 2 * pace.report
    board.lose(str(outcome))
    board.recover()
    board.reach(State.SHELL)
    assert board.shell.run("echo back").stdout == "back\n"


def test_a_heavy_load_is_no_hang_and_a_dead_user_space_is_one(board: Board) -> None:
    """One that takes the processor, and one that stops the shell: then the kernel is asked what it does."""
    board.reach(State.SHELL)
    heavy = "for i in 1 2 3 4 5 6; do while :; do :; done & done; sleep 3; kill 0"
    outcome = stress(board.console, board.shell, heavy, pace=Pace(0.5, patience=3.0), limits=Limits(seconds=6))
    assert outcome.cause in (Cause.LIMIT, Cause.FAILED)
    assert outcome.pulse.count > 1
    pid = board.shell.run("echo $$").stdout.strip()
    outcome = broken(board, f"sleep 1; kill -STOP {pid}; sleep 1000", Pace(0.5, patience=1.0, silence=3.0))
    assert outcome.cause is Cause.HANG
    assert outcome.error is not None
    assert outcome.error.responsiveness is not None
    assert outcome.error.responsiveness.verdict is Verdict.KERNEL_ALIVE
    assert "the kernel is alive, but no shell answers" in str(outcome)
    assert "Show Blocked State" in outcome.error.evidence

"""What reading costs, at limits far above what is measured on a quiet machine (docs/benchmarks.md has the figures)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.boards import open_board
from support.lines import open_agent, open_shell, soon
from support.slowline import SlowLine

from pytest_lava.board.board import State
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.lines import open_line
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.settings import LineSettings
from pytest_lava.errors import Timeout

Open = Callable[..., AbstractContextManager[MarkerShell | AgentShell]]
protocols = pytest.mark.parametrize("shell_on", [open_shell, open_agent], ids=["marker", "agent"])
NUMBERS = "dd if=/dev/zero bs=256 count={} 2>/dev/null | od -v"  # as many KB


SOAK = bool(os.environ.get("LAVA_SOAK"))
WAIT = 10 if SOAK else 4  # seconds
MUCH = 50 if SOAK else 32  # MB


@protocols
def test_waiting_costs_nothing(shell_on: Open, tmp_path: Path) -> None:
    with shell_on(tmp_path) as shell:
        before = time.process_time()
        shell.run(f"sleep {WAIT}")
        assert time.process_time() - before < 0.010


def test_waiting_costs_nothing_where_a_thread_pumps(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    console.attach(open_line("loop://", LineSettings())[0])
    before = time.process_time()
    with pytest.raises(Timeout):
        console.expect([re.compile(b"never")], deadline=soon(WAIT))
    assert time.process_time() - before < 0.010
    console.close()


@protocols
def test_much_output_is_fast_at_any_size(shell_on: Open, tmp_path: Path) -> None:
    seconds = {}
    with shell_on(tmp_path) as shell:
        for size in (1 << 20, 10 << 20, MUCH << 20):
            before = time.process_time()
            assert shell.run(f"head -c {size} /dev/zero", max_output=64 << 20).stdout_bytes == bytes(size)
            seconds[size] = (time.process_time() - before) / size * 1e6
    limit = 0.05 if shell_on is open_agent else 0.1  # markers are for boards that have no other way
    assert seconds[10 << 20] < limit
    assert seconds[MUCH << 20] < limit
    assert seconds[MUCH << 20] < 2 * seconds[1 << 20]


def test_agent_keeps_no_second_copy_of_the_output(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        shell.run("head -c 4000000 /dev/zero")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _memory("VmRSS")
        result = shell.run("head -c 50000000 /dev/zero", max_output=64 << 20)
        assert _memory("VmHWM") - before - len(result.stdout_bytes) < 20e6


def test_rests_of_the_reader_are_not_felt_on_a_slow_line(tmp_path: Path) -> None:
    line = open_process("dash -i")[0]
    slow = SlowLine(line)
    with open_agent(tmp_path, line=slow) as shell:
        shell.run("true")
        slow.rate = 11_520
        began = time.monotonic()
        assert len(shell.run(NUMBERS.format(32)).stdout) > 32_000
        assert time.monotonic() - began < 32_800 / 11_520 + 0.5
    line.close()


@pytest.fixture(scope="module")
def board_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentShell]:
    with open_board(tmp_path_factory.mktemp("board"), "qemu-arm64") as board:
        board.reach(State.SHELL)
        board.shell.leave(soon())
        shell = AgentShell(board.console)
        shell.take_over(soon(30))
        yield shell


@pytest.mark.emulated
def test_uart_of_qemu(board_shell: AgentShell) -> None:
    """QEMU's pl011 hands over each character by itself."""
    board_shell.run("true")
    before = time.process_time()
    said = board_shell.run(NUMBERS.format(512)).stdout_bytes
    assert len(said) > 512_000
    assert (time.process_time() - before) / len(said) * 1e6 < 0.25  # seconds a megabyte


@pytest.mark.emulated
def test_rests_of_the_reader_do_not_stop_the_board(board_shell: AgentShell) -> None:
    """A short command is as short right after much output, while the reader would still rest, as after little."""
    seconds: dict[str, list[float]] = {"little": [], "much": []}
    for _ in range(10):
        for before, size in (("little", 0), ("much", 16)):
            board_shell.run(NUMBERS.format(size))
            seconds[before].append(board_shell.run("true").duration)
    little, much = (sorted(found)[5] for found in seconds.values())
    assert much < 1.5 * little + 0.005


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

"""Our own side of the console's benchmarks: a shell of ours on a line or on an emulated board, and what it needs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from benchmarks.boards import our_board
from benchmarks.peers import Run
from pytest_lava.board.board import State
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.transport import Transport
from pytest_lava.console.watch import FindingKind
from pytest_lava.deadline import Deadline

__all__ = ["Ours", "OursOnBoard", "Peer", "memory"]

_TAKE_OVER = 60.0  # seconds; the markers' script of 1 KB takes some on a line of 115200 baud


class Peer(Protocol):
    """Whoever can run a command so many times."""

    def run(self, command: str, count: int) -> Run: ...

    def close(self) -> None: ...


class Ours:
    """One of our shells on a console of its own, with the watch armed as it is for tests."""

    def __init__(self, kind: type[AgentShell] | type[MarkerShell], folder: Path, line: Transport) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._console = Console(folder / "console.log")
        self._console.attach(line)
        self._console.arm(FindingKind.FATAL, FindingKind.BOOT)
        self.shell = kind(self._console)
        self.shell.take_over(Deadline.after(_TAKE_OVER))

    def run(self, command: str, count: int) -> Run:
        return _run(self.shell, command, count)

    def close(self) -> None:
        self._console.close()


class OursOnBoard:
    """The same on one of our emulated boards, booted the way a run boots it."""

    def __init__(self, kind: type[AgentShell] | type[MarkerShell], name: str, folder: Path) -> None:
        self._context = our_board(name, folder)
        self.board = self._context.__enter__()
        try:
            self.board.reach(State.SHELL)
            self.board.shell.leave(Deadline.after(5))
            self.shell = kind(self.board.console)
            self.shell.take_over(Deadline.after(_TAKE_OVER))
        except BaseException:
            self.close()
            raise

    def run(self, command: str, count: int) -> Run:
        return _run(self.shell, command, count)

    def close(self) -> None:
        self._context.__exit__(None, None, None)


def memory(name: str) -> float:
    """Megabytes of this process, as ``/proc/self/status`` calls them (``VmRSS``, ``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6


def _run(shell: AgentShell | MarkerShell, command: str, count: int) -> Run:
    seconds, cpu = [], time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        result = shell.run(command, timeout=300, max_output=100 << 20)
        seconds.append(time.perf_counter() - began)
        assert result.returncode == 0
    return seconds, time.process_time() - cpu

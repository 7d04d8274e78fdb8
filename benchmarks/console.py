"""The console at work: small commands, much output, and waiting, beside labgrid, pexpect and a bare loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from benchmarks.boards import BareBoard, our_board, qemu_command_line
from benchmarks.peers import Bare, Pexpect, QemuOnPty, Relay, Run, labgrid_qemu, labgrid_serial
from benchmarks.stats import Sample, Table, interleaved, spread
from pytest_lava.board.board import State
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.serialport import open_serial
from pytest_lava.console.shell import Shell
from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline

__all__ = ["console"]

_COUNT = 50  # commands in a round, the first five not counted
_FIRST = 5
_WAIT = 10  # seconds
_OURS, _LOOP, _SUBSHELL = "ours, agent", "bare os.read loop", "the same, each in a subshell"


class Peer(Protocol):
    """Whoever can run a command so many times."""

    def run(self, command: str, count: int) -> Run: ...

    def close(self) -> None: ...


class Ours:
    """One of our shells; with a line it opens a console of its own."""

    def __init__(self, kind: type[AgentShell] | type[MarkerShell], folder: Path, line: Transport | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._console = Console(folder / "console.log")
        self._console.attach(line or open_process("dash -i")[0])
        shell = kind(self._console)
        shell.take_over(Deadline.after(10))
        self._shell: Shell = shell

    def run(self, command: str, count: int) -> Run:
        return _ours(self._shell, command, count)

    def close(self) -> None:
        self._console.close()


def _ours(shell: Shell, command: str, count: int) -> Run:
    seconds, cpu = [], time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        result = shell.run(command, timeout=300, max_output=100 << 20)
        seconds.append(time.perf_counter() - began)
        assert result.returncode == 0
    return seconds, time.process_time() - cpu


def console(rounds: int, folder: Path) -> str:
    """All tables."""
    with ExitStack() as stack:
        peers = _on_a_pty(stack, folder)
        tables = [_small('`run("true")`, dash on a pty', peers, rounds, 0.5)]
        tables += [_output(peers, rounds, folder), _idle(peers, rounds)]
    with ExitStack() as stack:
        tables.append(_small('`run("true")`, qemu-arm64, busybox ash', _on_qemu(stack, folder / "arm64"), rounds, None))
    return "\n".join(map(str, tables))


def _on_a_pty(stack: ExitStack, folder: Path) -> dict[str, Peer]:
    relays = [Relay(), Relay()]
    for relay in relays:
        stack.callback(relay.close)
    peers: dict[str, Peer] = {
        _OURS: Ours(AgentShell, folder / "agent"),
        "ours, markers": Ours(MarkerShell, folder / "marker"),
        "ours, agent, serial port": Ours(AgentShell, folder / "serial", open_serial(relays[0].port, baudrate=115200)),
        "labgrid 26 SerialDriver": labgrid_serial(folder / "labgrid", relays[1].port, "board:~# "),
        "plain pexpect": Pexpect(),
        _LOOP: Bare.dash(),
        _SUBSHELL: Bare.dash(subshell=True),
    }
    for peer in peers.values():
        stack.callback(peer.close)
    return peers


def _on_qemu(stack: ExitStack, folder: Path) -> dict[str, Peer]:
    argv = qemu_command_line("qemu-arm64", folder / "warm-up")
    board = stack.enter_context(our_board("qemu-arm64", folder / "ours"))
    board.reach(State.SHELL)
    board.shell.leave(Deadline.after(5))
    agent = AgentShell(board.console)
    agent.take_over(Deadline.after(30))
    bare = [stack.enter_context(BareBoard("qemu-arm64", argv)) for _ in range(3)]
    for board_ in bare:
        board_.expect(b"~ # ")
    emulated = QemuOnPty()
    stack.callback(emulated.close)

    class Board:
        def run(self, command: str, count: int) -> Run:
            return _ours(agent, command, count)

        def close(self) -> None:
            pass

    peers: dict[str, Peer] = {
        _OURS: Board(),
        "labgrid 26 QEMUDriver": labgrid_qemu(folder / "labgrid-qemu"),
        "labgrid 26 SerialDriver": labgrid_serial(folder / "labgrid-serial", emulated.port, "~ # "),
        "plain pexpect": Pexpect(bare[0].fileno()),
        _LOOP: Bare(bare[1].send, bare[1].fileno(), lambda: None),
        _SUBSHELL: Bare(bare[2].send, bare[2].fileno(), lambda: None, subshell=True),
    }
    for peer in peers.values():
        stack.callback(peer.close)
    return peers


def _small(title: str, peers: Mapping[str, Peer], rounds: int, limit: float | None) -> Table:
    times: dict[str, list[float]] = {name: [] for name in peers}

    def once(name: str) -> Callable[[], Sample]:
        def run() -> Sample:
            seconds, cpu = peers[name].run("true", _COUNT)
            times[name] += seconds[_FIRST:]
            return {"median": statistics.median(seconds[_FIRST:]), "cpu": cpu / _COUNT}

        return run

    samples = interleaved(rounds, {name: once(name) for name in peers})
    table = Table(title, ["who", "ms (quartiles)", "p95 ms", "CPU ms each"])
    for name, seconds in times.items():
        cpu = statistics.median(sample["cpu"] for sample in samples[name])
        late = sorted(seconds)[int(len(seconds) * 0.95)]
        table.add(name, spread(seconds, 1e3), f"{late * 1e3:.2f}", f"{cpu * 1e3:.2f}")
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    if limit is not None:
        table.target("ours, median", middle[_OURS] * 1e3, limit, "ms")
    if "labgrid 26 QEMUDriver" in middle:
        table.target("ours / QEMUDriver, medians", middle[_OURS] / middle["labgrid 26 QEMUDriver"], 1 / 3, "x")
    table.remarks += [
        f"{rounds} interleaved rounds of {_COUNT} commands; the first {_FIRST} of a round are not counted.",
        "Ours returns both streams apart, the status and the time on the board's clock, proven by sums.",
        "labgrid, pexpect and the bare loop return one stream and the status, unproven.",
        "For pexpect and the bare loop `true` is no process: it runs in the shell itself, where a `cd` would stay.",
    ]
    return table


def _output(peers: Mapping[str, Peer], rounds: int, folder: Path) -> Table:
    who = [_OURS, "ours, markers", "plain pexpect", _LOOP, "labgrid 26 SerialDriver"]
    files = {size: folder / f"{size}MB" for size in (1, 10, 50)}
    for size, path in files.items():
        line = b"The quick brown fox jumps over the lazy dog, again and again and again. %07d\n"
        path.write_bytes(b"".join(line % number for number in range(size * 12500))[: size * 1_000_000])
    table = Table("Output of one command, dash on a pty", ["who", "MB", "MB/s (quartiles)", "ms/MB", "CPU ms/MB"])
    per: dict[tuple[str, int], float] = {}
    more = 0.0
    for size, path in files.items():
        names = [name for name in who if size == 1 or "labgrid" not in name]

        def once(name: str, size: int = size, path: Path = path) -> Callable[[], Sample]:
            def run() -> Sample:
                nonlocal more
                Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
                before = _memory("VmRSS")
                seconds, cpu = peers[name].run(f"cat {path}", 1)
                if name == _OURS:
                    more = max(more, _memory("VmHWM") - before - size)
                return {"rate": size / seconds[0], "wall": seconds[0] / size, "cpu": cpu / size}

            return run

        samples = interleaved(rounds, {name: once(name) for name in names})
        for name in names:
            figures = {key: [sample[key] for sample in samples[name]] for key in ("rate", "wall", "cpu")}
            per[name, size] = statistics.median(figures["wall"])
            cpu = statistics.median(figures["cpu"])
            cells = spread(figures["rate"], 1, 1), f"{per[name, size] * 1e3:.1f}", f"{cpu * 1e3:.1f}"
            table.add(name, str(size), *cells)
    table.target("ms/MB at 50 MB over that at 1 MB", per[_OURS, 50] / per[_OURS, 1], 1.5, "x")
    for size in (10, 50):
        table.target(f"s for each MB at {size} MB (20 MB/s)", per[_OURS, size], 0.05, "s")
    table.target("growth of the peak of memory besides the text", more, 20, "MB")
    table.remarks.append("labgrid is asked for 1 MB only, as it takes seconds for each.")
    return table


def _idle(peers: Mapping[str, Peer], rounds: int) -> Table:
    names = [_OURS, "labgrid 26 SerialDriver", "plain pexpect"]

    def once(name: str) -> Callable[[], Sample]:
        return lambda: {"cpu": peers[name].run(f"sleep {_WAIT}", 1)[1]}

    samples = interleaved(min(rounds, 3), {name: once(name) for name in names})
    table = Table(f"Processor time while a command sleeps for {_WAIT} s", ["who", "CPU ms"])
    for name in names:
        table.add(name, spread([sample["cpu"] for sample in samples[name]], 1e3, 1))
    table.target("ours, median", statistics.median(sample["cpu"] for sample in samples[_OURS]) * 1e3, 10, "ms")
    return table


def _memory(name: str) -> float:
    """Megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6

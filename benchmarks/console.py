"""The console at work: small commands, much output, slow lines, waiting; beside labgrid, pexpect and a bare loop."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.boards import BareBoard, qemu_command_line
from benchmarks.faults import hang, panic
from benchmarks.ours import Ours, OursOnBoard, Peer, memory
from benchmarks.peers import Bare, Pexpect, QemuOnPty, Relay, labgrid_qemu, labgrid_serial
from benchmarks.stats import Sample, Table, interleaved, spread
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.serialport import open_serial
from pytest_lava.console.settings import LineSettings
from pytest_lava.console.watch import PATTERNS, FindingKind, Watch

__all__ = ["ROWS", "console"]

_COUNT = 50  # commands in a round, the first five not counted
_FIRST = 5
_WAIT = 10  # seconds
_RATE = 11_520  # bytes a second: 115200 baud, 8N1
_OURS, _MARKERS, _PEXPECT = "ours, agent", "ours, markers", "pexpect, set well"
_LOOP, _SUBSHELL = "bare os.read loop", "the same, each in a subshell"
_QEMU_DRIVER, _SERIAL_DRIVER = "labgrid 26 QEMUDriver", "labgrid 26 SerialDriver"

Makers = Mapping[str, Callable[[], Peer]]


def console(rounds: int, folder: Path) -> str:
    """All tables."""
    return "\n".join(row(rounds, folder / name) for name, row in ROWS.items())


# -- small commands -----------------------------------------------------------------------------------------------


def _pty(rounds: int, folder: Path) -> str:
    with ExitStack() as stack:
        table = _small('`run("true")`, dash on a pty', _on_a_pty(stack, folder), rounds)
    return str(table)


def _qemu(rounds: int, folder: Path) -> str:
    with ExitStack() as stack:
        table = _small('`run("true")`, qemu-arm64, busybox ash', _on_qemu(stack, folder), rounds)
    return str(table)


def _small(title: str, peers: Mapping[str, Peer], rounds: int) -> Table:
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
    if _QEMU_DRIVER in middle:
        table.target("ours / QEMUDriver, medians", middle[_OURS] / middle[_QEMU_DRIVER], 1 / 3, "x")
    else:
        table.target("ours, median", middle[_OURS] * 1e3, 0.5, "ms")
    table.remarks += [
        f"{rounds} interleaved rounds of {_COUNT} commands; the first {_FIRST} of a round are not counted.",
        "Ours returns both streams apart, the status and the time on the board's clock, proven by sums.",
        "labgrid, pexpect and the bare loop return one stream and the status, unproven.",
        "For pexpect and the bare loop `true` is no process: it runs in the shell itself, where a `cd` would stay.",
    ]
    return table


# -- much output --------------------------------------------------------------------------------------------------


def _output(rounds: int, folder: Path) -> str:
    folder.mkdir(parents=True)
    files = {size: folder / f"{size}MB" for size in (1, 10, 50)}
    for size, path in files.items():
        line = b"The quick brown fox jumps over the lazy dog, again and again and again. %07d\n"
        path.write_bytes(b"".join(line % number for number in range(size * 12500))[: size * 1_000_000])
    who = [_OURS, _MARKERS, _PEXPECT, _LOOP, _SERIAL_DRIVER]
    table = Table("Output of one command, dash on a pty", ["who", "MB", "MB/s (quartiles)", "ms/MB", "CPU ms/MB"])
    per: dict[tuple[str, int], float] = {}
    more = {_OURS: 0.0, _MARKERS: 0.0}
    with ExitStack() as stack:
        peers = _on_a_pty(stack, folder)
        for size, path in files.items():

            def once(name: str, size: int = size, path: Path = path) -> Callable[[], Sample]:
                def run() -> Sample:
                    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
                    before = memory("VmRSS")
                    seconds, cpu = peers[name].run(f"cat {path}", 1)
                    if name in more:
                        more[name] = max(more[name], memory("VmHWM") - before - size)
                    return {"rate": size / seconds[0], "wall": seconds[0] / size, "cpu": cpu / size}

                return run

            names = [name for name in who if size == 1 or "labgrid" not in name]
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
    table.target("growth of the peak of memory besides the text", more[_OURS], 20, "MB")
    table.remarks += [
        f"Markers are for boards where no agent can live; their peak of memory grows by {more[_MARKERS]:.0f} MB more.",
        "labgrid is asked for 1 MB only, as it takes seconds for each.",
    ]
    return str(table)


# -- a slow line --------------------------------------------------------------------------------------------------


def _slow(rounds: int, folder: Path) -> str:
    table = Table(
        "A UART that hands over a few bytes at a time: processor time",
        ["line", "who", "KB", "KB/s", "CPU s/MB (quartiles)"],
    )
    with ExitStack() as stack:
        _slow_rows(table, f"pty, {_RATE} B/s", _on_a_slow_pty(stack, folder / "pty"), rounds, 64)
    with ExitStack() as stack:
        ours = _slow_rows(table, "qemu-arm64", _on_qemu(stack, folder / "qemu"), rounds, 512)
    table.target("ours on qemu-arm64, median", ours, 0.5, "s/MB")
    table.remarks += [
        "The program on the board is `dd if=/dev/zero | od -v`. labgrid is asked for an eighth of it on QEMU.",
        "The slow pty hands over 8 bytes at a time and takes 5.7 s for its 64 KB, whoever reads.",
    ]
    return str(table)


def _slow_rows(table: Table, line: str, peers: Mapping[str, Peer], rounds: int, size: int) -> float:
    """Rows of who read ``size`` KB on one line; ours, in seconds a megabyte."""
    names = [name for name in peers if name != _SUBSHELL]
    sizes = {name: size // 8 if "labgrid" in name and "qemu" in line else size for name in names}

    def once(name: str) -> Callable[[], Sample]:
        def run() -> Sample:
            # od writes 64 bytes for 16; so the numbers of KB are those of what comes
            command = f"dd if=/dev/zero bs=256 count={sizes[name]} 2>/dev/null | od -v"
            seconds, cpu = peers[name].run(command, 1)
            return {"rate": sizes[name] * 1024 / seconds[0], "cpu": cpu / (sizes[name] * 1024 / 1e6)}

        return run

    samples = interleaved(rounds, {name: once(name) for name in names})
    for name in names:
        rate = statistics.median(sample["rate"] for sample in samples[name])
        cells = f"{rate / 1e3:.1f}", spread([sample["cpu"] for sample in samples[name]])
        table.add(line, name, str(sizes[name]), *cells)
    return statistics.median(sample["cpu"] for sample in samples[_OURS])


# -- waiting and watching -----------------------------------------------------------------------------------------


def _idle(rounds: int, folder: Path) -> str:
    with ExitStack() as stack:
        peers = _on_a_pty(stack, folder)
        names = [_OURS, _MARKERS, _SERIAL_DRIVER, _PEXPECT]

        def once(name: str) -> Callable[[], Sample]:
            return lambda: {"cpu": peers[name].run(f"sleep {_WAIT}", 1)[1]}

        samples = interleaved(rounds, {name: once(name) for name in names})
    table = Table(f"Processor time while a command sleeps for {_WAIT} s", ["who", "CPU ms (quartiles)"])
    for name in names:
        table.add(name, spread([sample["cpu"] for sample in samples[name]], 1e3, 1))
    for name in (_OURS, _MARKERS):
        table.target(f"{name}, median", statistics.median(s["cpu"] for s in samples[name]) * 1e3, 10, "ms")
    return str(table)


def _watch(rounds: int, folder: Path) -> str:
    corpus = b"".join(
        b"[%12.6f] usb 1-%d: new high-speed USB device number %d using xhci_hcd\r\n"
        b"ok %d - mount: /dev/mmcblk0p%d on /mnt type ext4 (rw,relatime), 0 errors\r\n"
        % (number / 100, number % 8, number % 100, number, number % 9)
        for number in range(15_000)
    )
    regexes = [re.compile(pattern.regex.pattern, pattern.regex.flags) for pattern in PATTERNS]

    def ours(size: int) -> float:
        watch = Watch()
        watch.armed = frozenset({FindingKind.FATAL, FindingKind.BOOT})
        began = time.process_time()
        for at in range(0, len(corpus), size):
            assert not watch.feed(corpus[at : at + size], at)
        return time.process_time() - began

    def each(_: int) -> float:
        began = time.process_time()
        for line in corpus.splitlines():
            assert not any(regex.search(line) for regex in regexes)
        return time.process_time() - began

    table = Table("The watch: processor time for ordinary lines", ["who", "bytes a chunk", "ms/MB (quartiles)"])
    found: dict[int, float] = {}
    for size in (128, 4096, 65536):
        makers = {"ours": ours} | ({"each expression on each line": each} if size == 4096 else {})
        runs = {name: lambda run=run, size=size: {"cpu": run(size)} for name, run in makers.items()}
        for name, samples in interleaved(rounds, runs).items():
            values = [sample["cpu"] / (len(corpus) / 1e6) for sample in samples]
            table.add(name, str(size), spread(values, 1e3, 1))
            if name == "ours":
                found[size] = statistics.median(values)
    table.target("ours, median, at 4096 bytes", found[4096] * 1e3, 30, "ms/MB")
    return str(table)


# -- who takes part -----------------------------------------------------------------------------------------------


def _on_a_pty(stack: ExitStack, folder: Path) -> dict[str, Peer]:
    folder.mkdir(parents=True, exist_ok=True)
    ports = [_relay(stack) for _ in range(2)]
    makers: Makers = {
        _OURS: lambda: Ours(AgentShell, folder / "agent", open_process("dash -i")[0]),
        _MARKERS: lambda: Ours(MarkerShell, folder / "marker", open_process("dash -i")[0]),
        "ours, agent, serial port": lambda: Ours(AgentShell, folder / "serial", open_serial(ports[0], LineSettings())),
        _SERIAL_DRIVER: lambda: labgrid_serial(folder / "labgrid", ports[1], "board:~# "),
        _PEXPECT: Pexpect,
        _LOOP: lambda: Bare.dash(folder),
        _SUBSHELL: lambda: Bare.dash(folder, subshell=True),
    }
    return _made(stack, makers)


def _on_a_slow_pty(stack: ExitStack, folder: Path) -> dict[str, Peer]:
    ports = [_relay(stack, _RATE) for _ in range(4)]
    makers: Makers = {
        _OURS: lambda: Ours(AgentShell, folder / "agent", open_serial(ports[0], LineSettings())),
        _MARKERS: lambda: Ours(MarkerShell, folder / "marker", open_serial(ports[1], LineSettings())),
        _SERIAL_DRIVER: lambda: labgrid_serial(folder / "labgrid", ports[2], "board:~# "),
        _LOOP: lambda: Bare.port(ports[3]),
    }
    return _made(stack, makers)


def _on_qemu(stack: ExitStack, folder: Path) -> dict[str, Peer]:
    argv = qemu_command_line("qemu-arm64", folder / "warm-up")

    def bare() -> BareBoard:
        board = stack.enter_context(BareBoard("qemu-arm64", argv))
        board.expect(b"~ # ")
        return board

    def port() -> str:
        machine = QemuOnPty()
        stack.callback(machine.close)
        return machine.port

    def loop(*, subshell: bool) -> Bare:
        board = bare()
        return Bare(board.send, board.fileno(), lambda: None, subshell=subshell)

    makers: Makers = {
        _OURS: lambda: OursOnBoard(AgentShell, "qemu-arm64", folder / "agent"),
        _MARKERS: lambda: OursOnBoard(MarkerShell, "qemu-arm64", folder / "marker"),
        _QEMU_DRIVER: lambda: labgrid_qemu(folder / "labgrid-qemu"),
        _SERIAL_DRIVER: lambda: labgrid_serial(folder / "labgrid-serial", port(), "~ # "),
        _PEXPECT: lambda: Pexpect(port(), "~ # "),
        _LOOP: lambda: loop(subshell=False),
        _SUBSHELL: lambda: loop(subshell=True),
    }
    return _made(stack, makers)


def _relay(stack: ExitStack, rate: float = 0) -> str:
    relay = Relay(rate)
    stack.callback(relay.close)
    return relay.port


def _made(stack: ExitStack, makers: Makers) -> dict[str, Peer]:
    """One after the other, each closed at the end, also if a later one cannot be made."""
    peers: dict[str, Peer] = {}
    for name, make in makers.items():
        peers[name] = make()
        stack.callback(peers[name].close)
    return peers


#: each can be run by itself, as ``console-pty`` and so on
ROWS: dict[str, Callable[[int, Path], str]] = {
    "pty": _pty,
    "qemu": _qemu,
    "output": _output,
    "slow": _slow,
    "watch": _watch,
    "idle": _idle,
    "panic": panic,
    "hang": hang,
}

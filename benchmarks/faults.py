"""When a board dies or a command does not end: from the kernel's last line, or from the time limit, to the error."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.ours import Ours, OursOnBoard
from benchmarks.peers import labgrid_qemu
from benchmarks.stats import Sample, Table, interleaved, spread
from pytest_lava.board.board import Board
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.bytelog import moment
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.deadline import Deadline
from pytest_lava.errors import Hang, KernelCrash, LavaError
from pytest_lava.power.qemu import QemuMachine

__all__ = ["hang", "panic"]

_BOARD = "qemu-arm64"
_PANIC = "echo c >/proc/sysrq-trigger"
_LATER = f"(usleep 300000; {_PANIC}) >/dev/null 2>&1 </dev/null &"
_SAID = b"Kernel panic - not syncing"
_PATIENCE = 30.0  # seconds, the time limit of ours, which nothing here gets to
_LIMIT = 5.0  # seconds, that of labgrid
_OVER = 1.0  # seconds, the time limit of commands that do not end
_BUSY = "trap '' INT; while :; do :; done"
_LABGRID = "labgrid 26 QEMUDriver"

Shell = AgentShell | MarkerShell


# -- a panic -------------------------------------------------------------------------------------------------------


def _in_a_command(shell: Shell, board: Board) -> None:
    shell.run(_PANIC, timeout=_PATIENCE)


def _streaming(shell: Shell, board: Board) -> None:
    assert isinstance(shell, AgentShell)
    shell.run(_PANIC, timeout=_PATIENCE, on_output=lambda data: None)


def _in_silence(shell: Shell, board: Board) -> None:
    shell.run(_LATER)
    board.console.wait(lambda: None, Deadline.after(_PATIENCE), what="panic")


def _interactive(shell: Shell, board: Board) -> None:
    shell.sendline(_PANIC)
    shell.expect("never", timeout=_PATIENCE)


#: in what the board dies: how we speak to it, how, and the limit in seconds
_WAYS: dict[str, tuple[type[Shell], Callable[[Shell, Board], None], float]] = {
    "ours, framed command": (AgentShell, _in_a_command, 0.1),
    "ours, silence": (AgentShell, _in_silence, 0.1),
    "ours, output live": (AgentShell, _streaming, 1.2),
    "ours, markers": (MarkerShell, _in_a_command, 1.2),
    "ours, interactive program": (AgentShell, _interactive, 1.2),
}


def panic(rounds: int, folder: Path) -> str:
    """Each round boots a board of each kind and panics it."""
    boots = iter(range(10_000))

    def ours(way: str) -> Callable[[], Sample]:
        kind, die, _ = _WAYS[way]
        return lambda: {"seconds": _seconds_to_verdict(kind, die, folder / str(next(boots)))}

    def labgrid() -> Sample:
        peer = labgrid_qemu(folder / str(next(boots)))
        try:
            return {"seconds": peer.gives_up(_PANIC, _LIMIT)}
        finally:
            peer.close()

    samples = interleaved(rounds, {**{way: ours(way) for way in _WAYS}, _LABGRID: labgrid})
    table = Table(f"From a panic's line to the error, {_BOARD}", ["where it was met", "ms (quartiles)", "slowest ms"])
    for name, found in samples.items():
        seconds = [sample["seconds"] for sample in found]
        table.add(name, spread(seconds, 1e3, 0), f"{max(seconds) * 1e3:.0f}")
        if name in _WAYS:
            table.target(f"{name}, median", statistics.median(seconds), _WAYS[name][2], "s")
    table.remarks += [
        "The line's own time is that of its bytes in the console log; the error carries the whole trace.",
        f"labgrid knows no panic: its time limit ends the command, here {_LIMIT:g} s, with what it had read.",
    ]
    return str(table)


def _seconds_to_verdict(kind: type[Shell], die: Callable[[Shell, Board], None], folder: Path) -> float:
    peer = OursOnBoard(kind, _BOARD, folder)
    try:
        board, start = peer.board, peer.board.console.end
        try:
            die(peer.shell, board)
        except KernelCrash:
            at = time.time_ns()
        else:
            raise RuntimeError("the board did not panic")
        offset = start + board.console.read(start).index(_SAID)
        return (at - moment(board.console.log, offset)) / 1e9
    finally:
        peer.close()


# -- a command that does not end ------------------------------------------------------------------------------------


def hang(rounds: int, folder: Path) -> str:
    """From the time limit to the first rung's answer, or to the verdict where none comes."""
    with ExitStack() as stack:
        shells: dict[str, Shell] = {}
        for name, kind in (("agent", AgentShell), ("markers", MarkerShell)):
            local = Ours(kind, folder / f"pty-{name}", open_process("dash -i")[0])
            stack.callback(local.close)
            shells[f"ours, {name}, dash on a pty"] = local.shell
        remote = OursOnBoard(AgentShell, _BOARD, folder / "board")
        stack.callback(remote.close)
        shells[f"ours, agent, {_BOARD}"] = remote.shell

        def over(name: str, command: str) -> Callable[[], Sample]:
            return lambda: {"late": _late(shells[name], command)}

        def stopped() -> Sample:
            machine = remote.board._power
            assert isinstance(machine, QemuMachine)
            machine.pause(Deadline.after(5))
            try:
                return {"late": _late(remote.shell, "true")}
            finally:
                machine.resume(Deadline.after(5))
                remote.shell.check("true")

        cases = {(name, "`sleep` for ever"): over(name, "sleep 100000") for name in shells}
        cases |= {(name, "busy loop that ignores Ctrl-C"): over(name, _BUSY) for name in shells}
        cases[f"ours, agent, {_BOARD}", "QEMU stopped"] = stopped
        samples = interleaved(rounds, {" / ".join(case): run for case, run in cases.items()})
    table = Table(
        f"A command over its time limit of {_OVER:g} s: from the limit to the error",
        ["who", "what", "s (quartiles)", "slowest s"],
    )
    for who, what in cases:
        late = [sample["late"] for sample in samples[f"{who} / {what}"]]
        table.add(who, what, spread(late, 1, 3), f"{max(late):.3f}")
        if "sleep" in what:
            table.target(f"{who}, {what}, median", statistics.median(late), 0.2, "s")
    table.remarks += [
        "The first rung is Ctrl-C. It has 2 s before Ctrl-\\ comes, which ends the busy loop.",
        "A stopped QEMU answers no rung: the error then says that the board is dead. All limits are in docs/boards.md.",
    ]
    return str(table)


def _late(shell: Shell, command: str) -> float:
    began = time.monotonic()
    try:
        shell.run(command, timeout=_OVER)
    except LavaError as error:
        seconds = time.monotonic() - began
        if error.responsiveness is None or (isinstance(error, Hang) and command == _BUSY):
            raise
        return seconds - _OVER
    raise RuntimeError(f"{command} ended")

"""A shell of ours behind a slow line, and files to move over it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
from pytest_lava.events import EventLog
from pytest_lava.transfer.api import Mode, Network
from pytest_lava.transfer.blocks import RawSerial
from pytest_lava.transfer.files import FileTransfer
from pytest_lava.transfer.shells import networks_of, serial_of
from pytest_lava.transfer.ways import Ways
from support.slowline import SlowLine

__all__ = ["Bench", "noise", "open_bench", "prose"]


def noise(size: int, seed: int = 1) -> bytes:
    """What cannot be compressed."""
    return random.Random(seed).randbytes(size)


def prose(size: int, seed: int = 1) -> bytes:
    """What can be compressed as well as a log or a source file: about to a quarter."""
    chance = random.Random(seed)
    words = [bytes(chance.choices(b"etaoinshrdlucmfwyp", k=chance.randint(2, 9))) for _ in range(2000)]
    text = b" ".join(words[min(1999, int(chance.expovariate(1 / 200)))] for _ in range(size // 4))
    return text[:size]


@dataclass
class Bench:
    """All that a transfer test needs; ``folder`` is on both sides, as the board is this machine."""

    folder: Path
    console: Console
    inner: Transport
    line: SlowLine
    shell: AgentShell | MarkerShell
    files: FileTransfer
    serial: RawSerial | None

    @property
    def wire(self) -> int:
        """Bytes that were on the line either way, but for kernel messages."""
        return self.line.sent + self.line.received

    @property
    def events(self) -> str:
        """What the event log says."""
        return (self.folder / "events.jsonl").read_text()

    def throttle(self, rate: float) -> None:
        """Make the line slow, and tell what a first contact over a slow one would have shown."""
        self.line.rate = rate
        if self.serial is not None:
            self.serial.line.out.rate = self.serial.line.back.rate = rate

    def again(self) -> SlowLine:
        """Plug the line in once more after a cut, with no faults."""
        self.line = SlowLine(self.inner)
        self.console.attach(self.line)
        return self.line


@contextmanager
def open_bench(
    folder: Path,
    command: str = "dash -i",
    *,
    markers: bool = False,
    mode: Mode = "serial",
    network: Network = Network(),  # noqa: B008 - it is frozen
    strips: bool = False,
    seed: int = 1,
) -> Iterator[Bench]:
    """The line is as fast and good as it gets until the test says otherwise."""
    console = Console(folder / "console.log")
    inner, _ = open_process(command)
    try:
        line = SlowLine(inner, strips=strips, seed=seed)
        console.attach(line)
        shell = MarkerShell(console) if markers else AgentShell(console)
        # a shell that starts may drop what is typed before its prompt
        console.wait(lambda: console.end or None, Deadline.after(10), what="prompt")
        shell.take_over(Deadline.after(10))
        board, serial = serial_of(shell, console)
        with closing(EventLog(folder / "events.jsonl")) as events:
            files = FileTransfer(board, Ways(serial, networks_of(board, network), mode, events), console)
            raw = serial if isinstance(serial, RawSerial) else None
            yield Bench(folder, console, inner, line, shell, files, raw)
    finally:
        console.close()
        inner.close()

"""A shell with our agent behind a slow line, and files to move over it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.files import SerialFiles
from pytest_lava.console.process import open_process
from pytest_lava.console.transport import Transport
from pytest_lava.deadline import Deadline
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
    shell: AgentShell
    files: SerialFiles

    @property
    def wire(self) -> int:
        """Bytes that were on the line either way, but for kernel messages."""
        return self.line.sent + self.line.received

    def again(self) -> SlowLine:
        """Plug the line in once more after a cut, with no faults."""
        self.line = SlowLine(self.inner)
        self.console.attach(self.line)
        return self.line


@contextmanager
def open_bench(folder: Path, command: str = "dash -i", *, strips: bool = False, seed: int = 1) -> Iterator[Bench]:
    """The line is as fast and good as it gets until the test says otherwise."""
    console = Console(folder / "console.log")
    inner, _ = open_process(command)
    try:
        line = SlowLine(inner, strips=strips, seed=seed)
        console.attach(line)
        shell = AgentShell(console)
        # a shell that starts may drop what is typed before its prompt
        console.wait(lambda: console.end or None, Deadline.after(10), what="prompt")
        shell.take_over(Deadline.after(10))
        yield Bench(folder, console, inner, line, shell, SerialFiles(shell, console))
    finally:
        console.close()
        inner.close()

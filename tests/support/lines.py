"""Lines to real shells, and a fault line that puts kernel records between any two bytes of one."""

from __future__ import annotations

import os
import random
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_lava.boot.api import BootContext
from pytest_lava.boot.login import log_in
from pytest_lava.config.model import Login
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.transport import Transport
from pytest_lava.console.watch import FindingKind
from pytest_lava.deadline import Deadline
from pytest_lava.events import EventLog

__all__ = ["SHELLS", "FaultLine", "Peer", "end_board", "open_agent", "open_shell", "soon"]

#: every shell that can be had here; scripts/setup-host installs busybox and mksh
SHELLS = {
    "dash": "dash -i",
    "bash": "bash --norc --noprofile -i",
    "busybox": "busybox sh -i",
    "mksh": "mksh -i",
}


def soon(seconds: float = 10) -> Deadline:
    """Enough for what takes no time."""
    return Deadline.after(seconds)


def end_board(shell: subprocess.Popen[bytes]) -> None:
    """Kill a shell that plays a board behind a wire. A real one loses its memory, so the files in it go too."""
    shell.kill()
    shell.wait()
    for left in Path("/dev/shm").glob(f".lava{shell.pid}*"):
        if re.fullmatch(rf"\.lava{shell.pid}(\..*)?", left.name):
            left.unlink(missing_ok=True)


@contextmanager
def open_shell(
    folder: Path, command: str = "dash -i", *, line: Transport | None = None, login: Login | None = None
) -> Iterator[MarkerShell]:
    """A shell spoken to by markers, its log in ``folder``, got the way a board gets it: by logging in."""
    console = Console(folder / "console.log")
    try:
        console.attach(line or open_process(command)[0])
        login = (login or Login()).model_copy(update={"protocol": "marker"})
        context = BootContext("here", console, login, EventLog(), 60)
        shell = log_in(context, soon(), nudge_at_once=line is not None)
        assert isinstance(shell, MarkerShell)
        yield shell
    finally:
        console.close()


@contextmanager
def open_agent(folder: Path, command: str = "dash -i", *, line: Transport | None = None) -> Iterator[AgentShell]:
    """A shell on a console with its log in ``folder``, spoken to by the agent protocol from its first prompt on."""
    console = Console(folder / "console.log")
    try:
        console.attach(line or open_process(command)[0])
        shell = AgentShell(console)
        console.write(b"\n", soon())
        console.expect([re.compile(rb"[$#] ?(?:\x1b\[6n)?")], deadline=soon())
        console.arm(FindingKind.FATAL, FindingKind.BOOT)
        shell.take_over(soon())
        yield shell
    finally:
        console.close()


class Peer:
    """The other end of a console's line, played by the test: what a board says, and what it is told."""

    def __init__(self, console: Console) -> None:
        ours, self.line = socket.socketpair()
        console.attach(FdTransport(ours, "peer", why_closed=lambda: "the peer went"))

    def says(self, data: bytes) -> None:
        """Send this to the console, unless that has hung up."""
        with suppress(OSError):
            self.line.sendall(data)

    def hears(self, count: int = 65536) -> bytes:
        """What the console typed; waits for it."""
        self.line.settimeout(5)
        return self.line.recv(count)

    def close(self) -> None:
        """Hang up."""
        self.line.close()


class FaultLine:
    """A transport around another one. Of its chunks ``hit`` (a share from 0 to 1) get a kernel record somewhere.

    ``single`` gives the console one byte a read, as the poorest adapters do. ``flip`` is the share of bytes from the
    board that arrive wrong, ``refuse`` how many writes to it lose their last byte but one.
    """

    def __init__(
        self,
        line: Transport,
        *,
        hit: float = 0.0,
        seed: int = 0,
        single: bool = False,
        flip: float = 0.0,
        refuse: int = 0,
    ) -> None:
        self._line = line
        self._hit, self._single = hit, single
        #: may be changed while it runs
        self.flip, self.refuse = flip, refuse
        self._random = random.Random(seed)
        self.records = 0
        kind = socket.SOCK_SEQPACKET if single else socket.SOCK_STREAM
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, kind)
        self._ours.setblocking(False)
        self._stop = os.eventfd(0)
        self._pump = threading.Thread(target=self._run, daemon=True)
        self._pump.start()

    name = "fault line"

    def fileno(self) -> int:
        return self._ours.fileno()

    def read(self) -> bytes:
        return os.read(self._ours.fileno(), 65536)

    def write(self, data: bytes, deadline: Deadline) -> None:
        if self.refuse and len(data) > 2:
            self.refuse -= 1
            data = data[:-2] + data[-1:]
        self._line.write(data, deadline)

    def send_break(self, seconds: float = 0.25) -> None:
        self._line.send_break(seconds)

    def why_closed(self) -> str:
        return self._line.why_closed()

    def close(self) -> None:
        if self._ours.fileno() < 0:
            return
        os.eventfd_write(self._stop, 1)
        self._ours.close()
        self._pump.join()
        os.close(self._stop)
        self._line.close()

    def _run(self) -> None:
        source = self._line.fileno()
        try:
            while self._stop not in select.select([source, self._stop], [], [])[0]:
                chunk = os.read(source, 65536)
                if self._random.random() < self._hit:
                    at = self._random.randint(0, len(chunk))
                    chunk = chunk[:at] + self._record() + chunk[at:]
                chunk = self._flipped(chunk) if self.flip else chunk
                for piece in [bytes([byte]) for byte in chunk] if self._single else [chunk]:
                    self._theirs.sendall(piece)
        except OSError:
            pass  # either end is gone
        self._theirs.close()

    def _flipped(self, chunk: bytes) -> bytes:
        return bytes(byte ^ 0x20 if self._random.random() < self.flip else byte for byte in chunk)

    def _record(self) -> bytes:
        self.records += 1
        seconds = self._random.uniform(0, 99999)
        caller = self._random.choice([b"", b"", b"[    T1] ", b"[  C0] "])
        text = self._random.choice([b"random: crng init done", b"usb 1-1: new high-speed USB device", b"x" * 300])
        return b"[%12.6f] %s%s\r\n" % (seconds, caller, text)

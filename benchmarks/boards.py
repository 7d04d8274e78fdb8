"""The emulated boards: ours through the library, and bare: a loop around ``os.read`` on the same QEMU command line."""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from benchmarks.venvs import CHECKOUT
from pytest_lava.board.board import Board, State
from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import board_folders
from pytest_lava.events import EventLog
from pytest_lava.images.cache import cache_dir
from pytest_lava.lab.guardian import Guardian
from pytest_lava.plan import CachePlan
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.preparation import Preparation
from pytest_lava.registry import Registry, plugin_manager

__all__ = ["BareBoard", "direct_boot", "loop_round_trips", "our_board", "qemu_command_line"]

_PROMPT = b"~ # "
_PATIENCE = 60  # seconds without a byte
#: what is typed at U-Boot, as boards/qemu-arm64.toml has it; checked against the log of our own boot
_UBOOT = {
    "qemu-arm64": (
        b'setenv bootargs "console=ttyAMA0 loglevel=5 sysrq_always_enabled"',
        b"load virtio 0 ${kernel_addr_r} Image",
        b"load virtio 0 ${ramdisk_addr_r} initrd.img",
        b"booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}",
    )
}


@contextmanager
def our_board(name: str, folder: Path, *, snapshots: bool = False) -> Iterator[Board]:
    """One of our boards, deployed and switched off; its logs go to ``folder``, and a cache if it keeps its state."""
    folder.mkdir(parents=True, exist_ok=True)
    with Guardian() as guardian:
        files = BoardFiles(board_folders(CHECKOUT), Registry(plugin_manager()))
        target = make_plan(Options(boards=(name,)), files, folder, guardian).targets[0]
        events = EventLog(folder / "events.jsonl")
        preparation = Preparation([target], CachePlan(folder / "cache" if snapshots else cache_dir()), events)
        prepared = preparation.of(target)
        board = Board(
            target.request.candidates[0], log=folder / "console.log", guard=guardian, events=events,
            shelf=preparation.shelf, snapshots=snapshots,
        )  # fmt: skip
        try:
            board.deploy(prepared.kernel, prepared.image)
            yield board
        finally:
            board.close()
            preparation.close()
            events.close()


def qemu_command_line(name: str, folder: Path) -> list[str]:
    """How our board starts QEMU. Boots it once, which also fills the caches of the machine."""
    with our_board(name, folder) as board:
        board.reach(State.SHELL)
        said = board.console.read(0)
    for typed in _UBOOT.get(name, ()):
        if typed not in said:
            raise RuntimeError(f"boards/{name}.toml has changed: our boot does not type {typed!r} any more")
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["message"] == "power on":
            return shlex.split(event["command"])
    raise RuntimeError("our own run did not tell how it started QEMU")


def direct_boot(argv: list[str]) -> tuple[str, str, str]:
    """Kernel, initrd and kernel arguments of a direct boot."""
    kernel, initrd, append = (argv[argv.index(option) + 1] for option in ("-kernel", "-initrd", "-append"))
    return kernel, initrd, append


class BareBoard:
    """The floor: two pipes, ``os.read`` and ``bytes.find``. No log, no watch, no limit worth the name, no result.

    ``seconds`` is from the start of QEMU until the shell at its prompt has answered a command.
    """

    def __init__(self, name: str, argv: list[str]) -> None:
        self._line, its_output = os.pipe()
        its_input, self._out = os.pipe()
        began = time.monotonic()
        command = [*argv, "-chardev", "stdio,id=console,signal=off"]
        self._process = subprocess.Popen(command, stdin=its_input, stdout=its_output)
        os.close(its_input)
        os.close(its_output)
        self._seen = b""
        try:
            self._boot(_UBOOT.get(name, ()))
        except BaseException:
            self.close()
            raise
        self.seconds = time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Type."""
        while data:
            data = data[os.write(self._out, data) :]

    def fileno(self) -> int:
        """The line, for who reads it without us."""
        return self._line

    def expect(self, text: bytes) -> None:
        """Wait for ``text`` and forget all up to its end."""
        while (at := self._seen.find(text)) < 0:
            if not select.select([self._line], [], [], _PATIENCE)[0]:
                raise RuntimeError(f"a bare board says nothing more; last {self._seen[-200:]!r}")
            self._seen += os.read(self._line, 65536)
        self._seen = self._seen[at + len(text) :]

    def round_trips(self, count: int) -> list[float]:
        """Seconds of each ``true``, in a loop that reads plain lines: no line editing, no echo, no prompt."""
        self.expect(_PROMPT)
        return loop_round_trips(self.send, self.expect, count)

    def close(self) -> None:
        """Kill QEMU."""
        self._process.kill()
        self._process.wait()
        os.close(self._line)
        os.close(self._out)

    def _boot(self, uboot: tuple[bytes, ...]) -> None:
        if uboot:
            self.expect(b"Hit any key to stop autoboot")
            self.send(b" ")
        for command in uboot:
            self.expect(b"\n=> ")
            self.send(command + b"\n")
        self.expect(_PROMPT)
        self.send(b"echo answer $((6 * 7))\n")
        self.expect(b"answer 42\r\n")


def loop_round_trips(send: Callable[[bytes], None], expect: Callable[[bytes], None], count: int) -> list[float]:
    """The cheapest exact way to run commands on a tty; ``send`` and ``expect`` as those of :class:`BareBoard`."""
    send(b'stty -echo -opost; echo rea\'\'dy; while read -r l; do eval "$l"; echo "@$?"; done\n')
    expect(b"ready\n")
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        send(b"true\n")
        expect(b"@0\n")
        seconds.append(time.perf_counter() - began)
    return seconds

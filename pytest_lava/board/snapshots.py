"""The state of an emulated board right after its boot, kept in the cache and resumed later, under honest keys.

A key holds every input of that state. What is found is whole: it was renamed into place, and its check value is looked
at again whenever its file is not the one that was looked at before.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_lava.board.inventory import Inventory
from pytest_lava.board.record import Resumed
from pytest_lava.board.reseed import reseeding
from pytest_lava.config.boards import BoardConfig
from pytest_lava.console import agent
from pytest_lava.console.agent import AgentShell, script_of
from pytest_lava.console.console import Console
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.deploy.api import Deployment
from pytest_lava.durably import sync_file
from pytest_lava.errors import ConfigurationError, ConsoleLost, InfrastructureError, LavaError, PowerError
from pytest_lava.events import EventLog, utc_now
from pytest_lava.images.memo import remembered, sha256_of
from pytest_lava.images.shelf import Shelf
from pytest_lava.power.api import KeepsState, Power

__all__ = ["Snapshot", "Snapshots", "newest", "snapshots_of"]

_VERSION = 4  # of all that this module writes
_ABOUT = "about.json"
_KEEP = 60.0  # seconds, also for another run that keeps the same state
_PING = 1.0
_PROBE = 5.0  # seconds that a resumed shell has to answer
_CALM = 5.0  # seconds of the board's time in which it may complain of a stall, as time jumped
_CLOCK_ERROR = 2  # seconds that a board's clock may differ from ours because we look at both one after the other
_PIECE = 1 << 20
_ENTROPY = 64
_PROGRAM = "$__f.r"  # the agent's own files lie where it found a folder that can be written
#: tables of a board file that the state depends on, beside ``power``, which the machine's identity covers
_TABLES = {"console", "deploy", "boot", "login", "arch"}


@dataclass(frozen=True)
class Snapshot:
    """A state of ``board`` in ``folder``. ``saved`` is an ISO time, ``uptime`` the board's own (seconds), ``clock`` by
    how many seconds the board's clock was ahead of ours, ``machine`` what ``uname -m`` said, ``checks`` are the
    check values of its files."""

    folder: Path
    board: str
    saved: str
    uptime: float
    clock: int
    machine: str
    checks: Mapping[str, int]
    inventory: Inventory


def snapshots_of(config: BoardConfig, power: Power, shelf: Shelf, events: EventLog) -> Snapshots | None:
    """Those of a board; None if its machine cannot keep its state."""
    if isinstance(power, KeepsState) and power.keeps_state and config.model.console.url == "power":
        return Snapshots(config, power, shelf, events)
    return None


def newest(cache: Path, board: str) -> str:
    """When the newest state of a board was kept (ISO time), whatever its key; empty if there is none."""
    found = [""]
    for path in (cache / "snapshots").glob(f"[!.]*/{_ABOUT}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            about = json.loads(path.read_bytes())
            found += [about["saved"]] if about["board"] == board else []
    return max(found)


class Snapshots:
    """The states of one board. Trouble with them is told, not raised: then the board really boots."""

    def __init__(self, config: BoardConfig, machine: KeepsState, shelf: Shelf, events: EventLog) -> None:
        self.machine = machine
        self._config = config
        self._shelf = shelf
        self._events = events
        self._key: str | None = None

    def find(self, deployment: Deployment) -> Snapshot | None:
        """The state that this deployment leads to, if it was kept; what is damaged is removed."""
        try:
            self._key = self.key_of(deployment)
            folder = self._shelf.find("snapshots", self._key)
        except (ConfigurationError, OSError, PowerError) as error:
            self._key = None
            self._events.emit(f"no snapshots: {error}")
            return None
        if folder is None:
            return None
        try:
            about = json.loads((folder / _ABOUT).read_bytes())
            snapshot = Snapshot(folder, **{**about, "inventory": Inventory.from_json(about["inventory"])})
            for name, check in snapshot.checks.items():
                if remembered(folder / name, "crc32", _check, self._shelf.folder) != check:
                    raise ValueError(f"{name} has another check value")
        except (OSError, ValueError, TypeError, KeyError, ConfigurationError) as error:
            self.discard(folder, f"it is damaged: {error}")
            return None
        return snapshot

    def keep(self, shell: Shell, inventory: Inventory) -> None:
        """Keep the state of the board that has just booted as what :meth:`find` looked for, unless it is there.

        ``PowerError`` only if the board does not go on.
        """
        if self._key is None:
            return
        if not isinstance(shell, AgentShell):
            self._events.emit("no snapshot: no agent lives on this board, whose line could be taken up again")
            return
        begin, limit = monotonic(), Deadline.after(_KEEP)

        def make(folder: Path) -> None:
            folder.mkdir()
            saved, (clock, uptime, machine) = utc_now(), _facts(shell)
            self.machine.keep(folder, limit)
            checks = {path.name: _check(path) for path in sorted(folder.iterdir())}
            about = asdict(Snapshot(folder, self._config.name, saved, uptime, clock, machine, checks, inventory))
            del about["folder"]
            (folder / _ABOUT).write_text(json.dumps(about))
            for path in folder.iterdir():
                sync_file(path)

        try:
            name = f"booted {self._config.name}"
            path = self._shelf.make("snapshots", self._key, make, name=name, deadline=limit)
        except (InfrastructureError, OSError) as error:
            self._events.emit(f"no snapshot: {error}", level="warning" if isinstance(error, OSError) else "info")
            if not shell.alive(Deadline.after(_PROBE)):
                raise PowerError(f"the board stands still since its state could not be kept: {error}") from error
        else:
            self._events.emit("kept the booted state", snapshot=path.name, seconds=round(monotonic() - begin, 3))

    def discard(self, folder: Path, why: str) -> None:
        """It is of no use: tell so, and remove it."""
        self._events.emit(f"the board really boots, its snapshot {folder.name} cannot be used: {why}", level="warning")
        with suppress(OSError):
            self._shelf.drop(folder)

    def take_up(self, snapshot: Snapshot, console: Console) -> AgentShell:
        """The shell of a board that was just resumed, whose agent lives on. ``ConsoleLost`` if it does not answer."""
        console.calm(snapshot.uptime + _CALM)
        limits = self._config.model.timeouts
        shell = AgentShell(console, timeout=limits.command, silence=limits.silence)
        # the tty is as the agent left it, so there is nothing to heal
        if not (shell.ping(Deadline.after(_PING)) or shell.alive(Deadline.after(_PROBE))):
            raise ConsoleLost("the shell does not answer")
        return shell

    def resumed(self, snapshot: Snapshot) -> Resumed:
        """What is known of a board in that state without asking it."""
        return Resumed(snapshot.saved, self._freshening(snapshot), snapshot.inventory)

    def _freshening(self, snapshot: Snapshot) -> str:
        """Commands that set the clock of a resumed board and its random numbers; on stderr is what went wrong."""
        now = round(time.time() + snapshot.clock)  # to the nearest second: what a command takes is of that order
        noise = secrets.token_bytes(_ENTROPY)
        return f"{reseeding(snapshot.machine, noise, _PROGRAM)}date -u -s @{now} >/dev/null; "

    def key_of(self, deployment: Deployment) -> str:
        """A hash of all that the state after a boot of ``deployment`` depends on. ``PowerError`` if there is none."""
        cache, kernel, image = self._shelf.folder, deployment.kernel, deployment.image
        files = [kernel.file.path, kernel.initrd, kernel.dtb] if kernel else []
        inputs = {
            "version": _VERSION,
            "machine": self.machine.identity(cache),
            "board": self._config.model.model_dump(mode="json", include=_TABLES),
            "files": [sha256_of(path, cache) if path else "" for path in files],
            "image": image.sha256 if image else "",
            # what boot commands name, but for the port of a server that is another one each time
            "names": {name: text for name, text in deployment.files.items() if name != "port"},
            "agent": [script_of("agent.sh"), hashlib.sha256(Path(agent.__file__).read_bytes()).hexdigest()],
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:40]


def _facts(shell: Shell) -> tuple[int, float, str]:
    """By how many seconds the board's clock is ahead of ours, the seconds since it booted, and what it is."""
    try:
        said = shell.run(
            f": >{_PROGRAM}; chmod 700 {_PROGRAM}; date +%s; uname -m; cat /proc/uptime", timeout=_PROBE
        ).stdout.split()
        ahead, machine, uptime = int(said[0]) - round(time.time()), said[1], float(said[2])
    except (LavaError, ValueError, IndexError) as error:
        raise PowerError(f"the board tells neither time nor uptime: {error}") from error
    return (0 if abs(ahead) <= _CLOCK_ERROR else ahead), uptime, machine


def _check(path: Path) -> int:
    check = 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(_PIECE):
            check = zlib.crc32(data, check)
    return check

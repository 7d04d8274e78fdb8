"""One run in the spool: what each sink is to get, and how far each has come.

::

    new/20261127-120000-<run uuid>/     or sent/, failed/
        item.json                   what it is: {v, uuid, created, run, sinks: [{name, kind, options, files, settings}]}
        parcels/<sink>/...          what is sent; its bytes never change
        state/<sink>.json           {status, tries, tried, pause, reason, receipt, progress, options}
        damage                      why it was set aside, if it was

``created`` and ``tried`` are seconds of the wall clock; ``files`` holds ``[size, sha256]`` of each file by its path. A
missing or torn state is a new one: sinks are idempotent, so nothing is doubled by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pytest_lava.durably import place_file

__all__ = [
    "DAMAGE",
    "ITEM",
    "PARCELS",
    "STATE",
    "VERSION",
    "Entry",
    "Item",
    "State",
    "files_of",
    "read_item",
]

ITEM, PARCELS, STATE, DAMAGE = "item.json", "parcels", "state", "damage"
VERSION = 1
_PIECE = 1 << 20


@dataclass(frozen=True)
class State:
    """How far one sink has come. ``pause`` seconds after ``tried`` another try is due; ``receipt`` is {id, url}.

    ``options`` are those of the last try, where they are not the item's any more; ``progress`` is what came of them.
    """

    status: str = "waiting"  # waiting, sent, failed
    tries: int = 0
    tried: float = 0.0
    pause: float = 0.0
    reason: str = ""
    receipt: Mapping[str, str] = field(default_factory=dict)
    progress: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] | None = None

    def due(self, now: float) -> bool:
        """Whether another try may be made. A clock that was set back makes it due: that is harmless, waiting is not."""
        return self.status == "waiting" and not self.tried <= now < self.tried + self.pause


_FIELDS = frozenset(one.name for one in fields(State))  # a newer version may have more


@dataclass(frozen=True)
class Entry:
    """One sink of an item. ``settings`` is the file that has its table; what that says today counts when it is sent."""

    name: str
    kind: str
    options: Mapping[str, Any]
    files: Mapping[str, tuple[int, str]]
    settings: str = ""

    @property
    def url(self) -> str:
        """Where it leads, for people."""
        return str(self.options.get("url", "")).partition("?")[0]

    def is_for(self, stored: Mapping[str, Any]) -> bool:
        """Whether it is the same sink as one that ``SinkChoice.as_json`` tells, by its options, or by its table if no
        more than the URL there was corrected."""
        if self.settings and (self.name, self.settings) == (stored["name"], stored.get("settings")):
            return self.kind == stored["kind"] and _but_url(self.options) == _but_url(stored["options"])
        return (self.kind, dict(self.options)) == (stored["kind"], stored["options"])

    def by(self, state: State) -> Entry:
        """As it was last tried."""
        return self if state.options is None else replace(self, options=state.options)

    @property
    def as_json(self) -> dict[str, Any]:
        """What ``made_from`` makes its sink from."""
        return {"name": self.name, "kind": self.kind, "options": dict(self.options), "settings": self.settings}


@dataclass(frozen=True, eq=False)
class Item:
    """One run in the spool. ``damage`` says why it cannot be read; then nothing else is known but its folder."""

    folder: Path
    uuid: str = ""
    created: float = 0.0
    run: str = ""
    entries: tuple[Entry, ...] = ()
    damage: str = ""

    @property
    def name(self) -> str:
        """By which people call it."""
        return self.folder.name

    @property
    def place(self) -> str:
        """``new``, ``sent`` or ``failed``."""
        return self.folder.parent.name

    def parcel(self, entry: Entry) -> Path:
        """The folder of what ``entry`` gets."""
        return self.folder / PARCELS / entry.name

    def state(self, entry: Entry) -> State:
        """How far it has come. A state that cannot be read is a new one."""
        try:
            found = json.loads((self.folder / STATE / f"{entry.name}.json").read_bytes())
            state = State(**{name: value for name, value in found.items() if name in _FIELDS})
            float(state.tried), float(state.pause), int(state.tries)
        except (OSError, ValueError, TypeError, AttributeError):
            return State()
        return state

    def write_state(self, entry: Entry, state: State) -> None:
        """Durably. Only who has the lock may. ``OSError``."""
        told = {name: value for name, value in asdict(state).items() if value is not None}
        data = json.dumps(told, indent=1, sort_keys=True).encode()
        place_file(self.folder / STATE / f"{entry.name}.json", data + b"\n", alone=True)

    def states(self) -> list[tuple[Entry, State]]:
        """Of all sinks, as they were last tried."""
        found = [(entry, self.state(entry)) for entry in self.entries]
        return [(entry.by(state), state) for entry, state in found]

    def next_try(self, now: float) -> float | None:
        """Seconds until something is due; None if nothing is waiting."""
        waiting = [state for _, state in self.states() if state.status == "waiting"]
        if not waiting:
            return None
        return min(0.0 if state.due(now) else state.tried + state.pause - now for state in waiting)

    def at(self, folder: Path) -> Item:
        """The same, moved."""
        return replace(self, folder=folder)

    def damaged(self, entry: Entry) -> str:
        """What is wrong with the bytes of a parcel; empty if they are as they were written."""
        try:
            now = files_of(self.parcel(entry))
        except OSError as error:
            return f"{entry.name}: its parcel cannot be read ({error.strerror})"
        differing = sorted(name for name in {*now, *entry.files} if now.get(name) != tuple(entry.files.get(name, ())))
        return f"{entry.name}: {differing[0]} is not what was written" if differing else ""


def read_item(folder: Path) -> Item:
    """The item in a folder; one with ``damage`` if it cannot be read."""
    with contextlib.suppress(OSError):
        return Item(folder, damage=(folder / DAMAGE).read_text(errors="replace").strip() or "unknown damage")
    try:
        found = json.loads((folder / ITEM).read_bytes())
        if found["v"] != VERSION:
            return Item(folder, damage=f"it has the format {found['v']}, this pytest-lava reads {VERSION}: update it")
        entries = tuple(
            Entry(str(one["name"]), str(one["kind"]), dict(one["options"]),
                  {str(name): (int(size), str(sha)) for name, (size, sha) in one["files"].items()},
                  str(one.get("settings") or ""))
            for one in found["sinks"]
        )  # fmt: skip
        return Item(folder, str(found["uuid"]), float(found["created"]), str(found["run"]), entries)
    except OSError as error:
        return Item(folder, damage=f"{ITEM} cannot be read ({error.strerror})")
    except (ValueError, TypeError, KeyError, AttributeError):
        return Item(folder, damage=f"{ITEM} is torn, or not ours")


def _but_url(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "url"}


def files_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and sha256 of all files below a folder. ``OSError``."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
        found[path.relative_to(folder).as_posix()] = (size, digest.hexdigest())
    if not folder.is_dir():
        raise FileNotFoundError(2, os.strerror(2), str(folder))
    return found

"""The spool: a folder of runs that are to be submitted; each is whole on the disk before the first network byte.

``tmp/`` (being made) -> ``new/`` (something is waiting) -> ``sent/`` (every sink has it) or ``failed/`` (nothing is
waiting, and not every sink has it). Moves are renames of whole folders, and who moves one has its lock.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid as uuids
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.durably import place_file, sync_folder, sync_tree, write_file
from pytest_lava.errors import NO_ROOM, ConfigurationError, InfrastructureError, LavaError, of_this_machine
from pytest_lava.sinks.api import Results
from pytest_lava.sinks.choosing import SinkChoice
from pytest_lava.spool.item import DAMAGE, ITEM, PARCELS, STATE, VERSION, Item, State, files_of, read_item
from pytest_lava.spool.lock import POLL, FolderLock

__all__ = ["KEPT_BYTES", "KEPT_DAYS", "Spool", "default_folder"]

_PLACES = ("new", "sent", "failed")
_PATIENCE = 300.0  # seconds for other runs that end at the same time; packing a large one takes some
_PRIVATE = 0o700  # bundles may hold what is not everybody's
#: what of sent/ is kept, for people to look at
KEPT_DAYS, KEPT_BYTES = 30, 1 << 30


def default_folder() -> Path:
    """The user's spool. It is state and no cache: what is in it exists nowhere else."""
    import platformdirs

    return platformdirs.user_state_path("pytest-lava") / "spool"


class Spool:
    """All items below ``folder``, which is made when something is added. ``mask`` hides secrets in what is written.

    ``patience``: seconds for other processes that add something.
    """

    def __init__(
        self, folder: Path, mask: Callable[[str], str] = str, *,
        now: Callable[[], float] = time.time, patience: float = _PATIENCE,
    ) -> None:  # fmt: skip
        self.folder = folder
        self._patience = patience
        self._mask = mask
        self.now = now

    def items(self, place: str = "new") -> list[Item]:
        """What is there, the oldest first; damaged ones too."""
        try:
            folders = sorted(path for path in (self.folder / place).iterdir() if path.is_dir() and path.name[0] != ".")
        except FileNotFoundError:
            return []
        found = [read_item(path) for path in folders]
        return [item for item in found if not item.damage or item.folder.is_dir()]  # not: moved while we looked

    def find(self, text: str) -> Item:
        """The item of this name, or whose name or uuid begins so. ``ConfigurationError`` if it is not one."""
        every = [item for place in _PLACES for item in self.items(place)]
        found = [item for item in every if text in (item.name, item.uuid)] or [
            item for item in every if item.name.startswith(text) or item.uuid.startswith(text)
        ]
        if len(found) == 1 and text:
            return found[0]
        if found:
            raise ConfigurationError(f"{text!r} may be {', '.join(item.name for item in found)}: say which one")
        raise ConfigurationError(f"there is no {text!r} in the spool {self.folder}; pytest-lava spool ls shows all")

    def add(self, results: Results, choices: Sequence[SinkChoice]) -> list[Item]:
        """Keep what each sink is to get; the items that hold it, on the disk when this returns.

        A sink that the spool has this run for already keeps that one, whatever came of it; one that failed is waiting
        again, or packed anew if its parcel is damaged. ``InfrastructureError`` if the spool cannot be written to.
        """
        try:
            for place in ("tmp", *_PLACES):
                (self.folder / place).mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
            lock = self._have_all()
            try:
                self._clear_unfinished()
                known = self._known(results.uuid)
                missing = [choice for choice in choices if not any(_held(item, choice) for item in known)]
                held = {item: [name for choice in choices if (name := _held(item, choice))] for item in known}
                items = [self._again(item, names) for item, names in held.items() if names]
                return [*items, self._make(results, missing)] if missing else items
            finally:
                if lock:
                    lock.release()
        except OSError as error:
            raise self._unwritable(error) from None

    def settle(self, item: Item) -> Item:
        """Move it where it belongs now. Only who has its lock may. ``OSError``."""
        states = [state.status for _, state in item.states()]
        if "waiting" in states:
            return self._move(item, "new")
        return self._move(item, "failed" if "failed" in states else "sent")

    def set_aside(self, item: Item, why: str) -> Item:
        """Out of the way, for a person to look at. ``OSError``."""
        place_file(item.folder / DAMAGE, f"{why}\n".encode(), alone=True)
        return self._move(item, "failed")

    def retry(self, item: Item, names: Iterable[str] = ()) -> Item:
        """What failed is waiting again (of the sinks ``names``, or all), and what is waiting is due.

        ``ConfigurationError`` if it is damaged, or if another process is sending it; ``InfrastructureError`` if the
        spool cannot be written to.
        """
        if item.damage:
            raise ConfigurationError(f"{item.name} is damaged: {item.damage}; see what is in {item.folder}")
        with self._have(item):
            try:
                for entry, state in item.states():
                    if state.status != "sent" and (not names or entry.name in names):
                        again = State(progress=state.progress, reason=state.reason, options=state.options)
                        item.write_state(entry, again)
                return self.settle(item)
            except OSError as error:
                raise self._unwritable(error) from None

    def drop(self, item: Item) -> None:
        """Forget it. Raises as ``retry`` does."""
        with self._have(item):
            gone = item.folder.with_name(f".{item.name}")
            try:
                item.folder.rename(gone)  # whoever looks sees it whole or not at all
                shutil.rmtree(gone)
            except OSError as error:
                raise self._unwritable(error) from None

    def prune(self, *, days: float = KEPT_DAYS, size: int = KEPT_BYTES) -> list[str]:
        """Remove the oldest of what was sent, beyond these limits; their names. Nothing else is ever removed."""
        removed, total = [], 0
        for item in reversed(self.items("sent")):
            total += _size(item.folder)
            age = self.now() - item.created
            if total > size or age > days * 86400:
                with suppress(LavaError, OSError):
                    self.drop(item)
                    removed.append(item.name)
        return removed

    # -- inside -------------------------------------------------------------------------------------------------

    def _unwritable(self, error: OSError) -> InfrastructureError:
        what = "make room there" if error.errno in NO_ROOM else "mend that"
        text = f"the spool {self.folder} cannot be written ({error.strerror}): {what}, or choose another one with "
        return of_this_machine(f"{text}--lava-spool", error)

    def _known(self, uuid: str) -> list[Item]:
        folders = [path for place in _PLACES for path in sorted((self.folder / place).glob(f"[!.]*-{uuid}*"))]
        return [item for item in map(read_item, folders) if item.uuid == uuid]

    def _again(self, item: Item, names: Sequence[str]) -> Item:
        if item.place != "failed":
            return item
        with suppress(ConfigurationError):  # another process is at it: that is just as well
            return self.retry(item, names)
        return item

    def _make(self, results: Results, choices: Sequence[SinkChoice]) -> Item:
        now = self.now()
        folder = self.folder / "tmp" / str(uuids.uuid4())
        folder.mkdir(mode=_PRIVATE)
        with FolderLock.take(folder) or _nobody():  # whoever clears up leaves it alone
            try:
                (folder / STATE).mkdir()
                sinks = [self._pack(results, choice, folder) for choice in choices]
                about = {
                    "v": VERSION, "uuid": results.uuid, "created": now, "run": str(results.folder), "sinks": sinks
                }  # fmt: skip
                write_file(folder / ITEM, json.dumps(about, indent=1).encode() + b"\n")
                sync_tree(folder)
                item = read_item(folder)
                if all(state.status == "failed" for _, state in item.states()):
                    return self._move(item, "failed", self._name(results.uuid, now))
                return self._move(item, "new", self._name(results.uuid, now))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def _pack(self, results: Results, choice: SinkChoice, folder: Path) -> dict[str, Any]:
        parcel = folder / PARCELS / choice.name
        parcel.mkdir(parents=True)
        try:
            choice.sink.pack(results, parcel)
        except OSError:
            raise
        except Exception as error:  # of a driver: the other sinks get theirs
            said = str(error) if isinstance(error, LavaError) else f"{type(error).__name__}: {error}"
            state = State("failed", reason=self._mask(f"it could not be packed: {said}"))
            write_file(folder / STATE / f"{choice.name}.json", json.dumps(asdict(state)).encode())
        return {**choice.as_json, "files": files_of(parcel)}

    def _name(self, uuid: str, now: float) -> str:
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{uuid}"
        taken = {path.name for place in _PLACES for path in (self.folder / place).iterdir()}
        numbered = (f"{name}-{number}" for number in range(2, 1000))
        return name if name not in taken else next(other for other in numbered if other not in taken)

    def _move(self, item: Item, place: str, name: str = "") -> Item:
        target = self.folder / place / (name or item.name)
        if target != item.folder:
            target.parent.mkdir(exist_ok=True, mode=_PRIVATE)
            item.folder.rename(target)
            sync_folder(target.parent)
            sync_folder(item.folder.parent)
        return item.at(target)

    def _have_all(self) -> FolderLock | None:
        """None where nothing can be locked, on some network file systems."""
        deadline = Deadline.after(self._patience)
        lock = FolderLock.take(self.folder, deadline)
        if lock is None and deadline.remaining() <= POLL:
            raise InfrastructureError(
                f"another process has held the spool {self.folder} for {self._patience:g} s: end that one (fuser "
                "-v shows it), or choose another spool with --lava-spool"
            )
        return lock

    def _have(self, item: Item) -> FolderLock:
        lock = FolderLock.take(item.folder)
        if lock is None:
            raise ConfigurationError(f"{item.name} is being sent by another process: wait for that one, or end it")
        return lock

    def _clear_unfinished(self) -> None:
        """What a killed process was making, or removing: it is in no use, as nobody holds it."""
        left = [*(self.folder / "tmp").iterdir(), *(path for place in _PLACES for path in self._hidden(place))]
        for folder in left:
            if folder.is_dir() and (lock := FolderLock.take(folder)):
                with lock:
                    shutil.rmtree(folder, ignore_errors=True)

    def _hidden(self, place: str) -> list[Path]:
        return list((self.folder / place).glob(".2*"))


def _held(item: Item, choice: SinkChoice) -> str:
    """What the item calls a sink for which it has what was sent, or a parcel that can be; empty if it has neither."""
    stored = choice.as_json
    for entry in item.entries:
        if entry.is_for(stored):
            state = item.state(entry)
            packed = state.status != "failed" or state.tries > 0
            if state.status == "sent" or (packed and not item.damaged(entry)):
                return entry.name
    return ""


def _nobody() -> FolderLock:
    return FolderLock(-1)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())

"""What a cache folder holds, in the order in which it may go; making space, and finding what a disk has damaged."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cache import sweep
from pytest_lava.images.shelf import KINDS, check_of, made, remove
from pytest_lava.images.store import Store

__all__ = ["Holding", "Room", "holdings", "parse_size", "prune", "verify"]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Holding:
    """One thing: ``kind`` is objects, kernels, initrd, media or parts; ``size`` in bytes, ``used`` since 1970."""

    kind: str
    name: str
    path: Path
    size: int
    used: float


def parse_size(text: str, where: str) -> int:
    """Bytes of ``20G``, ``512M`` and the like. ``ConfigurationError``, beginning with ``where``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ConfigurationError(f"{where}: {text!r} is no size; write a number with K, M, G or T, such as 20G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def holdings(cache: Path) -> list[Holding]:
    """All that may be removed, what was not used for longest first. What ``fetch`` got for boards is not among it."""
    return sorted([*_objects(cache), *_made(cache), *_parts(cache)], key=lambda holding: holding.used)


def prune(cache: Path, limit: int, removed: Callable[[Holding], None] = lambda holding: None) -> int:
    """Remove what was not used for longest until all takes at most ``limit`` bytes; bytes freed.

    What killed runs left half made goes first. What any run uses stays, so it may still be more.
    """
    for kind in (*KINDS, "urls", "facts"):  # a fact that another run writes just now is found out again
        sweep(cache / kind)
    Store(cache / "objects").sweep()
    found = holdings(cache)
    taken, freed = sum(holding.size for holding in found), 0
    for holding in found:
        if taken - freed <= limit:
            break
        if _remove(cache, holding):
            freed += holding.size
            removed(holding)
    _forget_facts(cache)
    return freed


class Room:
    """Space in a cache folder, made before something is added: within ``limit`` bytes, 0 for any number."""

    def __init__(self, cache: Path, limit: int = 0, removed: Callable[[Holding], None] = lambda holding: None) -> None:
        self._cache, self._limit, self._removed = cache, limit, removed

    def reserve(self, size: int) -> None:
        """So many bytes are to come: what was not used for longest goes where they would exceed the limit."""
        if self._limit:
            with suppress(OSError):  # another run removes the same: the limit is no law
                prune(self._cache, max(0, self._limit - size), self._removed)

    def free(self, size: int) -> int:
        """The disk is full: what was not used for longest goes until so many bytes are free; bytes freed."""
        taken = sum(holding.size for holding in holdings(self._cache))
        return prune(self._cache, max(0, taken - size), self._removed) if taken else 0


def verify(cache: Path) -> Iterator[tuple[Holding, bool]]:
    """Read everything; whether each is what was stored. What is damaged is removed, to be got or made again."""
    store = Store(cache / "objects")
    for holding in holdings(cache):
        if holding.kind == "parts":
            continue
        sound = store.verify(holding.path.name) if holding.kind == "objects" else _sound(holding.path)
        if not sound:
            _remove(cache, holding)
        yield holding, sound


def _objects(cache: Path) -> Iterator[Holding]:
    store = Store(cache / "objects")
    for key in store.keys():  # noqa: SIM118
        path = cache / "objects" / key
        about = store.about(key)
        with suppress(OSError):
            used = about.used if about else path.stat().st_mtime
            yield Holding("objects", about.name if about else key, path, store.disk_usage(key), used)


def _made(cache: Path) -> Iterator[Holding]:
    for path, about in made(cache):
        yield Holding(path.parent.name, about.name, path, about.size, about.used)


def _parts(cache: Path) -> Iterator[Holding]:
    """Downloads that broke off, to be gone on with."""
    for path in sorted((cache / "urls").glob("*.part")):
        with suppress(OSError):
            status = path.stat()
            yield Holding("parts", path.stem[:12], path, status.st_blocks * 512, status.st_mtime)


def _remove(cache: Path, holding: Holding) -> bool:
    if holding.kind == "objects":
        return Store(cache / "objects").remove(holding.path.name)
    if holding.kind == "parts":
        if _busy(holding.path.with_name(f".{holding.path.stem}.lock")):
            return False  # it is being fetched
        holding.path.unlink(missing_ok=True)
        holding.path.with_name(f"{holding.path.name}.json").unlink(missing_ok=True)
        return True
    return remove(holding.path)


def _busy(lock: Path) -> bool:
    with suppress(FileNotFoundError), lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _sound(path: Path) -> bool:
    known = next((about for found, about in made(path.parent.parent) if found == path), None)
    return known is not None and (known.check < 0 or check_of(path)[1] == known.check)


def _forget_facts(cache: Path) -> None:
    """Of files that are gone."""
    for fact in (cache / "facts").glob("[!.]*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if not Path(json.loads(fact.read_bytes())["path"]).exists():
                fact.unlink()

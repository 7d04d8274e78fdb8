"""Board files: found by name, merged along ``extends``, validated; every mistake told with file, line and key."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from pytest_lava.config.mistakes import Source, did_you_mean, explain, place_of, read_toml
from pytest_lava.config.model import BoardModel, DriverTable
from pytest_lava.console.watch_pattern import PatternTable, WatchPattern
from pytest_lava.errors import ConfigurationError
from pytest_lava.registry import Registry

__all__ = ["BoardConfig", "BoardFiles", "DriverChoice"]

_DRIVER_KINDS = ("power", "deploy", "boot")
_HOST_ARCH = {"aarch64": "arm64", "armv7l": "arm", "i686": "x86", "amd64": "x86_64"}


@dataclass(frozen=True)
class DriverChoice:
    """A driver and its validated options."""

    method: str
    driver: Any
    options: Any


@dataclass(frozen=True)
class BoardConfig:
    """A board as its file describes it. ``chain`` is its own name and those it extends."""

    name: str
    chain: tuple[str, ...]
    path: Path
    model: BoardModel
    arch: str
    power: DriverChoice
    deploy: DriverChoice
    boot: DriverChoice
    #: what is looked for on the console
    watch: tuple[WatchPattern, ...]
    #: seconds of --boot-timeout where that is less than the board's own limits; 0 if it is not
    hurried: float = 0.0

    @property
    def device_type(self) -> str:
        """The root of the chain of ``extends``."""
        return self.chain[-1]


class BoardFiles:
    """All board files that this run can see."""

    def __init__(self, folders: Sequence[Path], registry: Registry) -> None:
        self._folders = folders
        self._registry = registry

    def names(self) -> list[str]:
        """The names of all board files."""
        return sorted({path.stem for folder in self._folders for path in folder.glob("*.toml") if path.is_file()})

    def candidates(self, name: str) -> list[BoardConfig]:
        """Boards that ``--board=name`` may mean: that one, or else all whose chain of ``extends`` has the name.

        Raises ``ConfigurationError`` if there is none.
        """
        if name in self.names():
            board = self.load(name)
            if not board.model.abstract:
                return [board]
        found = [board for board in self._relatives(name) if not board.model.abstract]
        if found:
            return found
        if name in self.names():
            raise ConfigurationError(
                f"board {name!r} is a device type that your lab completes: write boards/{name}-01.toml with "
                f'extends = "{name}" and the keys that {self.load(name).path} leaves to you'
            )
        advice = _by_name(name) or did_you_mean(name, self.names())
        raise ConfigurationError(f"there is no board {name!r}; there are {self._listed()}{advice}")

    def serving(self, device_type: str) -> list[str]:
        """Names of boards whose own files list this device type of LAVA, of the nearest folder that has any."""
        for folder in self._folders:
            found = []
            for path in sorted(folder.glob("*.toml")):
                try:
                    listed = tomllib.loads(path.read_text(encoding="utf-8")).get("lava_device_types", ())
                except (OSError, ValueError):
                    continue  # told when it is wanted
                if isinstance(listed, list) and device_type in listed:
                    found.append(path.stem)
            if found:
                return found
        return []

    def load(self, name: str) -> BoardConfig:
        """Read, merge and validate one board. ``ConfigurationError`` tells every mistake at once."""
        sources = self._chain(name)
        merged: dict[str, Any] = {}
        for source in reversed(sources):
            own = dict(source.data)
            if source is not sources[0]:
                own.pop("abstract", None)  # being a device type is not inherited
            merged = _merge(merged, own)
        mistakes, model = [], None
        try:
            model = BoardModel.model_validate(merged)
        except ValidationError as error:
            mistakes.append(explain(error, sources, BoardModel))
        drivers = {}
        for kind in _DRIVER_KINDS:
            try:
                table = getattr(model, kind) if model else DriverTable.model_validate(_table(kind, merged.get(kind)))
                drivers[kind] = self._driver(kind, table, sources)
            except ConfigurationError as error:
                mistakes.append(str(error))
            except ValidationError:
                pass  # told already, with the model
        try:
            watch = self._watch(model, sources) if model else ()
        except ConfigurationError as error:
            mistakes.append(str(error))
        if mistakes or model is None:
            raise ConfigurationError("\n".join(mistakes))
        machine = platform.machine()
        arch = _HOST_ARCH.get(machine, machine) if model.arch == "host" else model.arch
        chain = tuple(dict.fromkeys(source.name for source in sources))
        power, deploy, boot = (drivers[kind] for kind in ("power", "deploy", "boot"))
        return BoardConfig(name, chain, sources[0].path, model, arch, power, deploy, boot, watch)

    def _listed(self) -> str:
        return ", ".join(self.names())

    def _relatives(self, name: str) -> Iterable[BoardConfig]:
        for other in self.names():
            if other != name and name in (source.name for source in self._chain(other)):
                yield self.load(other)

    def _driver(self, kind: str, table: Any, sources: Sequence[Source]) -> DriverChoice:
        try:
            driver = self._registry.get(kind, table.method)
        except ConfigurationError as error:
            raise ConfigurationError(f"{place_of(sources, (kind, 'method'))}{error}") from None
        try:
            options = driver.Options.model_validate(dict(table.options))
        except ValidationError as error:
            raise ConfigurationError(explain(error, sources, driver.Options, (kind,))) from None
        return DriverChoice(table.method, driver, options)

    def _watch(self, model: BoardModel, sources: Sequence[Source]) -> tuple[WatchPattern, ...]:
        """Ours and those of plugins, less what the board file ignores, and those of the board file."""
        mistakes, own, ours = [], model.watch.patterns, self._registry.patterns()
        theirs = {pattern.name for pattern in ours}
        known = {*theirs, *own}
        for name in model.watch.ignore:
            if name not in known:
                where = place_of(sources, ("watch", "ignore"))
                mistakes.append(f"{where}the watch has no pattern {name!r} to ignore{did_you_mean(name, known)}")
        table = PatternTable(pattern for pattern in ours if pattern.name not in model.watch.ignore)
        for name, one in own.items():
            if name in model.watch.ignore and name not in theirs:
                continue  # a device type's, which this board ignores
            try:
                table.add(name, one.kind, one.regex, source="board file", traced=one.traced)
            except ConfigurationError as error:
                mistakes.append(f"{place_of(sources, ('watch', 'patterns', name))}{error}")
        if mistakes:
            raise ConfigurationError("\n".join(mistakes))
        return tuple(table)

    def _chain(self, name: str) -> list[Source]:
        sources: list[Source] = []
        wanted: str | None = name
        while wanted is not None:
            path = self._find(wanted, skip={source.path for source in sources})
            if path is None and not sources:
                raise ConfigurationError(f"there is no board {wanted!r}; there are {self._listed()}")
            if path is None:
                extending = sources[-1]
                where = place_of([extending], ("extends",))
                if any(source.name == wanted for source in sources):
                    raise ConfigurationError(f"{where}{extending.name!r} extends {wanted!r}, which extends it in turn")
                raise ConfigurationError(
                    f"{where}there is no board {wanted!r} to extend; there are {self._listed()}"
                    f"{did_you_mean(wanted, self.names())}"
                )
            sources.append(read_toml(wanted, path, "board file"))
            parent = sources[-1].data.get("extends")
            wanted = parent if isinstance(parent, str) else None
        return sources

    def _find(self, name: str, skip: set[Path]) -> Path | None:
        for folder in self._folders:
            path = folder / f"{name}.toml"
            if path.is_file() and path not in skip:
                return path
        return None


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` over ``base``, table by table; one that changes ``method`` starts anew: its keys are another driver's."""
    merged = dict(base)
    for key, written in own.items():
        old, value = _table(key, merged.get(key)), _table(key, written)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and value.get("method", 0) in (0, old.get("method")):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _table(key: str, value: Any) -> Any:
    """``power = "none"`` is short for a table, and so is ``console = "/dev/ttyUSB0"``."""
    if isinstance(value, str) and key in (*_DRIVER_KINDS, "console"):
        return {"url" if key == "console" else "method": value}
    return value


def _by_name(name: str) -> str:
    """What to do with a file for whom wants it by its path."""
    if "/" not in name and not name.endswith(".toml"):
        return ""
    stem = PurePath(name).name.removesuffix(".toml")
    return f"; boards go by their names: put the file into a folder boards/ here and say {stem!r}"

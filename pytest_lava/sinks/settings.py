"""``pytest-lava.toml``: the result servers that a project, or a user, has named; every mistake with file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_lava.config.mistakes import Source, did_you_mean, place_of, read_toml
from pytest_lava.errors import ConfigurationError

__all__ = ["FILE", "Settings", "settings_files"]

FILE = "pytest-lava.toml"
_TABLES = ("sinks",)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def settings_files(*roots: Path) -> list[Path]:
    """Those that are there, nearest first: the project's in ``roots``, then the user's."""
    import platformdirs

    found = [folder / FILE for folder in (*roots, platformdirs.user_config_path("pytest-lava"))]
    return [path for path in dict.fromkeys(found) if path.is_file()]


class Settings:
    """What all files say; of a sink that two have, the nearer one's table counts, whole."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read them. ``ConfigurationError`` tells every mistake in what they hold beside the keys of drivers."""
        self._sources: list[Source] = []
        mistakes: list[str] = []
        for path in files:
            try:
                source = read_toml(path.name, path, "file of settings")
            except ConfigurationError as error:
                mistakes.append(str(error))
            else:
                self._sources.append(source)
                mistakes += _mistakes(source)
        if mistakes:
            raise ConfigurationError("\n".join(mistakes))

    def names(self) -> list[str]:
        """The sinks that have a table."""
        return list(dict.fromkeys(name for source in self._sources for name in source.data.get("sinks", {})))

    def sink(self, name: str) -> tuple[Mapping[str, Any], Source] | None:
        """The table of a sink, and the file that it stands in; None if there is none."""
        for source in self._sources:
            if name in source.data.get("sinks", {}):
                return source.data["sinks"][name], source
        return None


def _mistakes(source: Source) -> list[str]:
    found = [
        f"{place_of([source], (key,))}unknown table {key!r}{did_you_mean(key, _TABLES)}"
        for key in source.data
        if key not in _TABLES
    ]
    sinks = source.data.get("sinks", {})
    if not isinstance(sinks, Mapping):
        return [*found, f"{place_of([source], ('sinks',))}write [sinks.NAME], a table for each sink"]
    for name, table in sinks.items():
        where = place_of([source], ("sinks", name))
        if not isinstance(table, Mapping):
            found.append(f"{where}write [sinks.{name}], with kind and url")
        elif not _NAME.fullmatch(name):
            found.append(f"{where}{name!r} is no name of a sink: use letters, digits, _ . and -")
        elif not isinstance(table.get("kind"), str):
            found.append(f'{where}[sinks.{name}] has no kind: write kind = "squad", or another one')
    return found

"""YAML with the line of each key, so that an error can say where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from pytest_lava.errors import ConfigurationError

__all__ = ["YamlFile", "read_json", "read_yaml"]

#: a file larger than this is none that a person wrote
_LIMIT = 4 << 20
_EXPANDED = 16 << 20  # characters of it with all aliases written out, as a text of it would have
_MOST = 200_000  # keys whose lines are known: aliases may name the same ones without end


class YamlFile:
    """What a file holds, and where in it."""

    def __init__(
        self, path: Path, data: Any, lines: dict[tuple[str, ...], int], repeated: tuple[tuple[str, int], ...] = ()
    ) -> None:
        self.path = path
        self.data = data
        self._lines = lines
        #: keys that stand twice in one mapping, of which the last counts, and their lines
        self.repeated = repeated

    def line(self, *keys: object) -> int:
        """Of a key, or of the nearest one around it."""
        names = tuple(map(str, keys))
        while names and names not in self._lines:
            names = names[:-1]
        return self._lines.get(names, self._lines.get((), 1))

    def inside(self, *keys: object) -> YamlFile:
        """What stands at a key, as a file of its own whose lines are those of this one."""
        data, names = self.data, tuple(map(str, keys))
        for key in keys:
            data = data[key]
        lines = {found[len(names) :]: line for found, line in self._lines.items() if found[: len(names)] == names}
        return YamlFile(self.path, data, lines)

    def wrong(self, what: str, *keys: object) -> ConfigurationError:
        """A mistake at a key."""
        return ConfigurationError(f"{self.path}:{self.line(*keys)}: {what}")


def read_yaml(path: Path) -> YamlFile:
    """Read a file. ``ConfigurationError`` with file and line if it is no YAML."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    if len(raw) > _LIMIT:
        raise ConfigurationError(f"{path} has {len(raw) >> 20} MB: no test definition is as large")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = raw.decode("utf-8-sig")
        node = yaml.compose(text, Loader=loader)
        if (size := _expanded(node, {})) > _EXPANDED:
            raise ConfigurationError(f"{path}: its aliases make {size >> 20} MB of it: write out what is meant")
        data = yaml.load(text, Loader=loader)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: save it as UTF-8: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigurationError(f"{where}: this is no YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: this is no YAML: {str(error).splitlines()[0]}") from None
    return YamlFile(path, data, dict(islice(_lines(node, ()), _MOST)), tuple(_repeated(node, set())))


def read_json(path: Path) -> YamlFile:
    """Read a JSON file, which is YAML too but for some of its blanks. ``ConfigurationError`` if it is none."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}:{error.lineno}: this is no JSON: {error.msg}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: this cannot be read: {error}") from None
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(text.replace("\t", " ").replace("\\/", "/"), Loader=loader)
    except (yaml.YAMLError, RecursionError):
        node = None  # then its mistakes have no lines
    return YamlFile(path, data, dict(islice(_lines(node, ()), _MOST)))


def _lines(node: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if len(names) > 12:
        return  # deeper than any job; an alias may lead back
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*names, str(getattr(key, "value", "")))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            inner = (*names, str(number))
            yield inner, value.start_mark.line + 1
            yield from _lines(value, inner)


def _parts(node: Any) -> list[Any]:
    """The nodes in a node."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _expanded(node: Any, known: dict[int, int]) -> int:
    """How many characters a node has, with all that its aliases name; one that leads back ends there."""
    if id(node) not in known:
        known[id(node)] = 1
        parts = _parts(node)
        known[id(node)] = 1 + sum(_expanded(part, known) for part in parts) + (0 if parts else _length(node))
    return known[id(node)]


def _length(node: Any) -> int:
    """Of a text; an empty file has no node at all."""
    return len(getattr(node, "value", None) or "")


def _repeated(node: Any, seen: set[int]) -> Iterator[tuple[str, int]]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in names:
                    yield key.value, key.start_mark.line + 1
                names.add(key.value)
    for part in _parts(node):
        yield from _repeated(part, seen)

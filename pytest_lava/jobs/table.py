"""A mapping of a YAML file whose values are taken by their types; each mistake is told with file, line and key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.jobs.keys import Key
from pytest_lava.suites.yamlfile import YamlFile

__all__ = ["Table"]

_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


class Table:
    """The mapping at ``keys`` of a file."""

    def __init__(self, file: YamlFile, data: Mapping[str, Any], *keys: object) -> None:
        self.file, self.data, self.keys = file, data, keys

    def __contains__(self, key: str) -> bool:
        return self.data.get(key) is not None

    def wrong(self, what: str, *keys: object) -> ConfigurationError:
        """A mistake at a key below."""
        return self.file.wrong(what, *self.keys, *keys)

    def line(self, *keys: object) -> int:
        """Of a key below."""
        return self.file.line(*self.keys, *keys)

    def known(self, place: str, keys: Mapping[str, Key]) -> None:
        """``ConfigurationError`` for a key that is refused, and for one that a LAVA job does not have there."""
        for key, value in self.data.items():
            found = keys.get(str(key))
            if found is None:
                near = difflib.get_close_matches(str(key), keys, n=1)
                advice = f": did you mean {near[0]!r}?" if near else ": leave it out"
                raise self.wrong(f"{place} has no key {str(key)!r}{advice}", key)
            if found.use == "refused" and value not in (None, False, {}, []):
                raise self.wrong(f"{str(key)!r} of {place} is not supported: {found.said}", key)

    def text(self, key: str, default: str = "") -> str:
        """A text; a number is one too."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, (Mapping, list)):
            raise self.wrong(f"{key!r} has to be a text", key)
        return str(value)

    def needed(self, key: str) -> str:
        """A text that has to be there."""
        if not (found := self.text(key)):
            raise self.wrong(f"{key!r} is missing")
        return found

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(f"{key!r} has to be true or false, not {value!r}", key)
        return value

    def number(self, key: str, default: int | None = None, least: int = 1) -> int | None:
        """A whole number."""
        value: Any = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(f"{key!r} has to be a number of at least {least}, not {value!r}", key)
        return int(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        value = self.data.get(key)
        if value is None:
            return ()
        if isinstance(value, (str, int, float)):
            return (str(value),)
        if not isinstance(value, list) or any(isinstance(one, (Mapping, list)) for one in value):
            raise self.wrong(f"{key!r} has to be a list of texts", key)
        return tuple(str(one) for one in value)

    def regexes(self, key: str) -> tuple[str, ...]:
        """A list of regular expressions."""
        for number, text in enumerate(found := self.texts(key)):
            self._check_regex(text, key, number)
        return found

    def regex(self, key: str) -> str:
        """A regular expression that has to be there."""
        self._check_regex(text := self.needed(key), key)
        return text

    def _check_regex(self, text: str, *keys: object) -> None:
        try:
            re.compile(text.encode())
        except re.error as error:
            raise self.wrong(f"{text!r} is no regular expression: {error}", *keys) from None

    def table(self, key: str) -> Table:
        """A mapping; an empty one if there is none."""
        value = self.data.get(key)
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise self.wrong(f"{key!r} has to be a mapping of keys to values", key)
        return Table(self.file, value, *self.keys, key)

    def tables(self, key: str) -> Iterator[Table]:
        """The mappings of a list, at least one."""
        value = self.data.get(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(f"{key!r} has to be a list with at least one entry", key)
        for number, one in enumerate(value):
            if not isinstance(one, Mapping):
                raise self.wrong(f"entry {number + 1} of {key!r} has to be a mapping", key, number)
            yield Table(self.file, one, *self.keys, key, number)

    def strings(self, key: str) -> dict[str, str]:
        """A mapping of texts to texts; what is deeper is left as Python shows it."""
        return {str(name): "" if value is None else str(value) for name, value in self.table(key).data.items()}

    def seconds(self, key: str) -> float | None:
        """A time as LAVA writes one: ``{minutes: 5}``; units add up. None if there is none."""
        if key not in self:
            return None
        found, total = self.table(key), 0.0
        for unit in found.data:
            if unit == "skip":
                continue
            if unit not in _UNITS:
                raise found.wrong(f"{unit!r} is no unit of time: write {', '.join(_UNITS)}", unit)
            total += (found.number(str(unit), least=0) or 0) * _UNITS[str(unit)]
        if not total:
            raise self.wrong(f"{key!r} has to be longer than no time: write {{minutes: 5}}", key)
        return total

"""Mistakes in TOML files that people write, told with file, line, key and the nearest known name."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pytest_lava.errors import ConfigurationError

__all__ = ["Source", "did_you_mean", "explain", "place_of", "read_toml"]

#: what other tools call a key of ours
_OTHER_NAMES = {
    "baudrate": "speed", "baud": "speed", "baud_rate": "speed", "bps": "speed", "port": "url", "device": "url",
}  # fmt: skip
#: what pydantic found wrong -> what is wanted (https://docs.pydantic.dev/latest/errors/validation_errors)
_WANTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), 'a list, as in ["one", "two"]'),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a table"),
    "string_type": "a text in quotes",
    "string_too_short": "a text that is not empty",
    "too_short": "a list with {min_length} or more in it",
    "literal_error": "{expected}",
    "greater_than": "a number greater than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "a number less than {lt:g}",
    "less_than_equal": "{le:g} or less",
}

# What to write for a key of a board file that has no default; drivers of plugins are not named.
_MISSING = {
    "arch": ": write arm, arm64, riscv64, x86, x86_64 or host",
    "boot": ": write [boot] with a method, or boot = 'login' or 'attach'",
    "boot.method": ": write uboot, login or attach",
    "console": ": write its serial line, such as console = '/dev/ttyUSB0' or 'socket://HOST:PORT'",
    "deploy.method": ": write qemu, tftp, command or none",
    "power": ": write [power] with a method, or power = 'none' for a board that is always on",
    "power.method": ": write command, qemu or none",
}


@dataclass(frozen=True)
class Source:
    """One file; ``name`` is what people call it."""

    name: str
    path: Path
    text: str
    data: Mapping[str, Any]


def read_toml(name: str, path: Path, kind: str) -> Source:
    """``ConfigurationError`` if it is no TOML, or cannot be read; ``kind`` says what the file is."""
    try:
        text = path.read_text(encoding="utf-8")
        return Source(name, path, text, tomllib.loads(text))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot read this {kind}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: this is not valid TOML: {error}") from None


def explain(
    error: ValidationError, sources: Sequence[Source], model: type[BaseModel], prefix: tuple[str, ...] = ()
) -> str:
    """A sentence a line for each mistake; ``prefix`` is the table whose keys ``model`` has."""
    sentences = []
    for problem in error.errors():
        key = prefix + tuple(str(part) for part in problem["loc"])
        shown = ".".join(key)
        where = place_of(sources, key)
        if problem["type"] == "extra_forbidden":
            known = _fields(model, key[len(prefix) : -1])
            sentences.append(f"{where}unknown key {shown!r}{did_you_mean(key[-1], known)}")
        elif problem["type"] == "missing":
            hint = _MISSING.get(shown, "")
            sentences.append(f"{sources[0].path}: the key {shown!r} is missing{hint}")
        else:
            sentences.append(f"{where}key {shown!r}: {_wrong(problem)}, got {problem['input']!r}")
    return "\n".join(sentences)


def _wrong(problem: ErrorDetails) -> str:
    """What has to stand there, in words for people who know neither Python nor pydantic."""
    if wanted := _WANTED.get(problem["type"]):
        return f"write {wanted.format_map(problem.get('ctx') or {})}"
    said = problem["msg"].removeprefix("Value error, ")
    return said[:1].lower() + said[1:]


def _fields(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that names the nearest of ``known``; empty if none is near."""
    names = list(known)
    other = _OTHER_NAMES.get(name)
    near = [other] if other in names else difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def place_of(sources: Sequence[Source], key: Sequence[str]) -> str:
    """``file:line: `` of a key (or else of the table it is in), in the nearest file of the chain that has it."""
    while key:
        for source in sources:
            if _holds(source.data, key):
                return f"{source.path}:{_line(source.text, key)}: "
        key = key[:-1]
    return f"{sources[0].path}: "


def _holds(value: Any, key: Sequence[str]) -> bool:
    for part in key:
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _line(text: str, key: Sequence[str]) -> int:
    """The line of a key: tomllib keeps none, so look for its table and then its name."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            table = header[1].replace('"', "")
            if f"{table}.".startswith(f"{'.'.join(key)}."):  # [a.b] makes the table a, too
                return number
        elif (name := re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", line)) and ".".join(
            filter(None, [table, name[1]])
        ) == ".".join(key):
            return number
    return _line(text, key[:-1]) if len(key) > 1 else 1

"""Reads a file of commands: one a line, ``#`` comments, lines that a backslash continues, and ``name: command``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_lava.commands.plan import Command, CommandFile
from pytest_lava.errors import ConfigurationError

__all__ = ["read_command_file"]

#: a shell has no command whose name ends in a colon and begins with a letter
_NAMED = re.compile(r"([A-Za-z0-9][\w.+-]*):\s+(\S.*)\Z", re.DOTALL)
_MOST = 1 << 20  # bytes that a person wrote


def read_command_file(name: str) -> CommandFile:
    """The commands of a file. ``ConfigurationError`` with file and line for what is wrong."""
    path = Path(name).expanduser()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--command-file {name}: {error.strerror or error}") from None
    if len(raw) > _MOST:
        raise ConfigurationError(f"--command-file {name}: it has {len(raw) >> 20} MB, so it is no list of commands")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{name}:{line}: save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigurationError(f"{name}:{line}: there is a NUL character: this is no file of commands")
    commands = tuple(_named(line, text) for line, text in _joined(name, text))
    if not commands:
        raise ConfigurationError(f"--command-file {name}: there is no command in it: write one a line")
    return CommandFile(path.absolute(), commands)


def _joined(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Commands with the number of their first line."""
    begin, parts = 0, list[str]()
    for number, raw in enumerate(text.removesuffix("\n").split("\n"), 1):
        line = raw.rstrip("\r")
        if not parts and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begin = begin if parts else number
        if _continued(line):
            parts.append(line[:-1])
            continue
        yield begin, "".join([*parts, line]).strip()
        parts = []
    if parts:
        raise ConfigurationError(f"{name}:{begin}: its last line ends with a backslash, so more is missing")


def _continued(line: str) -> bool:
    """By an odd number of backslashes: two are one that is meant."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _named(line: int, text: str) -> Command:
    found = _NAMED.match(text)
    return Command(found[2], found[1], line) if found else Command(text, text, line)

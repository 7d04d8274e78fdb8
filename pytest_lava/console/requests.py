"""What goes to the agent: commands with their folder and environment, of any size and content but NUL, as its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from pytest_lava.console.shell import DEFAULT_OUTPUT

__all__ = ["by_file", "command_text", "quoted", "refuse_a_text", "request", "script_of"]

_PIECE = 240  # bytes of escaped text a line
_SPECIAL = re.compile(rb"[\x03\x1a\x1c]")  # what the tty still takes as signals
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:/_+-=@%")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@cache
def script_of(name: str, folder: Path = Path(__file__).parent) -> str:
    """A shell script of ours without its comments and indentation, as it goes over the line."""
    lines = (folder / name).read_text().splitlines()
    return "\n".join(stripped for line in lines if (stripped := line.strip()) and not stripped.startswith("#"))


def command_text(command: str, cwd: str | None, env: Mapping[str, str] | None) -> bytes:
    """A command in its folder and environment. ``ValueError`` for what cannot be sent."""
    lines = []
    if cwd is not None:
        lines.append(b"cd -- %s >/dev/null || exit 1" % quoted(cwd))
    for name, value in (env or {}).items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of an environment variable")
        lines.append(b"export %s=%s" % (name.encode(), quoted(value)))
    text = b"\n".join([*lines, command.encode()])
    if b"\0" in text:
        raise ValueError("a command, its folder and its environment cannot hold a NUL character")
    return text


def refuse_a_text(commands: Sequence[str]) -> None:
    """``TypeError`` where a list of commands has to be, as a text is a list of its characters."""
    if isinstance(commands, str):
        raise TypeError(f"run_many takes a list of commands, not the single text {commands[:80]!r}")


def quoted(text: str) -> bytes:
    """One word for the shell."""
    return b"'" + text.encode().replace(b"'", b"'\\''") + b"'"


def by_file(text: bytes) -> bool:
    """Whether a command has to go as a file."""
    return _SPECIAL.search(text) is not None


def request(verb: str, frame: str, text: bytes, data: bytes | None, limit: int) -> Iterator[bytes]:
    """The lines that make the agent run ``text`` with ``data`` as input, and answer with ``limit`` bytes a stream.

    With data, and for a command :func:`by_file`, it needs ``agent_given.sh``.
    """
    script = given = "-"
    if by_file(text):
        script = str(len(text))
        yield from _file(f"{frame}.c", text)
        text = b":"
    if data is not None:
        given = str(len(data))
        yield from _file(f"{frame}.i", data)
    lines, characters = text.count(b"\n") + 1, len(text.decode(errors="replace"))
    head = f"{verb} {frame} {characters}"
    if (lines, characters, limit, script, given) != (1, len(text), DEFAULT_OUTPUT, "-", "-"):
        head += f" {lines} {len(text)} {limit}"
    if (script, given) != ("-", "-"):
        head += f" {script} {given}"
    yield head.encode() + b"\n" + text + b"\n"


def _file(name: str, data: bytes) -> Iterator[bytes]:
    for at in range(0, max(len(data), 1), _PIECE):
        piece = b"".join(bytes([byte]) if byte in _SAFE else b"\\0%03o" % byte for byte in data[at : at + _PIECE])
        yield b"W %s %s\n" % (name.encode(), piece)

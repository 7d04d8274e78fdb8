"""Boot scripts of board files: lines with placeholders, filled with what was deployed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from pytest_lava.errors import ConfigurationError

__all__ = ["Script", "fill"]

_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z]\w*(?:\.\w+)?)\}")
_KNOWN = ("kernel", "initrd", "dtb", "append", "ramdisk", "fdt", "serverip", "ipaddr", "port", "folder")


def _lines(value: Any) -> Any:
    """A text is as many commands as it has lines; a backslash at the end of one goes on with the next."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value  # pydantic says what is wrong
    joined = (re.sub(r"\\\r?\n[ \t]*", "", text) for text in texts)
    lines = (line.strip() for text in joined for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _known_placeholders(command: str) -> str:
    for name in _PLACEHOLDER.findall(command):
        # a deploy driver may have placeholders of its own, so only what looks like a slip of the finger is refused
        if name not in _KNOWN and (near := difflib.get_close_matches(name, _KNOWN, n=1)):
            raise ValueError(f"there is no placeholder {{{name}}}; did you mean {{{near[0]}}}?")
    return command


#: commands for a boot loader: a list of lines, or one text; empty lines and those that begin with # are left out
Script = Annotated[
    tuple[Annotated[str, AfterValidator(_known_placeholders)], ...], BeforeValidator(_lines), Field(min_length=1)
]


def fill(commands: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The commands with placeholders replaced; those that name what this run does not have are left out.

    Raises ``ConfigurationError`` if nothing is left, or a value cannot stand in one line.
    """
    filled = [line for command in commands for line in _filled(command, values)]
    if not filled:
        raise ConfigurationError(
            "no line of [boot] commands is left without a kernel: add --kernel, or a line that names none"
        )
    return filled


def _filled(command: str, values: Mapping[str, str]) -> Iterator[str]:
    names = _PLACEHOLDER.findall(command)
    if any(name not in values for name in names):
        return
    for name in names:
        if not values[name].isprintable():
            raise ConfigurationError(f"{{{name}}} cannot be typed at a boot loader: {values[name]!r}")
    yield _PLACEHOLDER.sub(lambda match: values[match[1]], command)

"""Commands of board files with placeholders: words in, words out; no shell ever sees a value."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = ["PLACEHOLDERS", "Commands", "fill", "named_images", "names_in"]

#: what may stand in braces; ``image.NAME`` beside them
PLACEHOLDERS = ("kernel", "initrd", "dtb", "append", "image", "serial", "console", "board")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_PART = re.compile(r"image\.(\w+)")


def _words(value: Any) -> Any:
    """A text is split as a shell would; its placeholders stay, so that a value is one word whatever is in it."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"this is not a command: {error}") from None


def _checked(word: str) -> str:
    for name in _BRACES.findall(word):
        if name and name not in PLACEHOLDERS and not _PART.fullmatch(name):
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
            hint = (
                f"did you mean {{{near[0]}}}?" if near else f"there are {{{'}, {'.join(PLACEHOLDERS)}}}, {{image.NAME}}"
            )
            raise ValueError(f"there is no placeholder {{{name}}}; {hint} Write {{{{ and }}}} for braces")
    return word


Command = Annotated[tuple[Annotated[str, AfterValidator(_checked)], ...], BeforeValidator(_words), Field(min_length=1)]
#: commands, each a list of words or a text that is split into them
Commands = Annotated[tuple[Command, ...], Field(min_length=1)]


def names_in(command: Sequence[str]) -> set[str]:
    """The placeholders that a command has."""
    return {name for word in command for name in _BRACES.findall(word) if name}


def named_images(commands: Sequence[Sequence[str]]) -> list[str]:
    """The names of images that the commands can use; ``""`` is the one without a name."""
    found = dict.fromkeys(name for command in commands for name in sorted(names_in(command)))
    parts = [match[1] for name in found if (match := _PART.fullmatch(name))]
    return [*([""] if "image" in found else []), *parts]


def fill(command: Sequence[str], values: Mapping[str, str]) -> list[str] | None:
    """The words with the values in them; ``None`` if the command names something that is not there."""
    if not names_in(command) <= values.keys():
        return None
    return [_BRACES.sub(lambda match: match[0][0] if match[1] is None else values[match[1]], word) for word in command]

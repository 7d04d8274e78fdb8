"""Cases named on the command line by their node ids: pytest knows only files, and the items in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from pytest_lava.errors import ConfigurationError

__all__ = ["take_cases"]

#: of a file: where it is, and the names of its items; None if it is not one of ours
ItemsOf = Callable[[str], tuple[Path, Collection[str]] | None]


def take_cases(
    arguments: Iterable[str], items_of: ItemsOf, targets: Collection[str]
) -> tuple[list[str], dict[Path, set[str]]]:
    """Arguments as pytest understands them, and the cases that were asked for, of each file.

    ``FILE::CASE`` becomes the file, ``FILE::CASE[TARGET]`` its items on that target, ``FILE::ITEM::CASE`` that item of
    a file with several. ``ConfigurationError`` with a sentence for each file that is wrong.
    """
    found: list[str] = []
    chosen: dict[Path, set[str]] = {}
    wrong: dict[str, None] = {}
    for argument in arguments:
        file, *rest = argument.split("::")
        try:
            ours = items_of(file)
        except ConfigurationError as error:
            wrong |= dict.fromkeys(str(error).splitlines())
            continue
        case, target = _apart("::".join(rest), targets)
        if ours is None or not case or case in ours[1]:
            found.append(argument)
            continue
        path, names = ours
        chosen.setdefault(path, set()).add(case)
        item, behind, _ = case.partition("::")
        if behind and item in names:
            found.append(f"{file}::{item}[{target}]" if target else f"{file}::{item}")
            continue
        found += [f"{file}::{name}[{target}]" for name in names] if target else [file]
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return list(dict.fromkeys(found)), chosen


def _apart(name: str, targets: Collection[str]) -> tuple[str, str]:
    """A case and its target; brackets may belong to the case."""
    match = re.fullmatch(r"(.+)\[([^\[\]]*)\]", name, re.DOTALL)
    return (match[1], match[2]) if match and match[2] in targets else (name, "")

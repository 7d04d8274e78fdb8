"""Cases named on the command line by their node ids: pytest knows only files, and the items in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from pytest_lava.config.mistakes import did_you_mean
from pytest_lava.errors import ConfigurationError

__all__ = ["take_cases"]

#: of a file: where it is, the names of its items, and whether cases stand below those; None if it is not one of ours
ItemsOf = Callable[[str], tuple[Path, Collection[str], bool] | None]


def take_cases(
    arguments: Iterable[str], items_of: ItemsOf, targets: Collection[str]
) -> tuple[list[str], dict[Path, set[str]]]:
    """Arguments as pytest understands them, and the cases that were asked for, of each file.

    ``FILE::CASE`` becomes the file, ``FILE::CASE[TARGET]`` its item on that target, ``FILE::ITEM::CASE`` that item of
    a job. ``ConfigurationError`` with a sentence for each file that is wrong, and for an item that a job does not have.
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
        path, names, below = ours
        item, _, behind = case.partition("::")
        if below and item not in names:
            wrong[f"{file} has no item {item!r}: there are {', '.join(names)}{did_you_mean(item, names)}"] = None
            continue
        chosen.setdefault(path, set()).add(case)
        if below and behind:
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

"""``--suite NAME``: suites by their name, from anywhere, as if their files stood on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_lava.config.mistakes import did_you_mean
from pytest_lava.config.paths import suite_folders

__all__ = ["take_named_suites"]

_SUFFIXES = (".yaml", ".yml")


def take_named_suites(config: pytest.Config) -> None:
    """Put their files among the arguments. ``pytest.UsageError`` for names that no suite has."""
    names: list[str] = config.option.lava_suite or []
    if not names:
        return
    known = dict(_known(config.rootpath))
    wrong = [
        f"--suite {name}: there is no such suite; there are {', '.join(sorted(known))}{did_you_mean(name, known)}"
        for name in names
        if name not in known
    ]
    if wrong:
        raise pytest.UsageError("\n".join(wrong))
    if config.args_source is not config.ArgsSource.ARGS:
        config.args[:] = []
        config.args_source = config.ArgsSource.ARGS
    # a worker's arguments come from its controller, which has put them there
    config.args.extend(path for name in dict.fromkeys(names) if (path := str(known[name])) not in config.args)


def _known(root: Path) -> Iterator[tuple[str, Path]]:
    """Nearest last, so that it wins."""
    for folder in reversed(suite_folders(root)):
        for path in sorted(folder.iterdir()):
            if path.suffix in _SUFFIXES and path.is_file():
                yield path.stem, path

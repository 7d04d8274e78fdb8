"""``pytest-lava boards`` and ``errors``: what ``--board`` may name, what is in quarantine, whose fault it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_lava.errors import ConfigurationError, ExitStatus

__all__ = ["add_parsers"]


def add_parsers(subparsers: Any) -> None:
    """Add ours."""
    boards = subparsers.add_parser(
        "boards", help="list the boards that --board may name, or release one of them",
        description="List what --board may name from here, mistakes in board files, and what is in quarantine.",
    )  # fmt: skip
    boards.add_argument(
        "--release", action="append", metavar="NAME", default=[], help="take this board out of quarantine; repeatable"
    )
    boards.set_defaults(func=_boards)
    table = subparsers.add_parser(
        "errors", help="list all kinds of errors: whose fault, and what comes of each",
        description="List all kinds of errors: whose fault each is, and what comes of it (see docs/errors.md).",
    )  # fmt: skip
    table.set_defaults(func=_errors)


def _errors(arguments: argparse.Namespace) -> int:
    from pytest_lava.error_table import as_text

    print(as_text(), end="")
    return 0


def _boards(arguments: argparse.Namespace) -> int:
    from pytest_lava.config.boards import BoardFiles  # takes its time: not for every command
    from pytest_lava.config.paths import board_folders
    from pytest_lava.lab.quarantine import quarantined
    from pytest_lava.registry import Registry, plugin_manager

    files = BoardFiles(board_folders(Path.cwd()), Registry(plugin_manager()))
    if arguments.release:
        return _release(arguments.release, files.names())
    status, out, names = 0, quarantined(), files.names()
    width = max(map(len, names), default=0)
    for name in names:
        try:
            board = files.load(name)
        except ConfigurationError as error:
            print(f"{name:<{width}}  {error}")
            status = int(ExitStatus.USAGE)
            continue
        kind = "device type, for boards that extend it" if board.model.abstract else board.arch
        print(f"{name:<{width}}  {board.model.description} ({kind})  {board.path}")
        if known := out.pop(name, None):
            print(f"{'':<{width}}  {known.describe()}")
    for known in out.values():  # described by files of another folder
        print(f"{known.board:<{width}}  {known.describe()}")
    return status


def _release(names: list[str], known: Sequence[str]) -> int:
    from pytest_lava.config.mistakes import did_you_mean
    from pytest_lava.lab.quarantine import quarantined, release

    status, out = 0, quarantined()
    for name in names:
        if release(name):
            print(f"{name} can be used again")
            continue
        status = int(ExitStatus.USAGE)
        what = "is not in quarantine" if name in known else "is no board that is known here, nor in quarantine"
        near = "" if name in known else did_you_mean(name, [*out, *known])
        print(f"pytest-lava: {name} {what}; in quarantine: {', '.join(sorted(out)) or 'none'}{near}", file=sys.stderr)
    return status

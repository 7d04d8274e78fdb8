"""``pytest-lava ...`` for people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_lava.errors import ConfigurationError, ExitStatus, LavaError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status: 0 good, 4 a mistake in the call, 69 the lab's or network's fault."""
    parser = argparse.ArgumentParser(
        prog="pytest-lava", description="Boards, kernels and results beside a pytest run.", allow_abbrev=False
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    boards = subparsers.add_parser("boards", help="list the boards that --board may name")
    boards.set_defaults(func=_boards)
    from pytest_lava.images.cache_commands import add_parsers as add_cache_parsers
    from pytest_lava.images.commands import add_parsers as add_image_parsers
    from pytest_lava.results.commands import add_parsers as add_result_parsers

    add_image_parsers(subparsers)
    add_cache_parsers(subparsers)
    add_result_parsers(subparsers)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.func(arguments))
    except ConfigurationError as error:
        print(f"pytest-lava: {error}", file=sys.stderr)
        return ExitStatus.USAGE
    except LavaError as error:
        print(f"pytest-lava: {error}", file=sys.stderr)
        return ExitStatus.LAB_FAULT


def _boards(arguments: argparse.Namespace) -> int:
    from pytest_lava.config.boards import BoardFiles
    from pytest_lava.config.paths import board_folders
    from pytest_lava.registry import Registry, plugin_manager

    files = BoardFiles(board_folders(Path.cwd()), Registry(plugin_manager()))
    status = 0
    for name in files.names():
        try:
            board = files.load(name)
        except ConfigurationError as error:
            print(f"{name:<16} {error}")
            status = int(ExitStatus.USAGE)
            continue
        kind = "device type, for boards that extend it" if board.model.abstract else board.arch
        print(f"{name:<16} {board.model.description} ({kind})  {board.path}")
    return status

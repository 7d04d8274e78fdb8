"""``pytest-lava cache``: what is kept of what was fetched and made; making space, and finding damage."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from pytest_lava.images.housekeeping import Holding

from pytest_lava.told_times import minute

__all__ = ["add_parsers", "ls", "prune", "verify"]


def add_parsers(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``cache``. The parsed arguments hold ``func``: a function of them that returns the exit status."""
    parser = subparsers.add_parser(
        "cache",
        help="list, shrink or check what is kept of what was fetched",
        description="Everything in the cache can be got or made again, but for what `pytest-lava fetch` got.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("ls", help="list it, what was not used for longest first")
    shrinking = actions.add_parser("prune", help="remove what was not used for longest; never what a run uses")
    shrinking.add_argument("--limit", metavar="SIZE", default="0", help="down to this size, such as 20G (default: all)")
    checking = actions.add_parser("verify", help="read all of it, and remove what is damaged")
    for action, function in ((listing, ls), (shrinking, prune), (checking, verify)):
        action.add_argument("--lava-cache", metavar="DIR", help="the cache folder (default: the user's)")
        action.set_defaults(func=function)


def ls(arguments: argparse.Namespace) -> int:
    """Print each thing with its size and the time of its last use."""
    from pytest_lava.images.housekeeping import holdings

    folder = _folder(arguments)
    found = holdings(folder)
    for holding in found:
        print(_told(holding))
    print(f"{_size(sum(holding.size for holding in found))} in {len(found)} things in {folder}")
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """Make space. ``ConfigurationError`` for a limit that is no size."""
    from pytest_lava.images.housekeeping import parse_size
    from pytest_lava.images.housekeeping import prune as make_space

    limit = parse_size(arguments.limit, "--limit")
    freed = make_space(_folder(arguments), limit, lambda holding: print(f"removed {_told(holding)}", flush=True))
    print(f"{_size(freed)} freed")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Check all; status 1 if something was damaged."""
    from pytest_lava.images.housekeeping import verify as check

    damaged = whole = 0
    for holding, sound in check(_folder(arguments)):
        whole += sound
        damaged += not sound
        if not sound:
            print(f"damaged, removed: {_told(holding)}", flush=True)
    print(f"{whole} whole, {damaged} damaged")
    return 1 if damaged else 0


def _folder(arguments: argparse.Namespace) -> Path:
    from pytest_lava.images.artefact import local_path
    from pytest_lava.images.cache import cache_dir

    return local_path(arguments.lava_cache).absolute() if arguments.lava_cache else cache_dir()


def _told(holding: Holding) -> str:
    used = minute(holding.used)
    return f"{used}  {_size(holding.size):>9}  {holding.kind:<8} {holding.name}"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"

"""``pytest-lava log``: what a run did, apart from what its board said, or with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lava.results.run_folders import LATEST

if TYPE_CHECKING:
    import argparse

__all__ = ["add_parsers", "log_command"]

_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "input": "\x1b[36m", "console": "\x1b[2m"}


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; ``args.func(args)`` runs it and returns the exit status."""
    text = "show what a run did: power, boot, what was typed, faults, recovery"
    parser = subparsers.add_parser(
        "log", help=text, description="Show the event log of a run as text: what was done, when, and how long it took."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=LATEST, metavar="RUNFOLDER", help=f"a run folder (default: {LATEST})"
    )
    parser.add_argument("--console", action="store_true", help="with the serial log between, each line behind a |")
    parser.add_argument("--board", metavar="NAME", help="what concerns this board alone")
    parser.add_argument("--faults", action="store_true", help="warnings and errors only")
    parser.add_argument("--fields", action="store_true", help="all that was noted, such as the command line of QEMU")
    parser.set_defaults(func=log_command)


def log_command(args: argparse.Namespace) -> int:
    """Print the events of ``args.folder``. Raises ``ConfigurationError``."""
    from pytest_lava.errors import ConfigurationError
    from pytest_lava.results.event_text import as_text, read_events

    events = read_events(args.folder)
    if args.board:
        boards = sorted({event.board for event in events if event.board})
        if args.board not in boards:
            raise ConfigurationError(f"--board: {args.board} was no board of this run; there are {', '.join(boards)}")
        events = [event for event in events if event.board == args.board]
    if args.faults:
        events = [event for event in events if event.level in ("warning", "error")]
        if not events:
            print("no warnings, no errors")
            return 0
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in as_text(events, console=args.console, fields=args.fields, paint=_paint if colours else None):
        print(line)
    return 0


def _paint(text: str, level: str) -> str:
    colour = _COLOURS.get(level)
    return f"{colour}{text}\x1b[0m" if colour else text

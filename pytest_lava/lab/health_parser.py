"""What ``pytest-lava health`` may be given; what does it is loaded only when it is called."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_lava.arguments import seconds
from pytest_lava.results.run_folders import RUNS

__all__ = ["add_parsers"]


def add_parsers(subparsers: Any) -> None:
    """Add ``health``."""
    parser = subparsers.add_parser(
        "health",
        help="check boards: deploy, boot, shell, reset, network",
        description="Boot what is known to be good on each board, without snapshots, and tell how each step went. "
        "Exit status 0: all are healthy; 69: one is not, or is in use.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("board", nargs="*", metavar="BOARD", help="boards, or device types: then all boards of that type")
    add("--wait", type=seconds, default=0.0, metavar="SECONDS", help="wait so long for a board in use (default: 0)")
    add("--release", action="store_true", help="take a board that is healthy out of quarantine")
    add("--quarantine", action="store_true", help="put a board that is not healthy into quarantine")
    add("--runs", type=Path, default=RUNS, metavar="DIR", help=f"where it is recorded (default: {RUNS})")
    add("--history", action="store_true", help="check nothing: list earlier checks, of BOARD or of all")
    parser.set_defaults(func=_health)


def _health(arguments: argparse.Namespace) -> int:
    from pytest_lava.lab.health_commands import health

    return health(arguments)

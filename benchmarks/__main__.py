"""``python -m benchmarks [NAME ...] [-n ROUNDS]``: tables in Markdown on stdout, progress on stderr."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.boot import boot
from benchmarks.console import ROWS, console
from benchmarks.deploy import ROWS as DEPLOY_ROWS
from benchmarks.deploy import deploy
from benchmarks.idle import idle
from benchmarks.items import items
from benchmarks.results import results
from benchmarks.roundtrip import roundtrip
from benchmarks.transfer import transfer

_ALL: dict[str, Callable[[int, Path], str]] = {
    "boot": boot,
    "items": items,
    "idle": idle,
    "roundtrip": roundtrip,
    "transfer": transfer,
    "console": console,
    "deploy": deploy,
    "results": results,
}
_ROWS = {f"console-{name}": row for name, row in ROWS.items()}  # of console, each by itself
_ROWS |= {f"deploy-{name}": row for name, row in DEPLOY_ROWS.items()}


def main() -> None:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="The project against its peers and the floor. Run it on a quiet machine.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        choices=[[], *_ALL, *_ROWS],
        metavar="NAME",
        help=f"of {', '.join([*_ALL, *_ROWS])}; default: all",
    )
    parser.add_argument("-n", type=int, default=7, metavar="ROUNDS", help="interleaved rounds (default: 7)")
    arguments = parser.parse_args()
    for name in arguments.names or _ALL:
        with tempfile.TemporaryDirectory(prefix="lava-bench-") as folder:
            print((_ALL | _ROWS)[name](arguments.n, Path(folder) / name), flush=True)


if __name__ == "__main__":
    main()

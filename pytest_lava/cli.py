"""``pytest-lava ...`` for people."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pytest_lava.errors import ConfigurationError, ExitStatus, LavaError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status: 0 good, 4 a mistake in the call, 69 the lab's or network's fault."""
    parser = argparse.ArgumentParser(
        prog="pytest-lava", description="Boards, kernels and results beside a pytest run.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pytest-lava {version('pytest-lava')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    from pytest_lava.bisect.commands import USAGE as BISECT_USAGE
    from pytest_lava.bisect.commands import add_parsers as add_bisect_parsers
    from pytest_lava.images.cache_commands import add_parsers as add_cache_parsers
    from pytest_lava.images.commands import add_parsers as add_image_parsers
    from pytest_lava.lab.commands import add_parsers as add_lab_parsers
    from pytest_lava.lab.health_parser import add_parsers as add_health_parsers
    from pytest_lava.results.commands import add_parsers as add_result_parsers
    from pytest_lava.results.commands import spelled_out
    from pytest_lava.results.log_command import add_parsers as add_log_parsers
    from pytest_lava.spool.commands import add_parsers as add_spool_parsers

    add_lab_parsers(subparsers)
    add_health_parsers(subparsers)
    add_image_parsers(subparsers, _make_root)
    add_cache_parsers(subparsers)
    add_result_parsers(subparsers)
    add_log_parsers(subparsers)
    add_spool_parsers(subparsers)
    add_bisect_parsers(subparsers)
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = parser.parse_args(spelled_out(words) or ["--help"])
    except SystemExit as end:
        if end.code in (0, None):
            raise
        # to `git bisect run` a small status says that the commit is bad
        return int(BISECT_USAGE if words[:1] == ["bisect"] else ExitStatus.USAGE)
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    try:
        status = int(arguments.func(arguments))
        sys.stdout.flush()
        return status
    except ConfigurationError as error:
        print(f"pytest-lava: {error}", file=sys.stderr)
        return ExitStatus.USAGE
    except BrokenPipeError:  # of `pytest-lava boards | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python does not complain either
        return 128 + signal.SIGPIPE
    except (LavaError, OSError) as error:
        print(f"pytest-lava: {error}", file=sys.stderr)
        return ExitStatus.LAB_FAULT
    except KeyboardInterrupt:
        print("pytest-lava: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _make_root(arch: str, cache: Path) -> list[str]:
    from pytest_lava.inject.rootfs import debian_root

    made = debian_root(arch, cache, progress=lambda line: print(line, flush=True))
    return [f"debian-{arch}:", f"  kernel  {made.kernel}", f"  initrd  {made.initrd}", f"  image   {made.image}"]

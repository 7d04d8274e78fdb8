"""``pytest-lava fetch``: get what the boards that ship with the project boot."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Callable

__all__ = ["add_parsers", "fetch"]


_ROOT = "debian-"


def add_parsers(
    subparsers: _SubParsersAction[argparse.ArgumentParser],
    make_root: Callable[[str, Path], list[str]] | None = None,
) -> None:
    """Add ``fetch``. The parsed arguments hold ``func``: a function of them that returns the exit status.

    ``make_root`` makes the root file system of an architecture in a cache folder and returns what to tell.
    """
    parser = subparsers.add_parser(
        "fetch",
        help="get a Debian kernel and busybox for the emulated boards",
        description="Fetch a Debian kernel and a static busybox, and build the initramfs that the emulated boards boot."
        " debian-ARCH is a root file system of Debian packages, with dpkg and apt. What is there already is not fetched"
        " again.",
    )
    parser.add_argument(
        "arch", nargs="*", metavar="ARCH", help="arm64 (the default), arm, x86, x86_64, debian-arm64 or debian-x86_64"
    )
    parser.add_argument("--kernel-deb", type=Path, metavar="PATH", help="use this linux-image package")
    parser.add_argument("--busybox-deb", type=Path, metavar="PATH", help="use this busybox-static package")
    parser.add_argument("--lava-cache", metavar="DIR", help="where to put it (default: the user's cache folder)")
    parser.set_defaults(func=fetch, make_root=make_root)


def fetch(arguments: argparse.Namespace) -> int:
    """Fetch for each architecture and print where things are. Errors are raised, for the caller to print."""
    from pytest_lava.errors import ConfigurationError
    from pytest_lava.images.artefact import local_path
    from pytest_lava.images.cache import cache_dir
    from pytest_lava.images.debian import demo_assets

    cache = local_path(arguments.lava_cache).absolute() if arguments.lava_cache else cache_dir()
    wanted: list[str] = list(dict.fromkeys(arguments.arch or ["arm64"]))
    if len(wanted) > 1 and (arguments.kernel_deb or arguments.busybox_deb):
        raise ConfigurationError("packages are for one architecture: give one ARCH with --kernel-deb or --busybox-deb")
    for arch in wanted:
        if arch.startswith(_ROOT) and arguments.make_root:
            print("\n".join(arguments.make_root(arch.removeprefix(_ROOT), cache)), flush=True)
            continue
        assets = demo_assets(
            arch,
            cache,
            kernel_deb=arguments.kernel_deb,
            busybox_deb=arguments.busybox_deb,
            progress=lambda line: print(line, flush=True),
        )
        print(f"{arch}: Linux {assets.release}\n  kernel  {assets.kernel}\n  initrd  {assets.initrd}", flush=True)
    return 0

"""Shells of Debian for emulated arm64 boards, whose own is busybox: fetched once, put into the initramfs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_lava.images.cache import cache_dir, replace_file
from pytest_lava.images.deb import unpack
from pytest_lava.images.debian import fetch

__all__ = ["GUEST_SHELLS", "guest_shells"]

#: before a test has one of its own
_CACHE = cache_dir()
_FOLDER = "/opt/shells"
#: package -> what is taken from it, and its place on the board; dash and mksh need the C library
_FILES = {
    "bash-static": {"bin/bash-static": f"{_FOLDER}/bash"},
    "mksh": {"bin/mksh": f"{_FOLDER}/mksh"},
    "dash": {"bin/dash": f"{_FOLDER}/dash"},
    "libc6": {
        "lib/aarch64-linux-gnu/ld-linux-aarch64.so.1": "/lib/ld-linux-aarch64.so.1",
        "lib/aarch64-linux-gnu/libc.so.6": "/lib/libc.so.6",
    },
}
#: how each is started at the prompt of another one; busybox is the board's own
GUEST_SHELLS = {
    "busybox": "exec sh -i",
    "dash": f"exec {_FOLDER}/dash -i",
    "bash": f"exec {_FOLDER}/bash --norc --noprofile -i",
    "mksh": f"exec {_FOLDER}/mksh -i",
}


def guest_shells() -> tuple[tuple[str, str], ...]:
    """What to say to ``--file`` so that a board has them all."""
    return tuple(("--file", f"{file}:{place}:755") for file, place in _fetched())


def _fetched() -> Iterator[tuple[Path, str]]:
    folder = _CACHE / "test-shells"
    for package, files in _FILES.items():
        kept = {folder / Path(place).name: (name, place) for name, place in files.items()}
        if not all(path.exists() for path in kept):
            (deb,) = fetch([package], "arm64", folder / "debs")
            content = dict(unpack(deb, lambda name, files=files: name in files))  # type: ignore[misc]
            for path, (name, _) in kept.items():
                replace_file(path, content[name])
        yield from ((path, place) for path, (_, place) in kept.items())

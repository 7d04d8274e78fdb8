"""What was put into an image, or onto a board, as results tell it: name, checksum, and the version of a package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pytest_lava.images.deb import is_deb, read_package
from pytest_lava.images.memo import sha256_of
from pytest_lava.inject.additions import Addition

__all__ = ["Added", "added", "added_modules"]


@dataclass(frozen=True)
class Added:
    """``kind`` is that of the addition, or ``modules``. A folder has no checksum, and only a package a version."""

    kind: str
    name: str
    option: str
    target: str = "/"
    sha256: str = ""
    version: str = ""


def added(addition: Addition, cache: Path) -> Added:
    """An addition whose source is on this machine. ``ConfigurationError`` if it cannot be read."""
    told = Added(addition.kind, addition.artefact.name, addition.option, addition.target)
    return _completed(told, addition.source, cache)


def added_modules(name: str, option: str, source: Path, cache: Path) -> Added:
    """Kernel modules that the user gave by themselves."""
    return _completed(Added("modules", name, option, "/lib/modules"), source, cache)


def _completed(told: Added, source: Path, cache: Path) -> Added:
    if source.is_dir():
        return told
    if told.kind in ("deb", "modules") and is_deb(source):
        package = read_package(source)
        told = replace(told, name=package.name, version=package.version)
    return replace(told, sha256=sha256_of(source, cache))

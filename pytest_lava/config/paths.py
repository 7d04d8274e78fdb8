"""Where board files and suites are: the user's folders before the shipped ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["board_folders", "shipped", "suite_folders"]

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(kind: str) -> Path:
    """The folder ``boards`` or ``testsuites`` that came with pytest-lava: package data, or the checkout's top."""
    installed = _PACKAGE / "_data" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def board_folders(root: Path) -> list[Path]:
    """Folders of board files, nearest first: the project's, the user's, the shipped ones."""
    return _folders(root, "boards")


def suite_folders(root: Path) -> list[Path]:
    """Folders of suites, likewise."""
    return _folders(root, "testsuites")


def _folders(root: Path, kind: str) -> list[Path]:
    import platformdirs

    return list(_existing(root / kind, platformdirs.user_config_path("pytest-lava") / kind, shipped(kind)))


def _existing(*folders: Path) -> Iterator[Path]:
    seen = set()
    for folder in folders:
        resolved = folder.resolve()
        if folder.is_dir() and resolved not in seen:
            seen.add(resolved)
            yield folder

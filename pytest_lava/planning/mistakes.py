"""Mistakes collected while a run is planned, so that the user sees all of them at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.plausible import refuse_page

__all__ = ["Mistakes", "existing"]

T = TypeVar("T")


class Mistakes:
    """Collects sentences, so that the user sees all of them at once."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}

    def add(self, sentence: str) -> None:
        self._sentences[sentence] = None

    def collect(self, step: Callable[..., T], *arguments: object, **named: object) -> T | None:
        """What ``step`` gives, or ``None`` and one sentence more."""
        try:
            return step(*arguments, **named)
        except ConfigurationError as error:
            self.add(str(error))
            return None

    def raise_all(self) -> None:
        if self._sentences:
            raise ConfigurationError("\n".join(self._sentences))


def existing(value: str | None, option: str, *, folder: bool = False) -> Artefact:
    """A file (or folder) that a user named, there if it is local. ``ConfigurationError`` begins with ``option``."""
    artefact = Artefact.parse(value or ".", option.rstrip())
    path, where = artefact.path, f"{option}{value}"
    if path is None:
        return artefact
    if path.is_dir() and not folder:
        raise ConfigurationError(f"{where}: this is a folder, not a file")
    if not path.exists():
        raise ConfigurationError(f"{where}: there is no such file")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{where}: this file cannot be read; check its permissions")
    if path.is_file() and not artefact.member:
        refuse_page(path, where)
    return artefact

"""A folder for what a deployment needs for as long as its board is used; gone afterwards, whatever happens."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

from pytest_lava.power.api import Forget, Guard

__all__ = ["Scratch"]


class Scratch:
    """Nothing is there until :meth:`file` is called."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._folder: Path | None = None
        self._forget: Forget | None = None

    def file(self, name: str) -> Path:
        """Where the file ``name`` may be made. ``OSError`` if there is no room for a folder."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pytest-lava-"))
            self._forget = self._guard.command(f"rm -rf {shlex.quote(str(self._folder))}")
        return self._folder / name

    def clear(self) -> None:
        """Remove all of it."""
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if self._forget is not None:
            self._forget()
            self._forget = None

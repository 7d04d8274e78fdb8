"""The journal is told where each suite comes from: once, and not before its first item has ended."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.plugin.collecting.collection import command_of
from pytest_lava.plugin.reporting.facts import names
from pytest_lava.suites.provenance import provenance

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Sources"]


class Sources:
    """Watches items."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told: set[str] = set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """No test waits for git."""
        try:
            return (yield)
        finally:
            if command_of(item) is None and not self._run.ending:
                self._tell(str(names(item)["suite"]), item.path)

    def _tell(self, suite: str, path: Path) -> None:
        """Results of this name come from this file; the first one counts."""
        if suite in self._told or self._run.journal is None:
            return
        self._told.add(suite)
        if found := provenance(path):
            self._run.journal.write("source", suite=suite, vcs="git", **asdict(found))

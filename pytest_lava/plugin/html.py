"""pytest-html's report: a board column, and the console slice of each test beside it."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_lava.plugin.session import Run

__all__ = ["Html"]


class Html:
    """Hooks of pytest-html; the report goes to the run folder unless it was named."""

    def __init__(self, run: Run) -> None:
        self._run = run
        option = run.config.option
        if not option.htmlpath and not (option.collectonly or getattr(option, "setupplan", False)):
            option.htmlpath = str(run.folder / "report.html")

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Name the boards."""
        boards = dict.fromkeys(target.request.name for target in self._run.plan.targets)
        report.title = f"pytest-lava: {', '.join(boards)}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """A column for the board."""
        cells.insert(1, '<th class="sortable" data-column-type="board">Board</th>')

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """Board and kernel of the test."""
        facts = getattr(report, "lava", {})
        kernel = f"<br><small>{html.escape(str(facts['release']))}</small>" if facts.get("release") else ""
        cells.insert(1, f'<td class="col-board">{html.escape(str(facts.get("board") or ""))}{kernel}</td>')

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Link the console slice. Here and not in makereport: a worker does not know where the report will be."""
        name = getattr(report, "lava", {}).get("slice")
        if name:
            from pytest_html import extras

            folder = Path(self._run.config.option.htmlpath).absolute().parent
            link = os.path.relpath(self._run.folder / name, folder)
            report.extras = [*getattr(report, "extras", []), extras.url(link, name="console log")]

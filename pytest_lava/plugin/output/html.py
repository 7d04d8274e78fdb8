"""pytest-html's report: root cause and files first, a board column, and the console slice of each test beside it."""

from __future__ import annotations

import html
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.errors import NO_ROOM, ExitStatus
from pytest_lava.plugin.output.html_output import ShortOutput
from pytest_lava.plugin.output.html_style import STYLE
from pytest_lava.plugin.reporting.crash import ATTACHMENTS
from pytest_lava.plugin.reporting.facts import FACTS
from pytest_lava.plugin.reporting.measuring import shown_measurements
from pytest_lava.results.kernel_messages import KERNEL_MESSAGES

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Html"]

#: where pytest-html has the classes whose object collects reports and writes the file
_REPORTS = ("pytest_html.report", "pytest_html.selfcontained_report")


class Html:
    """Hooks of pytest-html; the report goes to the run folder unless it was named."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: list[object] = []
        self._output = ShortOutput(run.folder, self._link)
        option = run.config.option
        self._ours = not option.htmlpath and run.runs_tests
        if self._ours:
            option.htmlpath = str(run.folder / "report.html")
            option.self_contained_html = True  # one file less to lose; console logs are files of their own anyway

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Nobody asked pytest-html for a report: it gets none to write before something runs."""
        plugins = self._run.config.pluginmanager
        if self._ours:
            self._waiting = [plugin for plugin in plugins.get_plugins() if type(plugin).__module__ in _REPORTS]
        for plugin in self._waiting:
            plugins.unregister(plugin)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """A report that finds no room is the machine's fault, and no crash of pytest."""
        try:
            return (yield)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._run.problems.append(f"the HTML report could not be written: {error.strerror}")
            session.exitstatus = session.exitstatus or ExitStatus.LAB_FAULT

    def begin(self) -> None:
        """The first item is about to run."""
        for plugin in self._waiting:
            self._run.config.pluginmanager.register(plugin)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Name the boards."""
        boards = dict.fromkeys(target.request.name for target in self._run.plan.targets)
        report.title = f"pytest-lava: {', '.join(boards)}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """What went wrong in one line, and where the rest is."""
        run = self._run
        if run.journal is None:
            return
        prefix.append(STYLE)
        told = run.teller.told()
        if told.cause:
            prefix.append(f'<p class="cause">{html.escape(told.cause)}</p>')
        prefix += [f"<p>{title}: {html.escape(line)}</p>" for title, line in (*told.lines, *run.submitted())]
        files = [run.plan.bundle, *sorted(run.folder.glob("**/console*.log")), run.folder / "events.jsonl"]
        links = [f'<a href="{html.escape(self._link(file))}">{html.escape(file.name)}</a>' for file in files]
        prefix.append(f"<p>{', '.join(links)}</p>")

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """A column for the board."""
        cells.insert(1, '<th class="sortable" data-column-type="board">Board</th>')

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """Board and kernel of the test, and what the kernel said."""
        facts = getattr(report, FACTS, {})
        kernel = f"<br><small>{html.escape(str(facts['release']))}</small>" if facts.get("release") else ""
        resumed = "<br><small>resumed, not booted</small>" if facts.get("resumed") else ""
        board = html.escape(str(facts.get("board") or ""))
        said = dict.fromkeys(str(one.get("name")) for one in facts.get(KERNEL_MESSAGES) or ())
        told = f'<br><small class="kernel">kernel: {html.escape(", ".join(said))}</small>' if said else ""
        for measured in shown_measurements(getattr(report, "user_properties", ())):
            cells[:] = [_below(cell, measured) if "col-testId" in cell else cell for cell in cells]
        cells.insert(1, f'<td class="col-board">{board}{kernel}{resumed}{told}</td>')

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_html(self, report: Any, data: list[str]) -> None:
        """The reason of a skip as a sentence, where pytest-html shows a Python tuple; of long output only the ends."""
        shown = report.when not in ("setup", "teardown") or report.outcome != "passed"  # so pytest-html
        if shown and self._run.journal is not None:
            self._output.shorten(report.nodeid, data, [("report", report.longreprtext), *report.sections])
        if isinstance(report.longrepr, tuple) and data:
            shown, said = html.escape(report.longreprtext), "{}:{}: {}".format(*report.longrepr)
            data[:] = [text.replace(shown, html.escape(said)) for text in data]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Link the console slice and what is attached. Here and not in makereport: a worker does not know where the
        report will be."""
        facts = getattr(report, FACTS, {})
        links = [("console log", facts["slice"])] if facts.get("slice") else []
        links += [(one["name"], one["path"]) for one in facts.get(ATTACHMENTS) or ()]
        if links:
            from pytest_html import extras

            report.extras = [
                *getattr(report, "extras", []),
                *(extras.url(self._link(self._run.folder / path), name=name) for name, path in links),
            ]

    def _link(self, file: Path) -> str:
        return os.path.relpath(file, Path(self._run.config.option.htmlpath).absolute().parent)


def _below(cell: str, text: str) -> str:
    """A cell with one line more."""
    return cell.replace("</td>", f"<br><small>{html.escape(text)}</small></td>")

"""What the terminal says beside pytest's own lines: the plan before, the root cause first, the files after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_lava.plan import Target
    from pytest_lava.plugin.session import Run

__all__ = ["Terminal"]


class Terminal:
    """Header and summary."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def pytest_report_header(self) -> list[str]:
        """One line a target."""
        plan = self._run.plan
        lines = [f"board: {_describe(target)}" for target in plan.targets]
        return [*lines, *(f"note: {remark}" for remark in plan.remarks)]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Iterator[None]:
        """The root cause before pytest's own sections, the files behind them."""
        run = self._run
        if run.journal is None:
            yield
            return
        from pytest_lava.results.journal import read
        from pytest_lava.results.summary import root_cause

        if cause := root_cause(read(run.folder)):
            terminalreporter.section("root cause", red=True, bold=True)
            terminalreporter.write_line(cause, red=True)
        yield
        terminalreporter.section("board results")
        for problem in run.problems:
            terminalreporter.write_line(problem, red=True)
        for title, path in self._files():
            terminalreporter.write_line(f"{title:<12} {path}")

    def _files(self) -> Iterator[tuple[str, str]]:
        run = self._run
        if run.plan.bundle.exists():
            yield "bundle", _short(run.plan.bundle)
        html = getattr(run.config.option, "htmlpath", None)
        if html:
            yield "report", _short(Path(html))
        yield "junit", _short(run.folder / "junit.xml")
        for log in sorted(run.folder.glob("**/console*.log")):
            yield "console", _short(log)
        yield "events", _short(run.folder / "events.jsonl")


def _describe(target: Target) -> str:
    request = target.request
    board = request.candidates[0]
    text = f"{target.id}: {board.model.description or board.name} ({request.arch})"
    if len(request.candidates) > 1:
        text += f", first free of {', '.join(config.name for config in request.candidates)}"
    if target.kernel:
        text += f", kernel {target.kernel.name} {target.kernel.file.release or ''}".rstrip()
    if target.image:
        text += f", image {target.image.name}"
    return text


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

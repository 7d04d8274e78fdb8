"""The cases of one suite that runs: each a report of its own; and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.console.bytelog import came_after
from pytest_lava.errors import LavaError, TestError, describe
from pytest_lava.plan import Target
from pytest_lava.plugin.reporting.child import emit_child
from pytest_lava.plugin.reporting.crash import readable_evidence
from pytest_lava.plugin.reporting.facts import error_facts
from pytest_lava.plugin.reporting.slices import CRASH_EXCERPT, readable
from pytest_lava.suites.api import STDOUT, Attachment, Case, Suite

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.plugin.run import Run

__all__ = ["Cases"]

_OUTCOMES: Mapping[str, Any] = {"pass": "passed", "fail": "failed", "skip": "skipped", "unknown": "skipped"}
_REMARKS = 50  # in a report; the event log has all
_TOLD = 5  # names of cases in the one line that says which failed


class Cases:
    """Reports the cases of one item, live, and fails the item by them.

    ``named`` is what results of ``suite`` are called; ``chosen`` are the only cases that are wanted, if there are any.
    """

    def __init__(
        self,
        run: Run,
        item: pytest.Item,
        target: Target,
        board: Board,
        suite: Suite,
        *,
        named: str,
        folder: Path,
        chosen: set[str],
    ) -> None:
        self._run, self._item, self._target, self._board, self._folder = run, item, target, board, folder
        self._chosen = chosen
        self._begin = board.console.end
        self._taken: Counter[str] = Counter()
        self._failed: list[str] = []
        self._count = 0
        self._came: set[str] = set()
        #: node ids of cases by their plain id, and files of the whole run
        self._ids: dict[str, str] = {}
        self._files: list[dict[str, str]] = []
        #: whether something ended it early, and whether its board died by that
        self.broke = self.died = False
        #: what a person should know of the run, beside its results
        self.remarks: list[str] = []
        self._suite = named
        #: definitions of one job may have cases of the same name
        self._within = f"{suite.name}::" if target.job else ""
        if self._within:
            self._chosen = {name.removeprefix(self._within) for name in chosen if name.startswith(self._within)}
        several = len(run.plan.targets) > 1
        self._where = f"[{target.id}]" if several else ""

    def report(self, case: Case) -> None:
        """One case, now."""
        name = "::".join(part for part in (case.set_name, case.id) if part)
        self._taken[name] += 1
        if self._taken[name] > 1:
            name = f"{name}#{self._taken[name]}"
        begin, self._begin = self._begin, self._board.console.end
        if self._chosen and name not in self._chosen:
            if case.error is not None:
                self._run.recoveries.died_under(self._target, self._item.nodeid)
            return
        self._came.add(name)
        self._count += 1
        if case.result == "fail":
            self._failed.append(name)
        file, shown = self._item.nodeid.partition("::")[0], f"{self._within}{name}{self._where}"
        nodeid = self._ids[case.id] = f"{file}::{shown}"
        facts = self._facts(case, name, begin)
        sections = [("Output", case.output)] if case.output and case.result == "fail" else []
        if case.error is not None:
            sections = self._death(case.error, case.start, nodeid, facts)
        emit_child(
            self._item,
            name=nodeid,
            title=f"{shown} ({self._item.path.name})",
            when="call",
            outcome=_OUTCOMES[case.result],
            reason=self._reason(case),
            seconds=max(0.0, case.stop - case.start),
            stop=case.stop,
            facts=facts,
            sections=sections,
            properties=_properties(case),
            xfail=case.xfail,
        )

    def _facts(self, case: Case, name: str, begin: int) -> dict[str, Any]:
        board, log = self._board, self._folder / STDOUT
        return {
            "suite": self._suite,
            "case": name.replace("::", "."),
            "target": self._target.id,
            "board": board.name,
            "release": board.last_boot.release if board.last_boot else None,
            "console": [begin, self._begin],
            "console_log": self._run.log_name(board.console.log),
            "result": case.result,
            "log_line": case.line if case.line and log.exists() else None,
            "said": case.message,
            "parent": self._item.nodeid,
            "attachments": [self._file(one) for one in case.attachments],
        }

    def _death(self, error: LavaError, start: float, nodeid: str, facts: dict[str, Any]) -> list[tuple[str, str]]:
        """The board died under this case: what is known of that goes to its facts, and what a report shows is returned.

        What is found later, at the next boot, belongs to it too.
        """
        run, board, target = self._run, self._board, self._target
        begin, end = facts["console"]
        begin = self._since(start, begin)
        facts["console"] = [begin, end]
        name = facts["slice"] = run.slices.name(nodeid)
        run.slices.write(board, begin, end, name)
        facts["error"] = error_facts(describe(error))
        said = readable_evidence(error)
        sections = [(f"Console of {board.name}", readable(board, begin, CRASH_EXCERPT) or said)]
        if sourced := run.crash.sourced(board, target, said, name, board.console.boundary):
            sections.append((f"Call traces of {board.name} with lines of source", sourced.text))
            facts["attachments"] = [*facts["attachments"], *sourced.attachments]
        run.crash.died_under(board, target, nodeid, name)
        run.recoveries.died_under(target, nodeid)
        return sections

    def _since(self, start: float, begin: int) -> int:
        """Where the console was at a moment: cases within this one may have been told since."""
        at = came_after(self._board.console.log, int(start * 1e9))
        return begin if at is None else min(at, begin)

    def go_on(self) -> None:
        """The board is back: what it said on its way is no case's."""
        self._begin = self._board.console.end

    @staticmethod
    def _reason(case: Case) -> str:
        """Why it did not pass, in one line."""
        said = case.message or {"fail": "the test says so", "unknown": "the result is unknown"}.get(case.result, "")
        if case.measurement is not None and case.result == "fail" and f"{case.measurement:g}" not in said:
            said += f" (measured {case.measurement:g} {case.units})".replace(" )", ")")
        return said or "skipped by the test"

    def tell(self, remark: str) -> None:
        """A line for the event log, and for the report."""
        self._board.events.emit(remark)
        if len(self.remarks) < _REMARKS:
            self.remarks.append(remark)

    def judge(self) -> None:
        """Fail the item by its cases."""
        if missing := self._chosen - self._came:
            raise TestError(f"the definition reported no case {', '.join(sorted(missing))}")
        if self._failed:
            names = ", ".join(self._failed[:_TOLD]) + (", ..." if len(self._failed) > _TOLD else "")
            raise TestError(f"{len(self._failed)} of {self._count} cases failed: {names}")

    def attach(self, case: str, file: Attachment) -> None:
        """A file that came from the board after the outcome of its case."""
        about, journal = self._file(file), self._run.journal
        if case and case in self._ids and journal is not None:
            journal.write(
                "evidence",
                by="test",
                board=self._board.name,
                nodeid=self._ids[case],
                target=self._target.id,
                sections=[],
                attachments=[about],
            )
        elif not case or not self._chosen:
            self._files.append(about)

    def _file(self, file: Attachment) -> dict[str, str]:
        return {"name": file.name, "path": str(file.path.relative_to(self._run.folder)), "mime": file.mime}

    def files(self) -> list[dict[str, str]]:
        """What belongs to the whole test run: its logs first, as results point into the one of its steps."""
        logs = sorted(self._folder.glob("*.log"), key=lambda log: log.name != STDOUT)
        return [*(self._file(Attachment(log.name, log)) for log in logs), *self._files]


def _properties(case: Case) -> list[tuple[str, Any]]:
    """What a result has beside its outcome."""
    told = {
        "measurement": case.measurement,
        "units": case.units or None,
        "low": case.low,
        "high": case.high,
        "set": case.set_name or None,
        **case.attributes,
    }
    return [(name, value) for name, value in told.items() if value is not None]

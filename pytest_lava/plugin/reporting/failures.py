"""The one failing report of a target that cannot be deployed, booted or recovered; its items are skipped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_lava.errors import Blame
from pytest_lava.lab.failure import Failure
from pytest_lava.plugin.reporting.child import emit_child
from pytest_lava.plugin.reporting.crash import readable_evidence
from pytest_lava.plugin.reporting.facts import error_facts, release_of
from pytest_lava.plugin.reporting.slices import CRASH_EXCERPT, EXCERPT
from pytest_lava.results.record import LAVA

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Failures"]


class Failures:
    """Reports them while an item runs, which is the one that met it first."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def report(self, failure: Failure) -> None:
        """Under a node id of its own, with the end of the console."""
        run, item = self._run, self._run.reporting.current_item
        if item is None or not self._first(failure):
            return
        error, name = failure.error, f"{failure.stage}::{failure.target.id}"
        facts: dict[str, Any] = {
            "suite": LAVA,
            "case": failure.stage,
            "target": failure.target.id,
            "board": failure.target.request.name,
            "release": release_of(failure.target),
            "error": error_facts(error),
            "parent": item.nodeid,
        }
        if board := run.boards.board(failure.target) if run.boards else None:
            run.slices.write(board, *failure.console, slice_name := run.slices.name(name))
            facts |= {
                "board": board.name,
                "console": list(failure.console),
                "console_log": run.log_name(board.console.log),
                "slice": slice_name,
            }
        text = error.message
        said = readable_evidence(error)
        lines = CRASH_EXCERPT if error.blame is Blame.JOB else EXCERPT
        if tail := said.splitlines()[-lines:]:
            text += "\n\nlast lines of the console:\n  " + "\n  ".join(tail)
        if board and (sourced := run.crash.sourced(board, failure.target, said, slice_name, failure.console[0])):
            text += f"\n\ncall traces with lines of source:\n{sourced.text}"
            facts["attachments"] = list(sourced.attachments)
        emit_child(
            item,
            name=name,
            # a broken lab is an error, what the submitter supplied is a failure
            when="call" if error.blame is Blame.JOB else "setup",
            reason=text,
            seconds=failure.seconds,
            facts=facts,
        )
        run.events.emit(failure.reason, level="error")

    def _first(self, failure: Failure) -> bool:
        """Whether this process is the first to report it: two workers may meet the same failure."""
        if not self._run.is_worker:
            return True  # the manager tells each failure once
        name = re.sub(r"[^\w.-]", "_", f".{failure.stage}-{failure.target.id}.failed")
        try:
            (self._run.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def forget_marks(self) -> None:
        """Remove the files by which workers knew what was reported."""
        for mark in self._run.folder.glob(".*.failed"):
            mark.unlink(missing_ok=True)

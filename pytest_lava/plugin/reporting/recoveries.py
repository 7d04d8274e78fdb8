"""Recoveries and tries that failed go to the journal, with the item that a board died under."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.board.board import Board
from pytest_lava.errors import NetworkError, describe
from pytest_lava.images.tries import FailedTry
from pytest_lava.lab.recovery import Recovery
from pytest_lava.lab.retry import Attempt
from pytest_lava.plan import Target
from pytest_lava.plugin.collecting.collection import target_of

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Recoveries"]


class Recoveries:
    """Knows which item used a board last, as recovery comes when the next one wants the board."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._item = ""
        self._last: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note who uses which board."""
        self._item, target = item.nodeid, target_of(item)
        try:
            return (yield)
        finally:
            if target is not None:
                self._last[target.request.name] = item.nodeid

    def died_under(self, target: Target, nodeid: str) -> None:
        """A board died under a part of the item that runs."""
        self._last[target.request.name] = nodeid

    def ending(self) -> None:
        """What is recovered from now on is for no item."""
        self._item = ""

    def recovery(self, target: Target, board: Board, recovery: Recovery) -> None:
        """One climb of the ladder, before the next item goes on or is skipped."""
        if self._run.journal is None:
            return
        self._run.journal.write(
            "recovery",
            board=board.name,
            durable=True,
            target=target.id,
            cause=recovery.cause,
            death=str(recovery.death),
            after=self._last.get(target.request.name, ""),
            before=self._item,
            start=recovery.start,
            seconds=round(recovery.seconds, 6),
            worked=recovery.worked,
            by=recovery.by,
            rungs=[{**asdict(rung), "seconds": round(rung.seconds, 6)} for rung in recovery.rungs],
            evidence=recovery.evidence,
            console_log=self._run.log_name(board.console.log),
        )

    def fetching(self, tried: FailedTry) -> None:
        """A try to fetch something that failed, of several; several threads tell at once."""
        if self._run.journal is None:
            return
        self._run.journal.write(
            "attempt",
            target="",
            phase="fetch",
            what=tried.url,
            number=tried.number,
            of=tried.of,
            last=tried.last,
            error=asdict(describe(NetworkError(tried.why))),
            start=tried.start,
            seconds=round(tried.seconds, 6),
            item=self._item,
        )

    def attempt(self, target: Target, board: str, attempt: Attempt) -> None:
        """One try that failed, though another one followed."""
        if self._run.journal is None:
            return
        fields = asdict(attempt)
        self._run.journal.write(
            "attempt",
            board=board,
            target=target.id,
            item=self._item,
            **{**fields, "seconds": round(attempt.seconds, 6)},
        )

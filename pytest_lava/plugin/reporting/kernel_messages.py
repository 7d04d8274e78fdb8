"""What the kernel said during each test beside its panics: warnings, stalls and oopses, reported or made a failure."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.board.record import BootRecord
from pytest_lava.console.bytelog import moment
from pytest_lava.console.console import Console
from pytest_lava.console.incidents import Incident
from pytest_lava.console.watch import FindingKind
from pytest_lava.errors import KernelComplaint
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.reporting.facts import FACTS, iso
from pytest_lava.results.kernel_messages import KERNEL_MESSAGES, SECTION, kernel_traces

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.plugin.run import Run

__all__ = ["KernelMessages"]

_MOST = 100  # in one report; a kernel that complains without end says the same again
_TRACES = 20  # of which so many have their traces in it; the console log has all
_COMPLAINTS = (FindingKind.CRASH, FindingKind.STALL, FindingKind.WARN)


class KernelMessages:
    """Watches items run. It has to be registered behind ``Reporting``: a crash that nobody saw comes first."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._mode = str(run.config.option.lava_kernel_messages)
        self._begin = self._told = 0
        self._boots: list[tuple[int, int]] = []

    def of_boot(self, board: Board, record: BootRecord) -> list[dict[str, Any]]:
        """What the kernel said while it booted: it belongs to the boot, not to the test that needed it."""
        self._boots.append(record.console)
        if self._mode == "ignore":
            return []
        incidents = board.console.incidents(*record.console)
        for incident in incidents:
            said = f"while booting, the kernel said: {incident.message}"
            board.events.emit(said, level="warning", pattern=incident.name)
        return _facts(board.console, incidents)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """From here on what the kernel says belongs to this item."""
        board = self._board(item)
        self._begin = self._told = board.console.end if board else 0
        self._boots.clear()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """With ``--kernel-messages=fail`` a test that passed by itself fails by them."""
        __tracebackhide__ = True
        yield
        self._fail_by_them(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """So does its teardown."""
        __tracebackhide__ = True
        yield
        self._fail_by_them(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put those that came since the last report of the item on this one."""
        report = yield
        board = self._board(item)
        if self._mode == "ignore" or board is None or _left_out(report):
            return report
        if incidents := self._since(board, self._begin):
            self._begin = max(board.console.end, incidents[-1].end)
            facts = getattr(report, FACTS)[KERNEL_MESSAGES] = _facts(board.console, incidents)
            if text := kernel_traces(facts):
                report.sections.append((f"{SECTION}{board.name}", text))
        return report

    def _fail_by_them(self, item: pytest.Item) -> None:
        board = self._board(item)
        if self._mode != "fail" or board is None:
            return
        found = [one for one in self._since(board, self._told) if one.kind in _COMPLAINTS and not one.doubtful]
        if not found:
            return
        self._told = max(board.console.end, found[-1].end)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        evidence = "\n\n".join(one.trace for one in found[:_TRACES])
        raise KernelComplaint(f"the kernel complained: {found[0].message}{more}", evidence=evidence)

    def _since(self, board: Board, begin: int) -> list[Incident]:
        """Without what was said while booting."""
        if not board.console.findings(begin):
            return []
        board.console.let_traces_end(begin)
        boots = self._boots
        found = board.console.incidents(begin)
        return [one for one in found if not any(start <= one.start < end for start, end in boots)]

    def _board(self, item: pytest.Item) -> Board | None:
        return self._run.boards.board(target_of(item)) if self._run.boards else None


def _left_out(report: pytest.TestReport) -> bool:
    """Whether no test ran that the kernel could have met."""
    return not hasattr(report, FACTS) or (report.skipped and not hasattr(report, "wasxfail"))


def _facts(console: Console, incidents: list[Incident]) -> list[dict[str, Any]]:
    """As the journal keeps them: plain JSON."""
    return [
        {
            "class": str(one.kind),
            "name": one.name,
            "message": one.message,
            "trace": one.trace if number < _TRACES else "",
            "time": iso(moment(console.log, one.start) / 1e9 or None),
            "console": [one.start, one.end],
            **({"doubtful": True} if one.doubtful else {}),
        }
        for number, one in enumerate(incidents[:_MOST])
    ]

"""What the parts of one run share: its plan, folder, journal and boards, and each other."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_lava.events import EventLog
from pytest_lava.plan import RunPlan
from pytest_lava.plugin import run_folder
from pytest_lava.results.journal import Journal
from pytest_lava.results.told import Teller

if TYPE_CHECKING:
    from pytest_lava.plugin.boards.boards import Boards
    from pytest_lava.plugin.boards.marks import Marks
    from pytest_lava.plugin.boards.timeouts import TimeLimits
    from pytest_lava.plugin.output.html import Html
    from pytest_lava.plugin.output.submit import Submission
    from pytest_lava.plugin.output.submit_live import LiveSubmission
    from pytest_lava.plugin.reporting.crash import CrashEvidence
    from pytest_lava.plugin.reporting.failures import Failures
    from pytest_lava.plugin.reporting.kernel_messages import KernelMessages
    from pytest_lava.plugin.reporting.recoveries import Recoveries
    from pytest_lava.plugin.reporting.reporting import Reporting
    from pytest_lava.plugin.reporting.slices import Slices
    from pytest_lava.plugin.session import Session

__all__ = ["Run"]


class Run:
    """A run in this process: the main one, an xdist worker, or the controller of workers.

    It decides nothing: ``registration`` puts it together, and its session opens and ends it.
    ``given``: the id of the run, as a controller gave it to this worker.
    """

    key = pytest.StashKey["Run"]()

    #: the parts that are always there, from before the first hook on
    session: Session
    reporting: Reporting
    failures: Failures
    slices: Slices
    recoveries: Recoveries
    kernel_messages: KernelMessages
    crash: CrashEvidence
    marks: Marks

    def __init__(self, config: pytest.Config, plan: RunPlan, given: str = "") -> None:
        self.config = config
        self.plan = plan
        self.is_worker = bool(given)
        self.worker = os.environ.get("PYTEST_XDIST_WORKER", "main") if given else "main"
        self.uuid = given or str(uuid.uuid4())
        #: from the first item on
        self.boards: Boards | None = None
        self.journal: Journal | None = None
        self.events = EventLog()
        #: only where pytest-html or pytest-timeout is there
        self.html: Html | None = None
        self.limits: TimeLimits | None = None
        #: where results go; a worker leaves that to its controller
        self.submission: Submission | None = None
        #: with ``--submit-live``
        self.live: LiveSubmission | None = None
        #: what people are told of the run at its end
        self.teller = Teller(self.folder)
        #: what went wrong with the results themselves
        self.problems: list[str] = []
        #: whether bundle and JUnit are those of this run
        self.written = False
        #: whether the end has begun, in order or by an interrupt
        self.ending = False

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.plan.run_folder

    @property
    def runs_tests(self) -> bool:
        """Whether this is more than a look at what there is."""
        return run_folder.runs_tests(self.config)

    def numbered(self, count: int) -> str:
        """A number in the run folder that no other worker gives."""
        return f"{self.worker}-{count:04d}" if self.is_worker else f"{count:04d}"

    def log_name(self, log: Path | None) -> str | None:
        """A file of the run folder as the journal names it."""
        return str(log.relative_to(self.folder)) if log else None

    def submitted(self) -> list[tuple[str, str]]:
        """What became of the results: a title and a line for each sink."""
        told = list(self.submission.told(self)) if self.submission else []
        return [*told, *(self.live.told() if self.live else ())]

"""The face of LAVA jobs: read before the plan is made, then run in order within their limits, their sources fetched
before a board is leased."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_lava.deadline import Deadline
from pytest_lava.errors import (
    CommandTimeout,
    ConfigurationError,
    FetchFailed,
    LavaError,
    NetworkError,
    OperationFailed,
    Timeout,
    first_line,
)
from pytest_lava.jobs.checkouts import Checkouts
from pytest_lava.jobs.job import Job
from pytest_lava.jobs.runs import JobSuite, SourcedDefinition
from pytest_lava.plan import Target
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.collecting.job_targets import job_suite_of
from pytest_lava.plugin.named_files import may_be_job
from pytest_lava.suites.api import Suite, Surroundings

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.plugin.run import Run

__all__ = ["Jobs", "named_jobs"]

_SUFFIXES = (".yaml", ".yml", ".json")
_FETCH = 600.0  # seconds for an archive of definitions
_NEARLY = 0.1  # seconds with which nothing can be begun


def named_jobs(config: pytest.Config) -> tuple[tuple[Job, ...], bool]:
    """The jobs that the command line names, and whether it names more than them. ``ConfigurationError``."""
    from pytest_lava.jobs.load import load_job

    jobs: dict[Path, Job] = {}
    wrong: list[str] = []
    more = bool(config.option.lava_command or config.option.lava_command_file or config.option.lava_host_command)
    more |= bool(config.option.lava_stress)
    for argument in config.args:
        path = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        if path in jobs:
            continue
        try:
            job = load_job(path) if path.suffix in _SUFFIXES and may_be_job(path) else None
        except ConfigurationError as error:
            wrong += str(error).splitlines()
            continue
        if job is None:
            more = True
        else:
            jobs[path] = job
    if wrong:
        raise ConfigurationError("\n".join(dict.fromkeys(wrong)))
    return tuple(jobs.values()), more or not jobs


class Jobs:
    """Hooks of items that are a job's, and how their suites are run."""

    def __init__(self, run: Run, jobs: Sequence[Job]) -> None:
        self._run = run
        self._jobs = {job.path: job for job in jobs}
        self._checkouts: Checkouts | None = None
        #: limits that have begun: of jobs by their stories, of blocks by those and their keys
        self._clocks: dict[object, Deadline] = {}
        #: why a suite cannot be run, by its id
        self._failed: dict[int, FetchFailed | NetworkError] = {}
        #: why nothing more of a story is run
        self._ended: dict[str, str] = {}
        #: up to where the console was read on each target, in which boot
        self._read: dict[str, tuple[object, int]] = {}

    @property
    def suites(self) -> dict[Path, tuple[Suite, ...]]:
        """What each file holds."""
        return {path: job.suites for path, job in self._jobs.items()}

    # -- before -------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A job that has ended is not gone on with; what the first item of a job needs from elsewhere, all need."""
        __tracebackhide__ = True
        suite, target = job_suite_of(item), target_of(item)
        if suite is None or target is None:
            return
        self._clock(_story(target), self._jobs[suite.source].limit)
        if why := self._ended.get(_story(target)) or self._over(suite, target):
            pytest.skip(why)
        if missing := self._missing(suite.source):
            with self._run.events.phase("fetch"):
                for other in missing:
                    self._locate(other)
        if isinstance(suite.suite, SourcedDefinition):
            failed = self._failed[id(suite)]
            raise type(failed)(str(failed))

    def _missing(self, job: Path) -> list[JobSuite]:
        """What this run still needs of a job's sources; what failed is not tried again."""
        suites = {id(one): one for item in self._run.reporting.items if (one := job_suite_of(item)) is not None}
        return [
            one
            for number, one in suites.items()
            if one.source == job and isinstance(one.suite, SourcedDefinition) and number not in self._failed
        ]

    def _locate(self, suite: JobSuite) -> None:
        assert isinstance(suite.suite, SourcedDefinition)
        if self._checkouts is None:
            folder = self._run.folder / f"checkouts-{self._run.worker}"
            self._checkouts = Checkouts(folder, self._fetch)
        try:
            suite.become(suite.suite.located(self._checkouts.get(suite.suite.wanted)))
        except (FetchFailed, NetworkError) as error:
            self._failed[id(suite)] = error

    def _fetch(self, url: str) -> Path:
        boards = self._run.boards
        assert boards is not None
        return boards.fetch(url, _FETCH)

    def _clock(self, key: object, limit: float | None) -> Deadline | None:
        if limit is not None and key not in self._clocks:
            self._clocks[key] = Deadline.after(limit)
        return self._clocks.get(key)

    # -- running ------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self, suite: Suite, target: Target, board: Board, around: Surroundings) -> Iterator[Surroundings]:
        """Around a suite, what it runs in; if it is a job's, with that one's limits and the console."""
        if not isinstance(suite, JobSuite):
            yield around
            return
        try:
            yield self._around(suite, target, board, around)
        except CommandTimeout as error:  # it names a command of ours
            over = self._over(suite, target)
            raise CommandTimeout(over or str(error), evidence=error.evidence) from error
        finally:
            self._note_end(suite, target, board)

    def _over(self, suite: JobSuite, target: Target) -> str:
        """Which limit is over, if one is."""
        story, block, job = _story(target), suite.place.block, self._jobs[suite.source]
        for key, limit, what in ((story, job.limit, "the job"), ((story, block.key), block.limit, "its action")):
            if limit and (clock := self._clocks.get(key)) is not None and clock.remaining() < _NEARLY:
                return f"the time of {what} ({limit:g} s) is over"
        return ""

    def _around(self, suite: JobSuite, target: Target, board: Board, around: Surroundings) -> Surroundings:
        job = self._jobs[suite.source]
        story, block = _story(target), suite.place.block
        clocks = [self._clock(story, job.limit), self._clock((story, block.key), block.limit)]
        left = min((clock.remaining() for clock in clocks if clock is not None), default=around.timeout)
        if left < _NEARLY:
            pytest.skip(self._over(suite, target))
        return replace(around, timeout=left, console=board.console, since=self._since(suite, target, board))

    def _since(self, suite: JobSuite, target: Target, board: Board) -> int:
        """Where the item before has ended; for the first one after a boot where that came to its goal."""
        boot, at = self._read.get(target.id, (None, 0))
        if boot == (board.boot_id, board.console.boundary):
            return at
        begin = board.console.boundary
        reached = board.last_boot.console[1] if board.last_boot else begin
        return max(begin, reached) if suite.place.goal == "shell" else begin

    def _note_end(self, suite: JobSuite, target: Target, board: Board) -> None:
        """What came on the console is no other one's, and an error may end the job."""
        self._read[target.id] = (board.boot_id, board.console.boundary), board.console.end
        if suite.broke is not None and _ends(suite, suite.broke):
            over = self._over(suite, target) if isinstance(suite.broke, Timeout) else ""
            self._ended[_story(target)] = over or f"the job ended with {suite.name}: {first_line(suite.broke)}"

    # -- the end ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """What was fetched goes."""
        if self._checkouts is not None:
            self._checkouts.close()


def _story(target: Target | None) -> str:
    """What is one run of a job."""
    return target.job.story if target and target.job else ""


def _ends(suite: JobSuite, error: LavaError) -> bool:
    """As in LAVA, but for a board that died, which is recovered for what follows."""
    if error.recovers or isinstance(error, OperationFailed):
        return False
    return not (isinstance(error, Timeout) and suite.place.block.goes_on)

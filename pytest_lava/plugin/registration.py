"""Makes a run ours: its options are validated, and each part of the face is registered in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.lab.guardian import Guardian
from pytest_lava.planning.planner import make_plan
from pytest_lava.plugin import run_folder
from pytest_lava.plugin.board_files import board_files, registry
from pytest_lava.plugin.boards.health import HealthAfterTrouble
from pytest_lava.plugin.boards.marks import Marks
from pytest_lava.plugin.collecting.collection import Collection
from pytest_lava.plugin.collecting.suites_by_name import take_named_suites
from pytest_lava.plugin.items.commands import Commands
from pytest_lava.plugin.items.jobs import Jobs, named_jobs
from pytest_lava.plugin.items.scripts import Scripts
from pytest_lava.plugin.items.stress import Stress
from pytest_lava.plugin.items.suites import Suites
from pytest_lava.plugin.options import read_options
from pytest_lava.plugin.output.submit import forget, submission
from pytest_lava.plugin.output.submit_live import LiveSubmission, check_live
from pytest_lava.plugin.output.terminal import Terminal
from pytest_lava.plugin.reporting.attaching import Attaching
from pytest_lava.plugin.reporting.crash import CrashEvidence
from pytest_lava.plugin.reporting.failures import Failures
from pytest_lava.plugin.reporting.kernel_messages import KernelMessages
from pytest_lava.plugin.reporting.recoveries import Recoveries
from pytest_lava.plugin.reporting.reporting import Reporting
from pytest_lava.plugin.reporting.slices import Slices
from pytest_lava.plugin.reporting.sources import Sources
from pytest_lava.plugin.run import Run
from pytest_lava.plugin.session import Session

__all__ = ["take_part"]


def take_part(config: pytest.Config) -> None:
    """Validate the options and register what makes this run ours. ``pytest.UsageError`` for every mistake at once."""
    take_named_suites(config)
    guardian = Guardian()
    given: dict[str, str] | None = getattr(config, "workerinput", {}).get("lava")
    folder = Path(given["folder"]) if given else run_folder.choose(config)
    plan, submitted, mistakes = None, None, []
    try:
        jobs, plain = named_jobs(config)
        plan = make_plan(read_options(config), board_files(config), folder, guardian, jobs, plain=plain)
    except ConfigurationError as error:
        mistakes.append(str(error))
    try:
        submitted = None if given else submission(config, registry(config))
        forget(config)  # a worker reads the command line, too
        if submitted is not None:
            check_live(config, submitted.choices)
    except ConfigurationError as error:
        mistakes.append(str(error))
    if mistakes or plan is None:
        if not given:
            run_folder.remove_empty(folder)
        raise pytest.UsageError("\n".join(mistakes))
    run = Run(config, plan, given["run"] if given else "")
    if submitted is not None:
        submitted.hide()
        run.submission = submitted
    config.stash[Run.key] = run
    _put_together(run, guardian)
    _register(run, guardian, Jobs(run, jobs))


def _put_together(run: Run, guardian: Guardian) -> None:
    """The parts that others ask by their names."""
    run.session = Session(run, guardian)
    run.reporting = Reporting(run)
    run.failures = Failures(run)
    run.slices = Slices(run)
    run.recoveries = Recoveries(run)
    run.kernel_messages = KernelMessages(run)
    run.crash = CrashEvidence(run)
    run.marks = Marks(run)


def _register(run: Run, guardian: Guardian, jobs: Jobs) -> None:
    """The order counts: of two that wrap the same hook the later one is the outer one."""
    config, register = run.config, run.config.pluginmanager.register
    register(run.session, "lava-session")
    register(Commands(run, guardian), "lava-commands")
    register(Collection(config, run.plan), "lava-collection")
    register(run.reporting, "lava-reporting")
    register(run.recoveries, "lava-recoveries")
    register(run.kernel_messages, "lava-kernel-messages")
    register(run.crash, "lava-crash")
    register(Attaching(run), "lava-attaching")
    register(Sources(run), "lava-sources")
    register(Stress(run), "lava-stress")
    register(Suites(run, guardian, jobs), "lava-suites")
    register(jobs, "lava-jobs")
    register(Scripts(run, guardian), "lava-scripts")
    if run.plan.stress.until_failure:
        from pytest_lava.plugin.items.repeat import UntilFailure

        register(UntilFailure(run), "lava-until-failure")
    if not run.is_worker:
        register(Terminal(run), "lava-terminal")
        register(HealthAfterTrouble(run), "lava-health")
    if run.submission is not None and config.option.lava_submit_live:
        run.live = LiveSubmission(run, run.submission.choices)
        register(run.live, "lava-submit-live")
    if not run.is_worker and config.pluginmanager.hasplugin("html"):
        from pytest_lava.plugin.output.html import Html

        run.html = Html(run)
        register(run.html, "lava-html")
    register(run.marks, "lava-marks")
    if config.pluginmanager.hasplugin("timeout"):
        from pytest_lava.plugin.boards.timeouts import TimeLimits

        run.limits = TimeLimits(run)
        register(run.limits, "lava-limits")
    if config.pluginmanager.hasplugin("xdist"):
        from pytest_lava.plugin.xdist import Xdist

        register(Xdist(run), "lava-xdist")

"""What an item of a LAVA job runs on: the targets of its stage, and a shell, a boot loader or only the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_lava.jobs.runs import JobSuite
from pytest_lava.plan import Target
from pytest_lava.suites.api import Suite

__all__ = ["job_body", "job_suite_of", "job_targets"]


def job_suite_of(item: pytest.Item) -> JobSuite | None:
    """What an item runs of a job, if it does."""
    return _suite_of(getattr(item, "function", None))


def job_targets(function: Any, targets: Sequence[Target]) -> list[Target]:
    """Those that a test function may run on."""
    suite = _suite_of(function)
    stage = suite.place.stage if suite else ""
    return [target for target in targets if (target.job.key if target.job else "") == stage]


def job_body(execute: Callable[[pytest.Item, Suite, Any], None], suite: Suite) -> Callable[..., None] | None:
    """What pytest calls for a suite of a job whose board does not boot to a shell; its parameters are fixtures."""
    goal = suite.place.goal if isinstance(suite, JobSuite) else "shell"

    def at_bootloader(request: pytest.FixtureRequest, bootloader: Any) -> None:
        __tracebackhide__ = True
        execute(request.node, suite, None)

    def at_kernel(request: pytest.FixtureRequest, lava_booting: Any) -> None:
        __tracebackhide__ = True
        execute(request.node, suite, None)

    return {"bootloader": at_bootloader, "kernel": at_kernel}.get(goal)


def _suite_of(function: Any) -> JobSuite | None:
    found = getattr(function, "lava_suite", None)
    return found if isinstance(found, JobSuite) else None

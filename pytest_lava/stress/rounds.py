"""A stress run of something on this machine that talks to the board: called again and again until it fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from pytest_lava.console.bytelog import moment
from pytest_lava.console.console import Console
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConsoleLost, Hang, KernelCrash, LavaError, UnexpectedReset, first_line
from pytest_lava.stress.outcome import Cause, Outcome
from pytest_lava.stress.plan import Limits
from pytest_lava.told_times import told_seconds

__all__ = ["repeated"]


def repeated(
    call: Callable[[], object],
    name: str,
    *,
    limits: Limits,
    report: float,
    tell: Callable[[Outcome], None],
    console: Console | None = None,
) -> Outcome:
    """Call until an exception or a limit ends it. The exception goes on, after ``tell`` got the outcome."""
    begun, began_at = monotonic(), time.time()
    limit, due = Deadline(begun + limits.seconds), Deadline.after(report)
    so_far = Outcome(name, Cause.RUNNING, 0.0)
    tell(so_far)
    while True:
        try:
            call()
        except BaseException as error:
            seconds = monotonic() - begun
            if isinstance(error, KernelCrash) and console is not None and console.told is not None:
                seconds = moment(console.log, console.told.offset) / 1e9 - began_at
            reason = first_line(error, type(error).__name__)
            tell(replace(so_far, cause=_cause(error), seconds=seconds, reason=reason))
            raise
        so_far = replace(so_far, seconds=monotonic() - begun, iterations=so_far.iterations + 1)
        if limits.iterations and so_far.iterations >= limits.iterations:
            reason = f"the limit of {limits.iterations} iterations was met"
        elif limit.expired:
            reason = f"the limit of {told_seconds(limits.seconds)} was met"
        else:
            if due.expired:
                due = Deadline.after(report)
                tell(so_far)
            continue
        so_far = replace(so_far, cause=Cause.LIMIT, reason=reason)
        tell(so_far)
        return so_far


def _cause(error: BaseException) -> Cause:
    if isinstance(error, UnexpectedReset):
        return Cause.RESET
    if isinstance(error, KernelCrash):
        return Cause.CRASH
    if isinstance(error, Hang):
        return Cause.HANG
    if isinstance(error, ConsoleLost):
        return Cause.LOST
    return Cause.FAILED if isinstance(error, (LavaError, Exception)) else Cause.INTERRUPTED

"""At the end of the run: bundle, JUnit and exit status, all from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_lava.errors import Bug, ConfigurationError, InfrastructureError
from pytest_lava.results.journal import read
from pytest_lava.results.record import collect
from pytest_lava.results.summary import exit_status

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["finish", "write"]


def finish(run: Run, status: int, seconds: float) -> int:
    """Write what belongs to the end of a run; returns the exit status. Trouble is told, never raised."""
    assert run.journal is not None
    run.failures.forget_marks()
    _remember_unserved(run)
    if not run.config.option.setuponly:  # nothing was called, and should not be
        status = exit_status(collect(read(run.folder)), status)
    try:
        run.journal.write("end", durable=True, status=status, seconds=round(seconds, 6))
        write(run)
    except (Bug, ConfigurationError, InfrastructureError, OSError) as error:
        run.events.emit(f"the results could not be written: {error}", level="error")
        run.problems.append(f"the results could not be written: {error}; the journal has them: {run.folder}")
        return status or pytest.ExitCode.INTERNAL_ERROR
    return status


def write(run: Run) -> None:
    """Bundle and JUnit, as far as the journal has come; then the bundle is checked (``Bug``)."""
    from pytest_lava.results import junit
    from pytest_lava.results.bundle.building import build_bundle
    from pytest_lava.results.bundle.encoding import write_bundle
    from pytest_lava.results.bundle.schema import validate

    lines = read(run.folder)
    run.plan.bundle.parent.mkdir(parents=True, exist_ok=True)
    content = build_bundle(lines, version=run.plan.bundle_format, folder=run.folder)
    write_bundle(run.plan.bundle, content)
    junit.write(lines, run.folder / "junit.xml", folder=run.folder)
    run.written = True
    validate(content)


def _remember_unserved(run: Run) -> None:
    """``--lf`` runs again what was skipped because its board was out; the cache's plugin counts a skip as solved.

    It is meant for items, so the deploy and boot reports are taken out: they never pass.
    """
    cache = getattr(run.config, "cache", None)
    if cache is None or not (run.reporting.unserved or run.reporting.failures):
        return
    failed = cache.get("cache/lastfailed", {})
    failed = {nodeid: True for nodeid in [*failed, *run.reporting.unserved] if nodeid not in run.reporting.failures}
    cache.set("cache/lastfailed", failed)

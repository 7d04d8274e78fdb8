"""Child reports: results with a node id of their own, made while an item runs.

pytest's subtests share their parent's node id, so JUnit and HTML merge them. In an xdist worker a child travels under
its parent's node id, because xdist insists on it, and gets its own back in the controller.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any, Literal

import pytest

__all__ = ["ChildReport", "child_from_json", "child_to_json", "emit_child"]


class ChildReport(pytest.TestReport):
    """A report about a part of an item."""


def emit_child(
    item: pytest.Item,
    *,
    name: str,
    when: Literal["setup", "call"],
    reason: str,
    seconds: float,
    facts: dict[str, Any],
) -> None:
    """Report one failure named ``name`` (its whole node id) now, counted like an item of its own."""
    in_worker = hasattr(item.config, "workerinput")
    now = time.time()
    capture = item.config.pluginmanager.getplugin("capturemanager")
    for phase in (when, "teardown"):  # the second closes the JUnit case and makes the HTML row
        failing = phase == when
        report = ChildReport(
            nodeid=item.nodeid if in_worker else name,
            location=(name, None, name),
            keywords={name: 1},
            outcome="failed" if failing else "passed",
            longrepr=reason if failing else None,
            when=phase,
            duration=seconds if failing else 0.0,
            start=now - seconds if failing else now,
            stop=now,
            lava={**facts, "nodeid": name, **({} if failing else {"error": None, "slice": None})},
        )
        # else the line in the terminal lands in the captured output of the test
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            item.ihook.pytest_runtest_logreport(report=report)


def child_to_json(report: pytest.TestReport) -> dict[str, Any] | None:
    """For xdist's wire, if it is one of ours."""
    return {**report._to_json(), "$report_type": "LavaChild"} if isinstance(report, ChildReport) else None


def child_from_json(data: dict[str, Any]) -> ChildReport | None:
    """Back from the wire, under its own node id."""
    if data.get("$report_type") != "LavaChild":
        return None
    data = {key: value for key, value in data.items() if key != "$report_type"}
    data["nodeid"] = data["lava"]["nodeid"]
    return ChildReport._from_json(data)

"""Child reports: results with a node id of their own, made while an item runs.

pytest's subtests share their parent's node id, so JUnit and HTML merge them. In an xdist worker a child travels under
its parent's node id, because xdist insists on it, and gets its own back in the controller.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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
    outcome: Literal["passed", "failed", "skipped"] = "failed",
    stop: float | None = None,
    sections: Sequence[tuple[str, str]] = (),
    properties: Sequence[tuple[str, Any]] = (),
    title: str = "",
    xfail: bool = False,
) -> None:
    """Report a part of an item under the whole node id ``name`` now, counted like an item of its own.

    ``title`` stands above its report; where it is the end of the node id, pytest shows each dot in that as ``::``.
    With ``xfail`` it was skipped as a failure that is expected.
    """
    in_worker = hasattr(item.config, "workerinput")
    stop = time.time() if stop is None else stop
    longrepr: Any = {"passed": None, "failed": reason, "skipped": (str(item.path), 1, f"Skipped: {reason}")}[outcome]
    capture = item.config.pluginmanager.getplugin("capturemanager")
    for phase in (when, "teardown"):  # the second closes the JUnit case and makes the HTML row
        first = phase == when
        report = ChildReport(
            nodeid=item.nodeid if in_worker else name,
            location=(name, None, title or name),
            keywords={name: 1},
            outcome=outcome if first else "passed",
            longrepr=longrepr if first else None,
            when=phase,
            sections=list(sections) if first else [],
            duration=seconds if first else 0.0,
            start=stop - seconds if first else stop,
            stop=stop,
            user_properties=list(properties),
            **({"wasxfail": reason} if xfail and first else {}),
            lava={**facts, "nodeid": name, **({} if first else {"error": None, "slice": None})},
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

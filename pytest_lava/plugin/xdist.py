"""Boards in parallel: the controller chooses the run folder, workers lease, items of one board stay together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.plugin.child import child_from_json, child_to_json

if TYPE_CHECKING:
    from pytest_lava.plugin.session import Run

__all__ = ["Xdist"]


class Xdist:
    """Hooks of pytest-xdist."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand a worker what only the controller may decide."""
        self._run.open()
        node.workerinput["lava"] = {"run": self._run.uuid, "folder": str(self._run.folder)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """A real board belongs to one worker, so its items do too; an emulated one is started by each worker."""
        targets = self._run.plan.targets
        if config.option.dist not in ("load", "loadscope", "loadgroup", "worksteal"):
            return None  # the user's own choice
        from xdist.scheduler import LoadScopeScheduling

        emulated = all(board.model.emulated for target in targets for board in target.request.candidates)
        alone = len(targets) == 1 and emulated
        names = sorted((target.id for target in targets), key=len, reverse=True)

        class ByTarget(LoadScopeScheduling):  # type: ignore[misc]
            def _split_scope(self, nodeid: str) -> str:
                parameters = re.search(r"\[(.*)\]$", nodeid)
                if parameters and not alone:
                    for name in names:
                        if re.search(rf"(^|-){re.escape(name)}(-|$)", parameters[1]):
                            return str(name)
                return nodeid

        return ByTarget(config, log)

    def pytest_report_to_serializable(self, report: Any) -> dict[str, Any] | None:
        """Child reports travel under their parent's node id."""
        return child_to_json(report)

    def pytest_report_from_serializable(self, data: dict[str, Any]) -> Any:
        """And get their own back."""
        return child_from_json(data)

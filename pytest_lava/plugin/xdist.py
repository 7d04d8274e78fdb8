"""Boards in parallel: the controller chooses the run folder, workers lease, items of one board stay together."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.plugin.reporting.child import child_from_json, child_to_json
from pytest_lava.results.journal import read

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Xdist"]


class Xdist:
    """Hooks of pytest-xdist."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def pytest_sessionstart(self) -> None:
        """A worker whose controller died ends as if it were told to; execnet takes 5 s to notice and 15 to act."""
        if self._run.is_worker:
            threading.Thread(target=_end_with, args=(os.getppid(),), name="lava controller", daemon=True).start()

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Workers end with their controller, though they are in the middle of a test. ``-x`` lets them finish it."""
        if self._run.is_worker or self._run.journal is None or isinstance(excinfo.value, pytest.Session.Interrupted):
            return
        for line in read(self._run.folder):
            if line["kind"] == "worker" and _parent(line["pid"]) == os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(line["pid"], signal.SIGHUP)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand a worker what only the controller may decide."""
        node.workerinput["lava"] = {"run": self._run.uuid, "folder": str(self._run.folder)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Now it is known that there is something to run; the workers wait until they are told so."""
        if ids:
            self._run.session.open()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """A real board belongs to one worker, so its items do too; an emulated one is started by each worker."""
        targets = self._run.plan.targets
        if config.option.dist not in ("load", "loadscope", "loadgroup", "worksteal"):
            return None  # the user's own choice
        from xdist.scheduler import LoadScopeScheduling

        emulated = all(board.model.emulated for target in targets for board in target.request.candidates)
        alone = len(targets) == 1 and emulated and targets[0].job is None
        # a job is one story, told on one board
        stories = {target.id: target.job.story for target in targets if target.job and emulated}
        names = sorted((target.id for target in targets), key=len, reverse=True)

        class ByTarget(LoadScopeScheduling):  # type: ignore[misc]
            def _split_scope(self, nodeid: str) -> str:
                parameters = re.search(r"\[(.*)\]$", nodeid)
                if parameters and not alone:
                    for name in names:
                        if re.search(rf"(^|-){re.escape(name)}(-|$)", parameters[1]):
                            return stories.get(name, name)
                return nodeid

            def remove_node(self, node: Any) -> str | None:
                """What killed its worker is not run again; xdist would do so, without end."""
                crashed: str | None = super().remove_node(node)
                for scope, unit in list(self.workqueue.items()):
                    if crashed in unit:
                        unit[crashed] = True
                        if all(unit.values()):
                            del self.workqueue[scope]
                return crashed

            def schedule(self) -> None:
                """A worker that replaces another one starts its last item only when it knows that none follows."""
                super().schedule()
                for node in self.nodes if self.collection is not None and not self.workqueue else ():
                    if not node.shutting_down:
                        node.shutdown()

        return ByTarget(config, log)

    def pytest_report_to_serializable(self, report: Any) -> dict[str, Any] | None:
        """Child reports travel under their parent's node id."""
        return child_to_json(report)

    def pytest_report_from_serializable(self, data: dict[str, Any]) -> Any:
        """And get their own back."""
        return child_from_json(data)


def _end_with(controller: int) -> None:
    with contextlib.suppress(OSError):  # it is gone already
        handle = os.pidfd_open(controller)
        if os.getppid() == controller:
            select.select([handle], [], [])
        os.close(handle)
    os.kill(os.getpid(), signal.SIGHUP)


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0

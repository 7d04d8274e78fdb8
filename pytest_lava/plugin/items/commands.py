"""The face of out-of-tree commands: those of files and of this machine as items; what all such items bring back."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.commands.hostside import HostResult, run_here
from pytest_lava.errors import CommandTimeout, LavaError, OperationFailed
from pytest_lava.plugin.collecting.collection import COMMAND, CommandRun, command_body, made_items, target_of
from pytest_lava.plugin.items.suites import suite_of
from pytest_lava.plugin.reporting.attaching import MARK

if TYPE_CHECKING:
    from pytest_lava.board.board import Board
    from pytest_lava.lab.guardian import Guardian
    from pytest_lava.plan import Target
    from pytest_lava.plugin.run import Run

__all__ = ["Commands"]

_FACE = pytest.StashKey["Commands"]()
_SHORT = 20.0  # seconds for a question to the board
_ADDRESS = re.compile(r"\binet (?:addr:)?(\d+\.\d+\.\d+\.\d+)")
_FORWARD = re.compile(r"hostfwd=([^,\s]+)")


class Commands:
    """Collects ``--command-file`` and ``--host-command``, and marks items for ``--collect-file``."""

    def __init__(self, run: Run, guardian: Guardian) -> None:
        self._run, self._guardian = run, guardian
        self._plan = run.plan.out_of_tree
        self._count = 0
        run.config.stash[_FACE] = self

    @pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
    def pytest_lava_add_more_commands(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Before -k, --deselect and pytest's own reordering look at the items."""
        limit = self._run.plan.command_timeout
        for file in self._plan.files:
            name = os.path.relpath(file.path, session.config.rootpath)
            name = str(file.path) if name.startswith("..") else name
            items.extend(made_items(session, name, file.commands, lambda one: command_body(one, limit)))
        items.extend(made_items(session, "host", self._plan.host, _host_body))

    @pytest.hookimpl(wrapper=True, specname="pytest_collection_modifyitems")
    def pytest_lava_mark_for_files(self, items: list[pytest.Item]) -> Generator[None, Any, Any]:
        """What is no Python test brings files back."""
        result = yield
        if patterns := self._plan.collect:
            for item in items:
                if suite_of(item) is not None or hasattr(getattr(item, "function", None), "lava_command"):
                    item.add_marker(getattr(pytest.mark, MARK)(*patterns))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The duration of a command is its own, without what sending a script takes."""
        report = yield
        command = item.stash.get(COMMAND, None) if call.when == "call" else None
        if command is not None and command.seconds is not None:
            report.duration = command.seconds
        return report

    # -- on this machine ----------------------------------------------------------------------------------------

    def run_here(self, item: pytest.Item, command: str) -> HostResult:
        """Run a command beside the item's board, which is booted."""
        __tracebackhide__ = True
        run, target = self._run, target_of(item)
        assert run.boards is not None
        assert target is not None
        board = run.boards.ready(target)
        self._count += 1
        number = run.numbered(self._count)
        work = run.folder / "host" / number
        work.mkdir(parents=True, exist_ok=True)
        board.events.emit(f"on this machine: {command}")
        result = run_here(
            command,
            folder=run.config.invocation_params.dir,
            work=work,
            environment=self._environment(board, target),
            timeout=run.plan.command_timeout,
            guard=self._guardian,
        )
        if result.left:
            board.events.emit(f"{command}: {result.left} processes that it left were ended", level="warning")
        if not result.truncated:
            shutil.rmtree(work, ignore_errors=True)  # the journal has it
        return result

    def _environment(self, board: Board, target: Target) -> dict[str, str]:
        """What a tool needs to find the board and the run."""
        power = board.config.power.options
        network = " ".join((*getattr(power, "network", ()), *getattr(power, "arguments", ())))
        return {
            "LAVA_BOARD": board.name,
            "LAVA_BOARD_TYPE": board.config.device_type,
            "LAVA_BOARD_IP": _address(board),
            "LAVA_ARCH": board.config.arch,
            "LAVA_TARGET": target.id,
            "LAVA_KERNEL": board.last_boot.release if board.last_boot else "",
            "LAVA_CONSOLE": str(board.console.log),
            "LAVA_CONSOLE_URL": board.config.model.console.url,
            "LAVA_FORWARDS": " ".join(_FORWARD.findall(network)),
            "LAVA_RUN_FOLDER": str(self._run.folder),
            "LAVA_RUN_ID": self._run.uuid,
        }


def _address(board: Board) -> str:
    """The first address that the board has in a network; empty if it has none."""
    try:
        with board.console.typed.aside():
            said = board.shell.run("ip -4 addr 2>/dev/null || ifconfig 2>/dev/null", timeout=_SHORT).stdout
    except LavaError as error:
        if error.recovers:
            raise
        return ""
    return next((one for one in _ADDRESS.findall(said) if not one.startswith("127.")), "")


def _host_body(command: str) -> Callable[..., None]:
    def body(request: pytest.FixtureRequest, shell: Any) -> None:
        __tracebackhide__ = True
        item = request.node
        run = item.stash[COMMAND] = CommandRun(command)
        item.user_properties.append(("runs_on", "host"))
        try:
            result = item.config.stash[_FACE].run_here(item, command)
        except CommandTimeout as error:
            run.stdout = error.evidence.encode(errors="surrogateescape")
            raise
        run.status, run.stdout, run.stderr, run.seconds = (
            result.returncode, result.stdout, result.stderr, result.duration,
        )  # fmt: skip
        if result.truncated:
            item.user_properties.append(("truncated", "the run folder has the streams whole"))
        if result.returncode:
            raise OperationFailed(f"the host command returned {result.returncode}: {command}")

    return body

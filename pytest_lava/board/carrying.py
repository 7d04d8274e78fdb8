"""A shell of a board is given its files: however they go, ``put``, ``get`` and so on work."""

from __future__ import annotations

from pytest_lava.config.boards import BoardConfig
from pytest_lava.console.console import Console
from pytest_lava.console.files import Files, TakesFiles
from pytest_lava.console.shell import Shell
from pytest_lava.events import EventLog
from pytest_lava.transfer.api import Network, TransferPolicy

__all__ = ["give_files"]


def give_files(shell: Shell, console: Console, config: BoardConfig, policy: TransferPolicy, events: EventLog) -> None:
    """A shell that has files of its own keeps them."""

    def make() -> Files:
        from pytest_lava.transfer.shells import files_of  # many modules, and most runs move no file

        network = Network(**config.model.transfer.model_dump())
        return files_of(shell, console, network, policy, events)

    if isinstance(shell, TakesFiles):
        shell.carry_files_by(make)

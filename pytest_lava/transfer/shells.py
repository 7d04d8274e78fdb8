"""Gives a shell its files: the carriers that fit it and the network that its board file tells of."""

from __future__ import annotations

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.files import Files
from pytest_lava.console.shell import Shell
from pytest_lava.events import EventLog
from pytest_lava.transfer.api import Carrier, Network, TransferPolicy
from pytest_lava.transfer.blocks import RawSerial
from pytest_lava.transfer.boardside import BoardSide
from pytest_lava.transfer.chunks import Chunks
from pytest_lava.transfer.files import FileTransfer
from pytest_lava.transfer.http import Http
from pytest_lava.transfer.ssh import Ssh
from pytest_lava.transfer.ways import Ways

__all__ = ["files_of", "networks_of", "serial_of"]


def files_of(shell: Shell, console: Console, network: Network, policy: TransferPolicy, events: EventLog) -> Files:
    """The files of a shell."""
    board, serial = serial_of(shell, console)
    ways = Ways(serial, networks_of(board, network), policy.mode, events)
    return FileTransfer(board, ways, console, policy.announce)


def serial_of(shell: Shell, console: Console) -> tuple[BoardSide, Carrier]:
    """The board's side of a shell, and how files go over its line: raw where it has the agent, else by commands."""
    if isinstance(shell, AgentShell):
        board = BoardSide(shell, "raw.sh")
        return board, RawSerial(shell, console, board)
    board = BoardSide(shell, "chunks.sh")
    return board, Chunks(board)


def networks_of(board: BoardSide, network: Network) -> list[Carrier]:
    """What may be tried before the serial line, best first."""
    return [Http(board, network), *([Ssh(board, network)] if network.ssh is not None else [])]

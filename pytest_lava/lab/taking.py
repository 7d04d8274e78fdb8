"""Taking a board: the first that fits, is free and is not in quarantine."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_lava.board.board import Board
from pytest_lava.config.boards import BoardConfig
from pytest_lava.deadline import Deadline
from pytest_lava.errors import BoardQuarantined
from pytest_lava.lab.context import LabContext
from pytest_lava.lab.lease import Lease, lease_first
from pytest_lava.lab.quarantine import find
from pytest_lava.plan import BoardRequest

__all__ = ["resources", "take"]


def take(request: BoardRequest, context: LabContext, limit: Deadline) -> tuple[Lease, Board]:
    """Lease a board and make it ready for use. ``BoardBusy``, ``BoardQuarantined``."""
    by_name = {config.name: config for config in _healthy(request, context)}
    wanted = [{name: resources(config)} for name, config in by_name.items()]
    with context.events.phase("wait"):
        lease = lease_first(wanted, deadline=limit.at_most(context.wait), run=context.folder, events=context.events)
    held = lease.boards[0]
    try:
        board = Board(
            by_name[held.name],
            log=context.log_of(held.name),
            guard=context.guardian.for_board(held.lock_files),
            events=context.events,
            transfer=context.transfer,
            shelf=context.preparation.shelf,
            snapshots=context.snapshots,
        )
    except BaseException:
        lease.release()
        raise
    return lease, board


def resources(config: BoardConfig) -> list[str]:
    """What only one run may use at a time; an emulated board is started anew for each."""
    if config.model.emulated:
        return []
    return [f"board:{config.name}", f"serial:{config.model.console.url}", *config.model.locks]


def _healthy(request: BoardRequest, context: LabContext) -> Sequence[BoardConfig]:
    """The candidates without those in quarantine, where no emulated board ever is."""
    healthy, told = [], []
    for config in request.candidates:
        out = None if config.model.emulated else find(config.name)
        if out is None:
            healthy.append(config)
        else:
            told.append(f"board {config.name} is {out.describe()}")
            context.events.emit(told[-1], level="warning")
    if not healthy:
        names = " ".join(f"--release {config.name}" for config in request.candidates)
        raise BoardQuarantined(f"{'; '.join(told)}: repair it, then pytest-lava boards {names}")
    return healthy

"""A lease: the boards that this run may use, until it gives them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_lava.deadline import Deadline
from pytest_lava.events import EventLog
from pytest_lava.lab.locks import ResourceLock, acquire_first

__all__ = ["Lease", "LeasedBoard", "lease", "lease_first"]


@dataclass(frozen=True)
class LeasedBoard:
    """One board of a lease and the locks on its parts; an emulated board has none."""

    name: str
    locks: tuple[ResourceLock, ...] = ()

    @property
    def lock_files(self) -> tuple[Path, ...]:
        """For :meth:`pytest_lava.lab.guardian.Guardian.for_board`."""
        return tuple(lock.path for lock in self.locks)


@dataclass(frozen=True)
class Lease:
    """The boards of a run, held together; several are taken at once or not at all.

    >>> with lease({"qemu-arm64": []}, deadline=Deadline.after(0)) as held:
    ...     held.names
    ('qemu-arm64',)
    """

    boards: tuple[LeasedBoard, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the boards, in the order asked for."""
        return tuple(board.name for board in self.boards)

    def release(self) -> None:
        """Give the boards back; harmless when done already."""
        for board in reversed(self.boards):
            for lock in reversed(board.locks):
                lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lease(
    wanted: Mapping[str, Sequence[str]],
    *,
    deadline: Deadline,
    run: Path | None = None,
    folder: Path | None = None,
    events: EventLog | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Lease:
    """Lease every board of ``wanted`` (board name -> resources, such as ``serial:/dev/ttyUSB0``, ``power:pdu1/3``).

    Waits until ``deadline``; then :class:`pytest_lava.errors.BoardBusy` names who has it.
    """
    return lease_first([wanted], deadline=deadline, run=run, folder=folder, events=events, on_wait=on_wait)


def lease_first(
    alternatives: Sequence[Mapping[str, Sequence[str]]],
    *,
    deadline: Deadline,
    run: Path | None = None,
    folder: Path | None = None,
    events: EventLog | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Lease:
    """Lease the first of several equal sets of boards that is free: ``--board=panda`` may be any panda."""
    _, locks = acquire_first(alternatives, deadline=deadline, run=run, folder=folder, events=events, on_wait=on_wait)
    return Lease(tuple(LeasedBoard(name, held) for name, held in locks.items()))

"""Boards to try things on, used the way a run uses them, without pytest's face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import dedent

from pytest_lava.board.board import Board
from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.events import EventLog
from pytest_lava.images.cache import cache_dir
from pytest_lava.lab.guardian import Guardian
from pytest_lava.plan import CachePlan
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.power.api import Forget
from pytest_lava.preparation import Preparation
from pytest_lava.registry import Registry
from pytest_lava.transfer.api import TransferPolicy

__all__ = ["NobodyToGuard", "open_board"]


class NobodyToGuard:
    """A guard for where nothing is started."""

    def process(self, pid: int, *, leavings: Sequence[str] = ()) -> Forget:
        return lambda: None

    def command(self, command: str) -> Forget:
        return lambda: None


@contextmanager
def open_board(
    folder: Path,
    name: str,
    text: str = "",
    *,
    append: str = "",
    kernel: str = "",
    images: tuple[str, ...] = (),
    transfer: TransferPolicy | None = None,
    cache: Path | None = None,
    snapshots: bool = False,
    additions: tuple[tuple[str, str], ...] = (),
) -> Iterator[Board]:
    """The board ``name``, described by ``text`` or shipped, with kernel and image deployed; closed at the end."""
    if text:
        (folder / f"{name}.toml").write_text(dedent(text))
    files = BoardFiles([folder, shipped("boards")], Registry())
    asked = Options(
        boards=(name,), append=append, kernels=(kernel,) if kernel else (), images=images, additions=additions
    )
    plan = make_plan(asked, files, folder, NobodyToGuard())
    (target,) = plan.targets
    with (
        Guardian() as guardian,
        closing(EventLog(folder / "events.jsonl")) as events,
        closing(Preparation([target], CachePlan(cache or cache_dir()), events, plan.additions)) as preparation,
    ):
        prepared = preparation.of(target)
        board = Board(
            files.load(name),
            log=folder / "console.log",
            guard=guardian.for_board(()),
            events=events,
            transfer=transfer,
            shelf=preparation.shelf,
            snapshots=snapshots,
        )
        try:
            board.deploy(prepared.kernel, prepared.image)
            yield board
        finally:
            board.close()

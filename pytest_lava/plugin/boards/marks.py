"""The marks ``board`` and ``requires``: they choose among the boards of a run, reset, lock, or skip with the reason."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.deadline import Deadline
from pytest_lava.lab.locks import ResourceLock, acquire
from pytest_lava.plan import Target
from pytest_lava.plugin.collecting.collection import target_of
from pytest_lava.plugin.collecting.wishes import Wishes, mistakes, read_wishes, refused

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run

__all__ = ["Marks"]

_WISHES = pytest.StashKey[Wishes]()
_LOCKS = pytest.StashKey[tuple[ResourceLock, ...]]()
_MISTAKES = "lava_mistakes"
_WAIT = 3600.0  # seconds for other exclusive tests
#: what a kernel keeps of the memory for itself, before MemTotal, at most
_KEPT = 1 / 8
_READ = "while read -r k v u; do case $k in MemTotal:) echo $v; break;; esac; done </proc/meminfo"


class Marks:
    """Hooks that read marks."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._memory: dict[tuple[str, int], int] = {}
        self._wrong: list[str] = []

    # -- collection ---------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """All mistakes at once; what no board of this run can do is skipped before anything is touched."""
        wrong: dict[str, None] = {}
        for item in items:
            where, target = item.nodeid.partition("[")[0], target_of(item)
            wrong.update((f"{where}: {what}", None) for what in mistakes(item))
            wishes = item.stash[_WISHES] = read_wishes(item)
            if target is not None:
                if reason := refused(wishes, target):
                    item.add_marker(pytest.mark.skip(reason=reason))
            elif _on_a_board(item, wishes) and "lava_target" not in getattr(item, "fixturenames", ()):
                wrong[f"{where}: it is marked for a board and uses none: add 'shell' or 'board' to its parameters"] = (
                    None
                )
        if in_vain := self._in_vain(items):
            wrong[in_vain] = None
        if wrong and not self._run.is_worker:
            raise pytest.UsageError("\n".join(wrong))
        if wrong:  # an error of a worker is a crash to xdist: nothing is run, and its controller tells why
            self._run.config.workeroutput[_MISTAKES] = list(wrong)  # type: ignore[attr-defined]
            items.clear()

    def _in_vain(self, items: list[pytest.Item]) -> str:
        """Limits of a load that nothing makes."""
        plan = self._run.plan.stress
        if plan.commands or plan.until_failure or any(item.get_closest_marker("stress") for item in items):
            return ""
        return (
            f"{' and '.join(plan.given)}: there is no load; add --stress CMD or --until-failure" if plan.given else ""
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """All workers found the same."""
        self._wrong = getattr(node, "workeroutput", {}).get(_MISTAKES) or self._wrong

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A usage error is one under xdist too."""
        if self._wrong:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """With the same words."""
        if self._wrong:
            terminalreporter.write_line("ERROR: " + "\n".join(self._wrong), red=True)

    @staticmethod
    def wants_reset(item: pytest.Item) -> bool:
        """Whether the board is to be as it was right after its boot."""
        wishes = item.stash.get(_WISHES, Wishes())
        return wishes.reset or item.get_closest_marker("pristine") is not None

    # -- running ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """What an item locked is free when it has ended."""
        try:
            return (yield)
        finally:
            for lock in item.stash.get(_LOCKS, ()):
                lock.release()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """What only the board that was leased can tell; and its lock."""
        __tracebackhide__ = True
        target, wishes = target_of(item), item.stash.get(_WISHES, Wishes())
        if target is None or self._run.boards is None or wishes == Wishes() or _skipped(item):
            return
        if reason := self._refused_now(target, wishes):
            item.add_marker(pytest.mark.skip(reason=reason))
        elif wishes.exclusive:
            self._lock(item, target)

    def _refused_now(self, target: Target, wishes: Wishes) -> str:
        boards, candidates = self._run.boards, target.request.candidates
        assert boards is not None
        if not any(wishes.refused_by(board) or wishes.asks_memory_of(board) for board in candidates):
            return ""
        leased = boards.ready(target).config  # the first of them that was free
        if (reason := wishes.refused_by(leased)) or not wishes.asks_memory_of(leased):
            return reason
        return self._too_small(target, wishes)

    def _too_small(self, target: Target, wishes: Wishes) -> str:
        boards = self._run.boards
        assert boards is not None
        shell, board = boards.shell(target), boards.ready(target)
        boot = board.name, board.boot_id
        if boot not in self._memory:
            with boards.uncounted():
                told = re.fullmatch(r"\d+", shell.run(_READ).stdout.strip())
            self._memory[boot] = int(told[0]) << 10 if told else 0
        memory = self._memory[boot]
        if not memory:
            return f"it requires memory, and {board.name} does not tell its own: set [hardware] memory in its file"
        return wishes.too_small(board.name, int(memory / (1 - _KEPT)), f"{memory >> 20}M for programs")

    def _lock(self, item: pytest.Item, target: Target) -> None:
        """A real board is ours alone for the whole run; of an emulated one there may be others."""
        boards = self._run.boards
        if boards is None or not target.request.candidates[0].model.emulated:
            return
        name = target.request.name
        with boards.uncounted():
            item.stash[_LOCKS] = acquire(
                [f"exclusive:{name}"],
                board=name,
                deadline=Deadline.after(_WAIT),
                run=self._run.folder,
                events=self._run.events,
            )


def _on_a_board(item: pytest.Item, wishes: Wishes) -> bool:
    """Whether its marks make no sense without one."""
    return wishes != Wishes() or item.get_closest_marker("collect_files") is not None


def _skipped(item: pytest.Item) -> bool:
    return item.get_closest_marker("skip") is not None

"""The ladder on boards that are processes of this machine: which rungs are tried, and what is told of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import Board, State
from pytest_lava.errors import (
    BoardLost,
    ConsoleLost,
    Hang,
    KernelCrash,
    LavaError,
    UnexpectedReset,
)
from pytest_lava.lab.recovery import Death, Recovery, Rescue, death_of
from pytest_lava.responsiveness import Responsiveness, Verdict

LOCAL = "extends = 'localhost'\n"
#: init starts another shell when one ends
RESPAWNS = LOCAL + """console = "exec:sh -c 'while :; do sh -i; done'"\n"""
ASKS = LOCAL + """console = "exec:sh -c 'trap : INT QUIT; while :; do printf \\"login: \\"; read u; sh -i; done'"\n"""
QUICK = "[timeouts]\nkernel = 0.3\nlogin = 0.3\n"


def nothing() -> None:
    """There is nothing to deploy once more."""


def dies(board: Board) -> None:
    """Its shell is killed."""
    with pytest.raises(LavaError):
        board.shell.run("kill -9 $$", timeout=2)
    board.lose("its shell was killed")


def climb(board: Board, death: Death, redeploy: Callable[[], None] = nothing) -> tuple[Recovery, LavaError | None]:
    rescue = Rescue(board, "redeploy", redeploy)
    return rescue.climb(death, "its shell was killed"), rescue.error


@pytest.mark.parametrize("text", [RESPAWNS, ASKS], ids=["shell", "login"])
def test_a_shell_that_init_starts_again_costs_no_boot(tmp_path: Path, text: str) -> None:
    text += f"[login]\ncommands = ['echo $PPID >>{tmp_path}/logins']\n"
    with open_board(tmp_path, "b", text) as board:
        first = board.shell.run("echo $$").stdout
        dies(board)
        recovery, error = climb(board, Death.SHELL)
        assert (recovery.by, error, len(recovery.rungs)) == ("resync", None, 1)
        assert board.state is State.SHELL
        assert board.shell.run("echo $$").stdout != first
        assert board.boot_id == 1
        assert recovery.seconds < 10
        init = (tmp_path / "logins").read_text().splitlines()
        assert len(init) == 2  # the new shell is as the board file wants it
        assert init[0] == init[1]


def test_a_shell_that_only_hung_is_the_same_one(tmp_path: Path) -> None:
    with open_board(tmp_path, "b", LOCAL) as board:
        pid = board.shell.run("echo $$").stdout
        board.lose("nobody knows")
        recovery, _ = climb(board, Death.SHELL)
        assert recovery.by == "resync"
        assert recovery.seconds < 2
        assert board.shell.run("echo $$").stdout == pid


def test_a_shell_that_is_stopped_is_given_up_soon(tmp_path: Path) -> None:
    with open_board(tmp_path, "b", LOCAL) as board:
        board.reach(State.SHELL)
        with pytest.raises(Hang):
            board.shell.run("kill -STOP $$; :", timeout=0.5)
        board.lose("it hangs")
        recovery, error = climb(board, Death.SHELL)
        assert [(rung.name, rung.worked) for rung in recovery.rungs] == [("resync", False), ("power cycle", True)]
        assert error is None
        assert recovery.rungs[0].seconds < 5  # a shell that says anything is given 8


def test_a_crash_needs_a_power_cycle_at_once(tmp_path: Path) -> None:
    with open_board(tmp_path, "b", RESPAWNS) as board:
        dies(board)
        recovery, _ = climb(board, Death.KERNEL)
        assert [rung.name for rung in recovery.rungs] == ["power cycle"]
        assert board.boot_id == 2
        assert str(recovery).startswith("recovered by power cycle (")


def test_rung_after_rung_up_to_deploying_once_more(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    text = LOCAL + f"console = 'exec:sh -c \"test -e {broken} || exec sh -i\"'\n" + QUICK
    with open_board(tmp_path, "b", text) as board:
        board.reach(State.SHELL)
        broken.touch()
        dies(board)
        recovery, error = climb(board, Death.SHELL, broken.unlink)
        assert [(rung.name, rung.worked) for rung in recovery.rungs] == [
            ("resync", False),
            ("power cycle", False),
            ("redeploy", True),
        ]
        assert error is None
        assert all(rung.why for rung in recovery.rungs[:2])
        assert recovery.by == "redeploy"
        assert board.shell.run("echo on").stdout == "on\n"


@pytest.mark.parametrize(("mode", "rungs"), [("reboot", ["power cycle"]), ("redeploy", ["power cycle", "redeploy"])])
def test_a_board_that_does_not_come_back_is_lost(tmp_path: Path, mode: str, rungs: list[str]) -> None:
    broken = tmp_path / "broken"
    text = LOCAL + f"console = 'exec:sh -c \"test -e {broken} || exec sh -i\"'\n" + QUICK
    with open_board(tmp_path, "b", text) as board:
        board.reach(State.SHELL)
        broken.touch()
        dies(board)
        rescue = Rescue(board, mode, nothing)  # type: ignore[arg-type]
        recovery = rescue.climb(Death.KERNEL, "the kernel crashed: Oops\nand more")
        assert not recovery.worked
        assert recovery.by == ""
        assert [rung.name for rung in recovery.rungs] == rungs
        assert isinstance(rescue.error, BoardLost)
        assert str(rescue.error).startswith(
            "board b does not come back, see to it: it died (the kernel crashed: Oops), and"
        )
        assert "\n" not in str(rescue.error)
        assert board.state is State.LOST
    events = (tmp_path / "events.jsonl").read_text()
    assert '"phase": "recovery"' in events
    assert "recovery failed: board b does not come back" in events


def test_an_interrupt_leaves_the_board_lost(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    broken = tmp_path / "broken"
    text = LOCAL + f"console = 'exec:sh -c \"test -e {broken} || exec sh -i\"'\n" + QUICK
    with open_board(tmp_path, "b", text) as board:
        board.reach(State.SHELL)
        broken.touch()
        dies(board)
        with contextlib.suppress(KeyboardInterrupt):
            Rescue(board, "redeploy", interrupted).climb(Death.KERNEL, "why")
        assert board.state is State.LOST


def hang(verdict: Verdict) -> Hang:
    return Hang("hangs", responsiveness=Responsiveness(verdict, (), 0.0))


@pytest.mark.parametrize(
    ("error", "death"),
    [
        (KernelCrash("panic"), Death.KERNEL),
        (UnexpectedReset("reset"), Death.KERNEL),
        (ConsoleLost("gone"), Death.LINE),
        (hang(Verdict.DEAD), Death.KERNEL),
        (hang(Verdict.KERNEL_ALIVE), Death.SHELL),
        (hang(Verdict.UNKNOWN), Death.SHELL),
        (Hang("hangs"), Death.SHELL),
    ],
)
def test_what_is_dead_by_the_error(error: LavaError, death: Death) -> None:
    assert death_of(error) is death

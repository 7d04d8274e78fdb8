"""Shells that their owner's profile has changed: commands go by the agent, exact, all the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import Board, State
from pytest_lava.console.agent import AgentShell
from pytest_lava.errors import InfrastructureError

BOARD = """
    arch = "x86_64"
    console = "exec:{shell}"
    power = "none"
    boot = "login"
"""

#: what takes the place of tools and words of the agent
FUNCTIONS = """
    alias eval='echo eval' case='echo case' read='echo read' trap='echo trap' command='echo command'
    unalias command
    printf() { builtin echo "PRINTF $*"; }
    stty() { return 1; }
    for tool in sed head rm cksum wc tee cat kill; do eval "$tool() { builtin echo other; }"; done
"""
OPTIONS = """
    set -eufo noclobber
    shopt -s failglob nullglob nocasematch xpg_echo
    IFS=:
"""
PROMPT = r"""
    PROMPT_COMMAND='printf "\033]0;%s\007" title'
    PS1='\n[\t] \u\n\[\e[1;32m\]\w\[\e[0m\]\n\$ '
    printf '\033[2J\033[1mWelcome to $ Fancy # Linux\033[0m\n * Password: change it!\n# \n'
"""


def exact(board: Board, folder: Path) -> None:
    board.reach(State.SHELL)
    assert isinstance(board.shell, AgentShell)
    result = board.shell.run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 3)
    words = board.shell.run("x='a  b'; echo $x; printf '%s|' c d | cat; echo *nothing*")
    assert words.stdout == "a b\nc|d|*nothing*\n"
    data = bytes(range(256)) * 40
    assert board.shell.run("cat", input=data).stdout_bytes == data
    (folder / "sent").write_bytes(os.urandom(9000))
    board.shell.put(folder / "sent", str(folder / "there"))
    assert (folder / "there").read_bytes() == (folder / "sent").read_bytes()


@pytest.mark.parametrize("profile", [FUNCTIONS, OPTIONS, PROMPT], ids=["functions", "options", "prompt"])
def test_profiles_of_bash(tmp_path: Path, profile: str) -> None:
    (tmp_path / "profile").write_text(profile)
    with open_board(tmp_path, "here", BOARD.format(shell=f"bash --rcfile {tmp_path}/profile -i")) as board:
        exact(board, tmp_path)


def test_zsh(tmp_path: Path) -> None:
    with open_board(tmp_path, "here", BOARD.format(shell="zsh -f -i")) as board:
        exact(board, tmp_path)


@pytest.mark.parametrize("shell", ["bash --norc -r -i", "env PATH= /bin/sh -i"], ids=["restricted", "no-path"])
def test_shells_in_which_no_command_can_be_run(tmp_path: Path, shell: str) -> None:
    failed = "no command can be run on here: there is no head in its PATH, or it is a restricted shell"
    with (
        open_board(tmp_path, "here", BOARD.format(shell=shell)) as board,
        pytest.raises(InfrastructureError, match=failed),
    ):
        board.reach(State.SHELL)

"""Variables of ``[login] environment``, in real shells on a pty of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import State
from pytest_lava.errors import InfrastructureError

VALUE = 'it\'s a "b" $HOME \\ `true`; x'
BOARD = """
    arch = "x86_64"
    console = "exec:{shell}"
    power = "none"
    boot = "{boot}"
    [login]
    protocol = "{protocol}"
    commands = ['[ "$OTHER" = 1 ]']
    [login.environment]
    OTHER = "1"
    ODD = '''{value}'''
"""


@pytest.mark.parametrize("protocol", ["agent", "marker"])
@pytest.mark.parametrize("shell", ["sh -i", "bash --norc -i", "mksh -i", "busybox sh -i"])
def test_all_commands_inherit_them(tmp_path: Path, shell: str, protocol: str) -> None:
    boot = "attach" if shell == "sh -i" else "login"
    text = BOARD.format(shell=shell, boot=boot, protocol=protocol, value=VALUE)
    with open_board(tmp_path, "here", text) as board:
        board.reach(State.SHELL)
        assert board.shell.check('echo "$ODD$OTHER"').stdout == f"{VALUE}1\n"
        assert board.shell.check("unset OTHER; env | grep -c ^ODD=").stdout == "1\n"
        assert board.shell.check("echo $OTHER", env={"MORE": "2"}).stdout == "1\n"


def test_a_shell_that_does_not_take_them(tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("readonly OTHER=0\n")
    shell = f"env ENV={tmp_path}/profile sh -i"
    text = BOARD.format(shell=shell, boot="login", protocol="auto", value="x")
    failed = r'login command failed on here: .*"\$OTHER" = 1'
    with open_board(tmp_path, "here", text) as board, pytest.raises(InfrastructureError, match=failed):
        board.reach(State.SHELL)

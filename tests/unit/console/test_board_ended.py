"""A board that is a process of this machine ends: by its test, or as ssh does when the network fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.lines import open_agent, open_shell

from pytest_lava.errors import Blame, BoardEnded, ConsoleLost


@pytest.mark.parametrize("protocol", [open_agent, open_shell])
def test_a_command_that_kills_its_shell_is_the_tests_fault(tmp_path: Path, protocol: type[open_agent]) -> None:
    with protocol(tmp_path) as shell:
        with pytest.raises(
            BoardEnded, match=r"^the shell that is the board has ended \(.*SIGKILL\): kill -9 \$\$$"
        ) as info:
            shell.run("kill -9 $$")
        assert info.value.blame is Blame.TEST
        with pytest.raises(BoardEnded):
            shell.run("true")


def test_what_ended_between_two_commands(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        pid = int(shell.run("echo $$").stdout)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BoardEnded, match="SIGKILL"):
            shell.run("true")


def test_ssh_that_lost_its_network_is_the_labs_fault(tmp_path: Path) -> None:
    with open_agent(tmp_path, "sh -c 'dash -i; exit 255'") as shell:
        with pytest.raises(ConsoleLost, match="status 255") as info:
            shell.run("kill -9 $$")
        assert info.value.blame is Blame.INFRASTRUCTURE

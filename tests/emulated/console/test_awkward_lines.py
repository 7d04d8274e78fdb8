"""What lines do to what is sent and said: editing, wrapping, pasting, carriage returns; on real shells."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.lines import open_agent, open_shell

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.lines import open_line
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.settings import LineSettings

Open = Callable[..., AbstractContextManager[MarkerShell | AgentShell]]
protocols = pytest.mark.parametrize("shell_on", [open_shell, open_agent], ids=["marker", "agent"])

#: each does to the shell's terminal what it says before the shell is there
LINES = {
    "bracketed paste": "env TERM=xterm INPUTRC=/dev/null bash --norc --noprofile -i",
    "40 columns": "sh -c 'stty cols 40; exec env TERM=xterm bash --norc --noprofile -i'",
    "busybox at 20 columns": "sh -c 'stty cols 20; exec env TERM=vt100 busybox sh -i'",
    "vi editing": "env TERM=xterm bash --norc --noprofile -o vi -i",
    "newlines as they are": "sh -c 'stty -onlcr; exec dash -i'",
    "carriage returns only": "sh -c 'stty ocrnl onlret; exec dash -i'",
    "no echo": "sh -c 'stty -echo; exec dash -i'",
    "seven bits": "sh -c 'stty istrip; exec dash -i'",
    "coloured prompt": "env TERM=xterm PS1='\\[\\e[32m\\]root\\[\\e[0m\\]# ' bash --norc --noprofile -i",
}


@protocols
@pytest.mark.parametrize("line", sorted(LINES))
def test_shell_behind(line: str, shell_on: Open, tmp_path: Path) -> None:
    with shell_on(tmp_path, LINES[line]) as shell:
        result = shell.run("echo " + "wide " * 60 + "; printf '\\r\\n\\033[6n\\200' >&2; exit 3")
        assert (result.returncode, result.stdout) == (3, ("wide " * 60).rstrip() + "\n")
        assert result.stderr_bytes == b"\r\n\x1b[6n\x80"


@protocols
def test_shell_of_a_board_that_is_typed_to_slowly(shell_on: Open, tmp_path: Path) -> None:
    line, _ = open_line("exec:dash -i", LineSettings(txdelay=0.0005, txchunk=16))
    with shell_on(tmp_path, line=line) as shell:
        assert shell.run("cat", input=b"abc" * 500).stdout_bytes == b"abc" * 500

"""What lines do to what is sent and said: editing, wrapping, pasting, carriage returns; on real shells."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.lines import SHELLS, FaultLine, open_agent, open_shell

from pytest_lava.config.model import Login
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.lines import open_line
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
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
    "colour behind the prompt": "env TERM=xterm PS1='\\e[32mroot#\\e[0m ' bash --norc --noprofile -i",
    "carriage returns as they are": "sh -c 'stty -icrnl; exec dash -i'",
    "tabs as blanks and flow control": "sh -c 'stty tab3 ixon ixoff; exec dash -i'",
}

#: a getty as boards have it: it may set the line (1), greets (2) and then gives a shell (3)
GETTY = """
eval "$1"
while printf "$2"; read -r user; do
    stty -echo; printf 'Password: '; read -r word; stty echo; printf '\\r\\n'
    [ "$user/$word" = me/secret ] && break
    echo 'Login incorrect'
done
printf '\\033[?2004l\\rLast login: Thu Jan  1 00:00:00 on ttyS0\\r\\n'
exec $3
"""
LOGINS = {
    "plain": ("", "board login: "),
    "coloured": ("", "\\r\\n\\033[1;32mboard\\033[0m login:\\033[0m \\033[K"),
    "narrow": ("stty cols 12", "\\r\\nDebian GNU/Linux 12 board ttyS0\\r\\n\\r\\nboard login: "),
    "clears the screen": ("", "\\033c\\033[2J\\033[H\\033[?2004hboard login: "),
    "carriage returns only": ("stty ocrnl onlret", "\\rboard\\rlogin: "),
    "no newlines": ("stty -onlcr -echo", "\\nboard login: "),
}


@protocols
@pytest.mark.parametrize("line", sorted(LINES))
def test_shell_behind(line: str, shell_on: Open, tmp_path: Path) -> None:
    with shell_on(tmp_path, LINES[line]) as shell:
        result = shell.run("echo " + "wide " * 60 + "; printf '\\r\\n\\033[6n\\200' >&2; exit 3")
        assert (result.returncode, result.stdout) == (3, ("wide " * 60).rstrip() + "\n")
        assert result.stderr_bytes == b"\r\n\x1b[6n\x80"


@pytest.mark.parametrize("shell", ["dash -i", "env TERM=xterm bash --norc --noprofile -i", "busybox sh -i"])
@pytest.mark.parametrize("getty", sorted(LOGINS))
def test_login_behind(getty: str, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "getty"
    script.write_text(GETTY)
    command = shlex.join(["sh", str(script), *LOGINS[getty], shell])
    with open_shell(tmp_path, command, login=Login(user="me", password="secret")) as on:
        assert on.run("echo " + "wide " * 60).stdout == ("wide " * 60).rstrip() + "\n"


@protocols
@pytest.mark.parametrize("command", sorted(SHELLS.values()))
def test_one_byte_a_read(command: str, shell_on: Open, tmp_path: Path) -> None:
    line = FaultLine(open_process(command)[0], single=True)
    with shell_on(tmp_path, line=line) as shell:
        data = bytes(range(256)) * 20
        result = shell.run("cat; echo err >&2; exit 3", input=data)
        assert (result.stdout_bytes, result.stderr, result.returncode) == (data, "err\n", 3)


@protocols
def test_shell_of_a_board_that_is_typed_to_slowly(shell_on: Open, tmp_path: Path) -> None:
    line, _ = open_line("exec:dash -i", LineSettings(txdelay=0.0005, txchunk=16))
    with shell_on(tmp_path, line=line) as shell:
        assert shell.run("cat", input=b"abc" * 500).stdout_bytes == b"abc" * 500

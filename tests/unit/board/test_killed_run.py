"""What a run that was killed leaves on this machine when its board is a shell of it: nothing."""

from __future__ import annotations

import glob
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_lava.console.process import leavings
from pytest_lava.deadline import Deadline

PROGRAM = """
import sys
from pathlib import Path
from support.boards import open_board
from pytest_lava.board.board import State
TOML = '''
extends = "localhost"
console = "exec:dash -i"
[login]
protocol = "PROTOCOL"
'''
with open_board(Path(sys.argv[1]), "desk", TOML.replace("PROTOCOL", sys.argv[2])) as board:
    board.reach(State.SHELL)
    board.shell.run("echo written", input="given")
    print(board.shell.run("echo $$").stdout, end="", flush=True)
    board.shell.run("sleep 600", timeout=600)
"""


@pytest.mark.parametrize("protocol", ["agent", "marker"])
def test_files_of_a_shell_go_after_kill_9(tmp_path: Path, protocol: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), protocol],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert process.stdout
        shell = int(process.stdout.readline())
        files = [file for pattern in leavings(shell) for file in glob.glob(pattern)]  # noqa: PTH207
        assert files
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    deadline = Deadline.after(5)
    while any(glob.glob(pattern) for pattern in leavings(shell)):  # noqa: PTH207
        assert not deadline.expired, files

"""What a run that was killed leaves on this machine when its board is a shell of it: nothing."""

from __future__ import annotations

import glob
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.boards import open_board

from pytest_lava.board.board import State
from pytest_lava.deadline import Deadline

PROGRAM = """
import sys
from pathlib import Path
from support.boards import open_board
from pytest_lava.board.board import State
TOML = '''
extends = "localhost"
console = "exec:CONSOLE"
[login]
protocol = "PROTOCOL"
'''
text = TOML.replace("PROTOCOL", sys.argv[2]).replace("CONSOLE", sys.argv[3])
with open_board(Path(sys.argv[1]), "desk", text) as board:
    board.reach(State.SHELL)
    board.shell.run("echo written", input="given")
    print(board.shell.run("echo $$").stdout, end="", flush=True)
    board.shell.run("sleep 600", timeout=600)
"""
#: the shell is the process behind the line, or one that it only started
ITSELF, ANOTHER = "dash -i", "sh -c 'while :; do dash -i; done'"


@contextmanager
def harness(folder: Path, protocol: str, console: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A run in the middle of a command, and the pattern of its shell's files; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), protocol, console],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert process.stdout
        pattern = f"/dev/shm/.lava*-{int(process.stdout.readline())}*"
        assert files(pattern)
        yield process, pattern
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(5)


def files(pattern: str) -> list[str]:
    return glob.glob(pattern)  # noqa: PTH207


def gone(pattern: str) -> bool:
    deadline = Deadline.after(5)
    while files(pattern) and not deadline.expired:
        pass
    return not files(pattern)


@pytest.mark.parametrize("console", [ITSELF, ANOTHER], ids=["itself", "another"])
@pytest.mark.parametrize("protocol", ["agent", "marker"])
def test_files_of_a_shell_go_after_kill_9(tmp_path: Path, protocol: str, console: str) -> None:
    with harness(tmp_path, protocol, console) as (_, pattern):
        pass
    assert gone(pattern), files(pattern)


def test_files_of_shells_that_were_killed_go_with_their_line(tmp_path: Path) -> None:
    with open_board(tmp_path, "b", f"""extends = "localhost"\nconsole = "exec:{ANOTHER}"\n""") as board:
        board.reach(State.SHELL)
        pattern = f"/dev/shm/.lava*-{board.shell.run('echo $$').stdout.strip()}*"
        board.shell.sendline("kill -9 $$")
        board.console.expect([re.compile(rb"Killed")], deadline=Deadline.after(5))
        assert files(pattern)
    assert not files(pattern)


def test_files_go_by_the_next_run_if_the_guardian_was_killed_too(tmp_path: Path) -> None:
    """As when memory runs out, or a CI system ends a job. What lives, or is another container's, stays."""
    (tmp_path / "next").mkdir()
    (tmp_path / "living").mkdir()
    with harness(tmp_path / "living", "agent", ITSELF) as (_, living):
        with harness(tmp_path, "agent", ITSELF) as (process, pattern):
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)  # its guardian, and the shell
        ours = files(pattern)
        foreign = Path(ours[0].replace(".lava", ".lava1"))
        foreign.touch()
        try:
            with open_board(tmp_path / "next", "localhost") as board:
                board.reach(State.SHELL)
                assert not any(Path(file).exists() for file in ours)
                assert files(living)
                assert foreign.exists()
        finally:
            foreign.unlink()
    assert gone(living), files(living)

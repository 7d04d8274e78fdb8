"""The state machine on boards that are processes of this machine, and on boards that were there before us."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boards import NobodyToGuard, open_board
from support.lines import end_board

from pytest_lava.board.board import Board, State
from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.deadline import Deadline
from pytest_lava.errors import (
    BootFailed,
    CommandTimeout,
    ConfigurationError,
    ConsoleLost,
    InfrastructureError,
    LavaError,
    NetworkError,
    PowerError,
)
from pytest_lava.events import EventLog
from pytest_lava.images.shelf import Shelf
from pytest_lava.plugin.reporting.slices import readable
from pytest_lava.registry import Registry

LOCAL = "extends = 'localhost'\n"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_from_off_to_shell_and_back(tmp_path: Path) -> None:
    before = descriptors()
    with open_board(tmp_path, "localhost") as board:
        assert board.state is State.OFF
        pid = board.shell.run("echo $$").stdout.strip()
        assert (board.state, board.boot_id) == (State.SHELL, 1)
        assert board.at_ease
        assert board.answers()
        record = board.last_boot
        assert record
        assert record.release == os.uname().release
        assert record.machine == os.uname().machine
        assert 0 < record.seconds < 10
        board.reach(State.SHELL)
        assert board.boot_id == 1
        board.power_off()
        assert board.state.value == "off"
        assert not Path(f"/proc/{pid}").exists()
        assert board.shell.run("true").returncode == 0
        assert board.boot_id == 2
    assert descriptors() <= before
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("console ")]
    board.close()


@pytest.mark.parametrize("protocol", ["agent", "marker"])
def test_people_are_not_shown_how_a_shell_was_taken_over(tmp_path: Path, protocol: str) -> None:
    text = f"{LOCAL}console = 'exec:sh -c \"stty echo; echo Welcome; exec sh -i\"'\n[login]\nprotocol = '{protocol}'\n"
    with open_board(tmp_path, "b", text) as board:
        board.shell.run("echo hello")
        whole = board.console.text(0).replace("\r", "")
        shown = [line for line in readable(board, 0).splitlines() if line not in ("# ", "$ ")]
    assert "unalias" in whole
    assert shown == ["Welcome", "$ echo hello", "hello"]


def test_shell_that_died_is_recovered(tmp_path: Path) -> None:
    with open_board(tmp_path, "localhost") as board:
        with pytest.raises(ConsoleLost, match="sh was killed by SIGKILL"):
            board.shell.run("kill -9 $$")
        assert not board.at_ease
        assert not board.answers()
        board.lose("it was killed")
        assert board.state is State.LOST
        board.recover()
        assert board.shell.run("echo alive").stdout == "alive\n"
        assert board.boot_id == 2


def test_a_shell_that_answers_only_now_and_then_is_not_back(tmp_path: Path) -> None:
    """Two readers on one line: each gets some of what is typed, so one answer proves nothing."""
    with open_board(tmp_path, "localhost") as board:
        board.shell.run("cat </dev/tty >/dev/null & :")
        board.lose("a program steals what is typed")
        with pytest.raises(LavaError):
            board.resync(Deadline.after(8))
        board.recover()
        assert board.shell.run("echo alive").stdout == "alive\n"


def test_callbacks_run_after_each_boot(tmp_path: Path) -> None:
    boots: list[int] = []
    with open_board(tmp_path, "localhost") as board:

        @board.on_boot
        def note(board: Board) -> None:
            board.shell.check("true")
            boots.append(board.boot_id)

        board.reach(State.SHELL)
        board.power_off()
        board.reach(State.SHELL)
        board.on_boot(lambda board: boots.append(-board.boot_id))
        assert boots == [1, 2, -2]

        @board.on_boot
        def mounts(board: Board) -> None:
            if board.boot_id > 2:
                board.shell.check("echo no such disk >&2; exit 32")

        board.power_off()
        with pytest.raises(BootFailed, match=r"^mounts, called after each boot of localhost, failed: .*no such disk$"):
            board.reach(State.SHELL)
        assert board.state is State.LOST


def test_interrupt_while_booting_leaves_the_board_lost(tmp_path: Path) -> None:
    with open_board(tmp_path, "localhost") as board:

        @board.on_boot
        def impatient(board: Board) -> None:
            if board.boot_id == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            board.reach(State.SHELL)
        assert board.state is State.LOST
        assert board.shell.run("echo alive").stdout == "alive\n"


def test_login_commands(tmp_path: Path) -> None:
    with open_board(tmp_path, "b", LOCAL + "[login]\ncommands = ['cd /', 'test -d /proc']\n") as board:
        board.reach(State.SHELL)
    with (
        open_board(tmp_path, "c", LOCAL + "[login]\ncommands = ['echo why >&2; exit 4']\n") as board,
        pytest.raises(InfrastructureError, match=r"^login command failed on c: the command returned 4: .*: why$"),
    ):
        board.reach(State.SHELL)


def test_prompt_that_never_comes_is_the_labs_fault_when_no_kernel_was_given(tmp_path: Path) -> None:
    text = LOCAL + "console = 'exec:cat'\n[timeouts]\nkernel = 0.2\nlogin = 0.2\n"
    with open_board(tmp_path, "b", text) as board:
        with pytest.raises(
            InfrastructureError, match=r"no shell or login prompt on b within 0\.4 s: .*shell_prompt; noth"
        ):
            board.reach(State.SHELL)
        assert board.state is State.LOST


def test_process_that_ends_at_once(tmp_path: Path) -> None:
    with (
        open_board(tmp_path, "b", LOCAL + "console = 'exec:false'\n") as board,
        pytest.raises(ConsoleLost, match="exec:false: false exited with status 1"),
    ):
        board.reach(State.SHELL)


def test_boot_loader_that_there_is_not(tmp_path: Path) -> None:
    with (
        open_board(tmp_path, "localhost") as board,
        pytest.raises(
            ConfigurationError, match="board 'localhost' has no boot loader to stop at; use the fixture 'shell'"
        ),
    ):
        assert board.bootloader


def test_driver_that_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(LOCAL + "deploy = 'qemu'\n")
    config = BoardFiles([tmp_path, shipped("boards")], Registry()).load("b")
    before = descriptors()
    with pytest.raises(ConfigurationError, match='deploy = "qemu" needs power = "qemu"'):
        Board(config, log=tmp_path / "console.log", guard=NobodyToGuard(), events=EventLog(), shelf=Shelf(tmp_path))
    assert descriptors() == before


def test_power_that_cannot_be_switched(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.write_text("exit 0")
    text = f"""
        extends = 'localhost'
        console = '/dev/null-not-there'
        [power]
        method = 'command'
        settle = 0
        on = 'sh {switch}'
        off = 'sh {switch}'
        [timeouts]
        power = 2
    """
    with open_board(tmp_path, "b", text) as board:
        with pytest.raises(InfrastructureError, match="the serial port /dev/null-not-there is not there"):
            board.reach(State.SHELL)
        switch.write_text("echo out of order >&2; exit 1")
        with pytest.raises(PowerError, match=r"the power command for b failed .*: out of order"):
            board.power_off()
        assert board.state is State.LOST
        switch.write_text("exit 0")


def test_closing_closes_all_though_the_power_stays_on(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.write_text("exit 0")
    before = descriptors()
    text = f"extends = 'localhost'\nconsole = '{os.devnull}-'\n[power]\nmethod = 'command'\nsettle = 0\n"
    text += f"on = 'true'\noff = 'sh {switch}'\n[timeouts]\npower = 0.1\n"
    with pytest.raises(PowerError), open_board(tmp_path, "b", text) as board:  # noqa: PT012 - raised by its end
        with contextlib.suppress(InfrastructureError):
            board.reach(State.SHELL)
        switch.write_text("exit 1")
    assert descriptors() <= before


# -- attached -------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[str]:
    """A port at whose other end a shell runs, which nobody of us started or may switch."""
    master, slave = pty.openpty()
    far, far_end = pty.openpty()
    shell = subprocess.Popen(["setsid", "--ctty", "dash", "-i"], stdin=far_end, stdout=far_end, stderr=far_end)

    def carry(source: int, target: int) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(source, 4096):
                os.write(target, data)

    wires = [threading.Thread(target=carry, args=pair, daemon=True) for pair in ((master, far), (far, master))]
    for wire in wires:
        wire.start()
    yield os.ttyname(slave)
    end_board(shell)
    os.close(slave)
    os.close(far_end)
    for wire in wires:
        wire.join(5)
    os.close(master)
    os.close(far)


def attached(port: str) -> str:
    return f"arch = 'host'\npower = 'none'\nconsole = '{port}'\nboot = 'attach'\n"


def test_attached_again_and_again_as_nobody_switches_it(tmp_path: Path, running: str) -> None:
    with open_board(tmp_path, "b", attached(running)) as board:
        pid = board.shell.run("echo $$").stdout
        board.power_off()
        assert board.state is State.OFF
        assert board.shell.run("echo $$").stdout == pid
        board.lose("only to see")
        board.recover()
        assert board.shell.run("echo $$").stdout == pid
    time.sleep(0.1)
    with open_board(tmp_path, "b", attached(running)) as board:
        assert board.shell.run("echo $$").stdout == pid
    gone_by = time.monotonic() + 5
    while list(Path("/dev/shm").glob(f".lava{pid.strip()}.*")):
        assert time.monotonic() < gone_by
        time.sleep(0.01)


def test_attached_after_a_run_that_could_not_say_goodbye(tmp_path: Path, running: str) -> None:
    with open_board(tmp_path, "b", attached(running)) as board:
        pid = board.shell.run("echo $$").stdout
        board._shell = None
    with open_board(tmp_path, "b", attached(running)) as board:
        assert board.shell.run("echo $$").stdout == pid
        with pytest.raises(CommandTimeout):
            board.shell.run("sleep 60", timeout=0.1)
        assert board.answers()


def test_silence_of_commands_is_limited_by_the_board_file(tmp_path: Path) -> None:
    with open_board(tmp_path, "b", "extends = 'localhost'\n[timeouts]\nsilence = 1\n") as board:
        begun = time.monotonic()
        with pytest.raises(CommandTimeout, match="the command wrote nothing for 1 s: sleep 60"):
            board.shell.run("sleep 60")
        assert time.monotonic() - begun < 20
        talks = board.shell.run("for n in 1 2 3 4; do echo $n; sleep 0.4; done", timeout=30)
        assert talks.stdout == "1\n2\n3\n4\n"
        assert board.shell.run("sleep 0.2; echo done", timeout=1).stdout == "done\n"
        assert board.shell.run("sleep 1.5; echo done", silence=20).stdout == "done\n"


def test_attached_to_nobody(tmp_path: Path) -> None:
    with (
        open_board(tmp_path, "b", attached("socket://127.0.0.1:9") + "[timeouts]\npower = 0.1\n") as board,
        pytest.raises(NetworkError, match=r"cannot connect to socket://127\.0\.0\.1:9: Connection refused"),
    ):
        board.reach(State.SHELL)

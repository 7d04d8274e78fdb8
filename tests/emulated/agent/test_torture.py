"""Every kind of command in every shell while the kernel talks: 1,000 at 20 records a second, 200 at 200 (soak)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boards import open_board
from support.guestshells import GUEST_SHELLS, guest_shells
from support.lines import SHELLS, FaultLine, open_agent, soon
from support.torture import count, run_all, seed

from pytest_lava.board.board import Board, State
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.process import open_process
from pytest_lava.errors import CommandTimeout, UnexpectedReset

# The records that are due by the board's clock, so that a loop that starved catches up, and before all else. No turn
# costs a process: it waits for a pipe into which nobody writes.
FLOOD = """cat >/tmp/flood.sh <<'END'
busybox renice -n -20 -p $$; read up w </proc/uptime; start=${{up%.*}}${{up#*.}}; i=0
mkfifo /tmp/flood; exec 3>/dev/kmsg 4<>/tmp/flood
while [ -e /tmp/flood ]; do
 read up w </proc/uptime; due=$(((${{up%.*}}${{up#*.}} - start) * {rate} / 100))
 while [ $i -lt $due ]; do echo "<4>flood $i: [drm] something ~;0. in the kernel" >&3; i=$((i+1)); done
 read -t 0.03 w <&4
done
END
/bin/sh /tmp/flood.sh </dev/null >/dev/null 2>&1 &"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with open_board(tmp_path_factory.mktemp("arm64"), "qemu-arm64", additions=guest_shells()) as board:
        board.reach(State.SHELL)
        board.shell.leave(soon())
        yield board


@pytest.fixture(scope="module")
def shell(board: Board, request: pytest.FixtureRequest) -> Iterator[AgentShell]:
    """The shell of this name, in the place of the board's own."""
    board.console.write(GUEST_SHELLS[getattr(request, "param", "busybox")].encode() + b"\n", soon())
    shell = AgentShell(board.console)
    shell.take_over(soon(30))
    yield shell
    if board.console.finding is None:  # it was not rebooted
        shell.leave(soon())
        board.console.write(b"exec sh -i\n", soon())


@pytest.mark.parametrize(("rate", "full"), [(20, 1000), (200, 200)])
@pytest.mark.parametrize("shell", list(GUEST_SHELLS), indirect=True)
@pytest.mark.emulated
@pytest.mark.timeout(3600)
def test_torture_under_printk(
    board: Board,
    shell: AgentShell,
    *,
    rate: int,
    full: int,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    number, dice = count(full), random.Random(seed())
    if number < full and request.node.callspec.params["shell"] != "busybox":
        number //= 4  # what an emulated board needs for each command is mostly its own time
    shell.check("dmesg -n 8; echo on >/proc/sys/kernel/printk_devkmsg")
    begin, console = board.console.end, board.console
    shell.check(FLOOD.format(rate=rate))
    console.wait(lambda: b"] flood 0" in console.read(begin) or None, soon(), what="flood")
    begin, start = console.end, time.monotonic()
    try:
        wrong = run_all(shell, dice, number)
        seconds = time.monotonic() - start
        records = console.read(begin).count(b"] flood ")
    finally:
        shell.check("rm /tmp/flood; sleep 0.3; dmesg -n 1")
    with capsys.disabled():
        print(f"\n{number} commands in {seconds:.0f} s, {records / seconds:.0f} records/s, {len(wrong)} wrong", end=" ")
    assert wrong == []
    assert records >= 0.9 * rate * seconds


@pytest.mark.emulated
def test_hostile_commands_on_a_board(board: Board, shell: AgentShell) -> None:
    assert shell.run("stty sane </dev/ttyAMA0; echo a; echo b >&2").stdout == "a\n"
    assert shell.run("printf '\x03\x1c\r'").stdout == "\x03\x1c\r"
    with pytest.raises(CommandTimeout):
        shell.run("trap '' INT; while :; do :; done", timeout=1)
    results = shell.run_many([f"echo {number}; exit {number}" for number in range(20)])
    assert [(r.stdout, r.returncode) for r in results] == [(f"{number}\n", number) for number in range(20)]
    seconds = shell.run("sleep 1").device_seconds
    assert seconds is not None
    assert 0.95 < seconds < 3
    live: list[bytes] = []
    assert shell.run("seq 100; sleep 1; echo end", on_output=live.append).stdout.endswith("100\nend\n")
    assert len(live) > 1
    assert shell.resync(soon())


@pytest.mark.emulated
def test_reboot_under_its_feet(board: Board, shell: AgentShell) -> None:
    with pytest.raises(UnexpectedReset):
        shell.run("reboot -f", timeout=60)


@pytest.mark.parametrize(("hit", "full"), [(0.2, 1000), (0.9, 200)])
@pytest.mark.parametrize("name", sorted(SHELLS))
def test_torture_on_a_pty(tmp_path: Path, name: str, hit: float, full: int) -> None:
    number = seed()
    line = FaultLine(open_process(SHELLS[name])[0], hit=hit, seed=number)
    with open_agent(tmp_path, line=line) as shell:
        assert run_all(shell, random.Random(number), count(full)) == []
    assert line.records > 0

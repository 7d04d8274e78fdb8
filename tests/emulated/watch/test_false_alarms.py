"""Output about crashes is no crash: in every mode of both shells, on all shells here and on a real kernel."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.boards import open_board
from support.lines import SHELLS, FaultLine, open_agent, open_shell, soon

from pytest_lava.board.board import Board, State
from pytest_lava.config.model import Login
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.watch import FindingKind
from pytest_lava.errors import KernelCrash

Shell = AgentShell | MarkerShell

SAID = "Kernel panic - not syncing"
#: a saved oops and what may stand around it; LF as `dmesg` has it, CR LF as a serial log has it
OOPS = """\
U-Boot 2023.01+dfsg-2+deb12u1 (Aug 13 2024 - 18:02:34 +0000)
[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x411fd070]
[    0.000000] Linux version 6.1.0-28-arm64 (debian-kernel@lists.debian.org) #1 SMP Debian 6.1.119-1
[    7.100000] ------------[ cut here ]------------
[    7.100100] WARNING: CPU: 0 PID: 1 at kernel/workqueue.c:3162 __flush_work+0x1d0/0x210
[    7.100200] ---[ end trace 0000000000000000 ]---
[   12.300000] BUG: kernel NULL pointer dereference, address: 0000000000000000
[   12.300100] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000
[   12.300200] Internal error: Oops: 96000046 [#1] SMP
[   12.300300] Call trace:
[   12.300400]  sysrq_handle_crash+0x20/0x30
[   12.300500] ---[ end trace 0000000000000000 ]---
[   12.300600] Kernel panic - not syncing: Oops: Fatal exception
[   12.300700] INFO: task kworker/0:1:12 blocked for more than 120 seconds.
[   12.300800] a.out invoked oom-killer: gfp_mask=0x100cca, order=0, oom_score_adj=0
[   12.300900] ---[ end Kernel panic - not syncing: Oops: Fatal exception ]---
Kernel panic - not syncing: without a time stamp
"""
TEXTS = {"lf": OOPS, "crlf": OOPS.replace("\n", "\r\n"), "no-end": OOPS + SAID}


def armed(console: Console) -> None:
    console.arm(FindingKind.FATAL, FindingKind.BOOT)


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("shell_on", [open_shell, open_agent], ids=["marker", "agent"])
def test_framed(tmp_path: Path, shell_on: Callable[..., object], name: str, kind: str) -> None:
    with shell_on(tmp_path, SHELLS[name]) as shell:  # type: ignore[attr-defined]
        armed(console := shell._console)
        for _ in range(3):
            assert shell.run("cat", input=TEXTS[kind]).stdout == TEXTS[kind]
        assert shell.run(f"cat >&2; echo '{SAID}'; exit 3", input=TEXTS[kind]).stderr == TEXTS[kind]
        assert console.findings() == []


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("after", ["true", "sleep 2.5", "echo to both >&2"])
def test_live(tmp_path: Path, name: str, kind: str, after: str) -> None:
    """It is asked about while the command goes on silently; what is found beside it is the kernel's."""
    with open_agent(tmp_path, SHELLS[name]) as shell:
        armed(console := shell._console)
        live: list[bytes] = []
        result = shell.run(f"cat; {after}", input=TEXTS[kind], on_output=live.append)
        assert result.stdout == TEXTS[kind]
        assert live
        assert console.findings() == []


@pytest.mark.parametrize("shell_on", [open_shell, open_agent], ids=["marker", "agent"])
def test_among_kernel_records(tmp_path: Path, shell_on: Callable[..., object]) -> None:
    """Records land in the middle of it, so answers are repaired and asked for again."""
    line = FaultLine(open_process("dash -i")[0], hit=0.3, seed=2)
    keywords = {"login": Login(shell_prompt="[#$] ?")} if shell_on is open_shell else {}
    with shell_on(tmp_path, line=line, **keywords) as shell:  # type: ignore[attr-defined]
        armed(shell._console)
        for text in TEXTS.values():
            for _ in range(5):
                assert shell.run("cat", input=text, timeout=20).stdout == text
        assert shell._console.findings() == []
        assert line.records


@pytest.mark.parametrize("shell_on", [open_shell, open_agent], ids=["marker", "agent"])
def test_interactive(tmp_path: Path, shell_on: Callable[..., object]) -> None:
    with shell_on(tmp_path, "bash --norc --noprofile -i") as shell:  # type: ignore[attr-defined]
        armed(console := shell._console)
        (tmp_path / "oops").write_text(OOPS)
        shell.sendline(f"cat {tmp_path}/oops; echo '{SAID}'")
        shell.expect(re.escape(shell.prompt), timeout=5)
        shell.sendline("sleep 1.5; echo do''ne")
        shell.expect("done", timeout=5)
        shell.expect(re.escape(shell.prompt), timeout=5)
        assert shell.run("echo on").stdout == "on\n"
        assert console.finding is None
        assert all(found.doubtful for found in console.findings())  # nobody could prove whose words they are


# -- on a real kernel ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    append = "loglevel=8 ignore_loglevel"  # a whole boot log
    with open_board(tmp_path_factory.mktemp("x86"), "qemu-x86_64", append=append) as board:
        board.reach(State.SHELL)
        yield board


@pytest.fixture(params=[AgentShell, MarkerShell], ids=["agent", "marker"])
def shell(board: Board, request: pytest.FixtureRequest) -> Iterator[Shell]:
    if isinstance(board.shell, request.param):
        yield board.shell
        return
    board.shell.leave(soon())
    other: Shell = request.param(board.console)
    other.take_over(soon(30))
    yield other
    other.leave(soon())
    assert isinstance(board.shell, (AgentShell, MarkerShell))
    board.shell.take_over(soon(30))


@pytest.mark.emulated
def test_a_whole_boot_log_is_clean(board: Board) -> None:
    assert board.last_boot
    said = board.console.read(*board.last_boot.console)
    assert said.count(b"\n") > 200
    assert board.console.findings(0, board.last_boot.console[1]) == []


@pytest.mark.emulated
def test_dump_of_the_log_of_a_real_kernel(board: Board, shell: Shell) -> None:
    begin = board.console.end
    assert "Linux version" in shell.run("dmesg").stdout
    shell.check("cat >/tmp/oops", input=OOPS)
    for _ in range(3):
        assert shell.run(f"cat /tmp/oops; dmesg >&2; echo '{SAID}'").stdout == f"{OOPS}{SAID}\n"
    if isinstance(shell, AgentShell):
        output: list[bytes] = []
        assert shell.run("cat /tmp/oops; dmesg; sleep 2", on_output=output.append).stdout.startswith(OOPS)
    assert board.console.findings(begin) == []
    assert board.at_ease


@pytest.mark.emulated
def test_warning_of_a_real_kernel_is_found_whatever_the_output_is(board: Board, shell: Shell) -> None:
    """Written by way of /dev/kmsg: a record like the kernel's own, in the midst of words about others."""
    record = "WARNING: CPU: 0 PID: 7 at mm/slub.c:1 here"
    shell.check("echo on >/proc/sys/kernel/printk_devkmsg")
    begin = board.console.end
    assert shell.run(f"echo '{record}' >/dev/kmsg; sleep 0.2; cat", input=OOPS).stdout == OOPS
    (found,) = board.console.findings(begin)
    assert (found.kind, found.name, found.message, found.doubtful) == (FindingKind.WARN, "warning", record, False)
    assert board.at_ease


@pytest.mark.emulated
def test_kernel_that_talks_of_panic_and_lives(board: Board, shell: Shell) -> None:
    shell.check("echo on >/proc/sys/kernel/printk_devkmsg")
    assert shell.run(f"echo '{SAID}: test' >/dev/kmsg; echo on").stdout == "on\n"
    shell.check(f"(sleep 0.3; echo '{SAID}: test' >/dev/kmsg) >/dev/null 2>&1 &")
    time.sleep(0.6)
    assert board.console.finding is not None
    assert shell.run("echo on").stdout == "on\n"
    assert board.at_ease


@pytest.mark.emulated
def test_dead_kernel_is_not_taken_for_output(board: Board) -> None:
    """The last test here: with such words in the output of all that ran before."""
    with pytest.raises(KernelCrash, match="sysrq triggered crash"):
        board.shell.run("cat /tmp/oops; echo c >/proc/sysrq-trigger", timeout=20)
    board.lose("its kernel died for a test")

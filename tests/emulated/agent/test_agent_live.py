"""The agent and time: the board's clock, commands over theirs, live output, kernels that die."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.lines import SHELLS, FaultLine, open_agent
from support.poor import fine

from pytest_lava.console.process import open_process
from pytest_lava.console.requests import quoted
from pytest_lava.errors import (
    CommandTimeout,
    Hang,
    KernelCrash,
    UnexpectedReset,
)
from pytest_lava.responsiveness import Verdict

ALL = pytest.mark.parametrize("name", sorted(SHELLS))
OOPS = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n"
TYPED = repr(OOPS)[1:-1]  # on one line


# -- time -----------------------------------------------------------------------------------------------------------


@ALL
def test_clock_of_the_board(tmp_path: Path, name: str) -> None:
    with open_agent(tmp_path, SHELLS[name]) as shell:
        result = shell.run("sleep 0.3")
        assert result.device_seconds is not None
        assert 0.28 <= result.device_seconds <= result.duration + 0.02


def test_ctrl_c_brings_the_shell_back_at_once(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        for command in ("sleep 60", "while :; do :; done", "sleep 60 | cat"):
            start = time.monotonic()
            with pytest.raises(CommandTimeout) as caught:
                shell.run(command, timeout=0.3)
            assert time.monotonic() - start < 1.3
            evidence = caught.value.responsiveness
            assert evidence is not None
            assert evidence.verdict is Verdict.INTERRUPTED


def test_shell_that_hangs_is_told_with_evidence_and_pinged_next_time(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        pid = int(shell.run("echo $$").stdout)
        with pytest.raises(Hang) as caught:
            shell.run(f"kill -STOP {pid}", timeout=0.2)
        evidence = caught.value.responsiveness
        assert evidence is not None
        assert [step.rung for step in evidence.steps][:3] == ["Ctrl-C", "Ctrl-C again", "Ctrl-\\"]
        start = time.monotonic()
        with pytest.raises(Hang, match="has not answered since"):
            shell.run("true", timeout=60)
        assert time.monotonic() - start < 2.5
        os.kill(pid, 18)
        assert fine(shell)


def test_much_output_when_time_is_over(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        with pytest.raises(CommandTimeout) as caught:
            shell.run("seq 1000000; sleep 60", timeout=1.5)
        assert caught.value.evidence.startswith("1\n2\n3\n")
        assert len(caught.value.evidence) == 65536
        assert fine(shell)


# -- streaming ------------------------------------------------------------------------------------------------------


@ALL
def test_output_comes_live_and_is_proven(tmp_path: Path, name: str) -> None:
    with open_agent(tmp_path, SHELLS[name]) as shell:
        came: list[tuple[float, bytes]] = []
        start = time.monotonic()
        result = shell.run(
            "echo one; sleep 0.4; echo two; exit 5",
            on_output=lambda data: came.append((time.monotonic() - start, data)),
        )
        assert (result.returncode, result.stdout, result.stderr) == (5, "one\ntwo\n", "")
        assert b"".join(data for _, data in came) == b"one\ntwo\n"
        assert came[0][0] < 0.35
        size = shell.run("seq 20000", on_output=lambda data: None).console
        assert size[1] - size[0] < 1.01 * 108894  # once on the line
        both = shell.run("seq 5; echo err >&2", on_output=lambda data: None)
        assert (both.stdout, both.stderr) == ("1\n2\n3\n4\n5\n", "err\n")
        assert not shell.run("true", on_output=lambda data: None).stdout
        with pytest.raises(CommandTimeout) as caught:
            shell.run("echo begun; sleep 60", timeout=0.3, on_output=lambda data: None)
        assert caught.value.evidence == "begun\n"
        assert fine(shell)


def test_a_line_comes_live_with_its_newline(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        said = b""
        states: list[bytes] = []

        def note(data: bytes) -> None:
            nonlocal said
            said += data
            states.append(said)

        shell.run("echo a; sleep 0.6; echo b", on_output=note)
        assert said == b"a\nb\n"
        assert b"a\n" in states


def test_streaming_among_kernel_records(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], hit=0.5, seed=6)
    with open_agent(tmp_path, line=line) as shell:
        for _ in range(10):
            result = shell.run("seq 2000; echo x >&2", on_output=lambda data: None)
            assert (result.stdout, result.stderr) == ("".join(f"{n}\n" for n in range(1, 2001)), "x\n")


@ALL
def test_live_output_like_a_panic_is_no_panic(tmp_path: Path, name: str) -> None:
    with open_agent(tmp_path, SHELLS[name]) as shell:
        result = shell.run(f"printf '{OOPS}'; sleep 2.3; echo end", on_output=lambda data: None)
        assert result.stdout == f"{OOPS}end\n"
        assert shell.run(f"printf '{OOPS}'").stdout == OOPS
        shell.sendline(f"printf '{TYPED}'")
        shell.sendline("echo 'typed, unfinished")
        assert fine(shell)


# -- death ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error"), [(f"[   12.345678] {OOPS}", KernelCrash), ("U-Boot 2023.01 (Jan 01 2023)\n", UnexpectedReset)]
)
def test_kernel_that_dies_under_a_command(tmp_path: Path, said: str, error: type[Exception]) -> None:
    with open_agent(tmp_path) as shell:
        start = time.monotonic()
        with pytest.raises(error):
            shell.run(f"printf '{said}' >/dev/tty; kill -STOP $$", timeout=20)
        assert time.monotonic() - start < 1


def test_kernel_that_dies_under_a_streaming_command(tmp_path: Path) -> None:
    """It says so past the streams, when nothing runs any more; a ping tells that from what a program says."""
    with open_agent(tmp_path) as shell:
        pid, tty = shell.run("echo $$; readlink /proc/$$/fd/0").stdout.split()
        death = quoted(f"kill -s STOP -- -{pid}; printf '{TYPED}' >{tty}").decode()
        start = time.monotonic()
        with pytest.raises(KernelCrash):
            shell.run(f"echo before; setsid sh -c {death}", timeout=20, on_output=lambda data: None)
        assert time.monotonic() - start < 2


def test_finding_between_commands(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        pid = int(shell.run("echo $$").stdout)
        shell.sendline(f"printf '{TYPED}'")
        shell.expect("exitcode", timeout=5)
        assert fine(shell)
        shell.sendline(f"printf '{TYPED}'; kill -STOP $$")
        shell.expect("exitcode", timeout=5)
        start = time.monotonic()
        with pytest.raises(KernelCrash):
            shell.run("true", timeout=20)
        assert time.monotonic() - start < 2.5
        os.kill(pid, 18)

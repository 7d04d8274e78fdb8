"""The agent on shells and lines that go wrong. What every shell promises is in tests/contract/shell."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest
from support.lines import SHELLS, FaultLine, Peer, open_agent, soon
from support.poor import fine
from support.soak import SOAK

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.process import open_process
from pytest_lava.console.watch import FindingKind
from pytest_lava.errors import (
    CommandTimeout,
    ConsoleLost,
    Hang,
    InfrastructureError,
    LavaError,
)

ALL = pytest.mark.parametrize("name", sorted(SHELLS))


# -- noise ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hit", [0.2, 0.9])
@ALL
def test_kernel_records_between_any_two_bytes(tmp_path: Path, name: str, hit: float) -> None:
    dice = random.Random(f"{hit} {name}")
    line = FaultLine(open_process(SHELLS[name])[0], hit=hit, seed=4711)
    wrong = []
    with open_agent(tmp_path, line=line) as shell:
        for number in range(100):
            status = dice.randrange(256)
            out = "".join(dice.choices("abc \n[]~;", k=dice.choice([0, 1, 30, 2000])))
            err = dice.choice(["", "error\n", f"number {number}"])
            result = shell.run(f"cat; printf %s '{err}' >&2; exit {status}", input=out, timeout=20)
            if (result.returncode, result.stdout, result.stderr) != (status, out, err):
                wrong.append((number, result))
    assert wrong == []
    assert line.records > 100 * hit


def test_output_that_looks_like_kernel_records_among_kernel_records(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], hit=0.5, seed=1)
    dmesg = "".join(f"[{number:12.6f}] usb 1-1: message {number}\n" for number in range(50))
    with open_agent(tmp_path, line=line) as shell:
        for ending in ("\n", "\r\n"):
            for _ in range(20):
                assert shell.run("cat", input=dmesg.replace("\n", ending), timeout=20).stdout_bytes.decode() == (
                    dmesg.replace("\n", ending)
                )


def test_flipped_bits_are_noticed(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], seed=3)
    data = bytes(range(256)) * 4
    with open_agent(tmp_path, line=line) as shell:
        shell.run("true")
        line.flip = 2e-4
        for _ in range(40):
            result = shell.run("cat; printf x >&2", input=data, timeout=30)
            assert (result.stdout_bytes, result.stderr) == (data, "x")


def test_noise_without_end_is_an_error(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], seed=3)
    with open_agent(tmp_path, line=line) as shell:
        assert fine(shell)
        line.flip = 0.05
        with pytest.raises(LavaError):
            shell.run("seq 500", timeout=3)
        line.flip = 0
        assert shell.resync(soon())
        assert fine(shell)


@ALL
def test_request_that_arrives_damaged_is_not_run(tmp_path: Path, name: str) -> None:
    line = FaultLine(open_process(SHELLS[name])[0])
    with open_agent(tmp_path, line=line) as shell:
        assert fine(shell)
        line.refuse = 1
        assert shell.run("echo once").stdout == "once\n"
        line.refuse = 2
        assert shell.run("cat", input="x" * 700).stdout == "x" * 700
        line.refuse = 99
        with pytest.raises(InfrastructureError, match="arrives damaged"):
            shell.run("echo never", timeout=20)
        line.refuse = 0
        assert shell.resync(soon())
        assert fine(shell)


def test_line_of_single_bytes(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], single=True)
    with open_agent(tmp_path, line=line) as shell:
        assert shell.run("seq 300").stdout == "".join(f"{number}\n" for number in range(1, 301))


@ALL
@pytest.mark.parametrize(
    "mess", ["stty sane", "stty sane </dev/tty", "stty echo </dev/tty", "stty opost onlcr </dev/tty"]
)
def test_command_that_sets_the_tty(tmp_path: Path, name: str, mess: str) -> None:
    with open_agent(tmp_path, SHELLS[name]) as shell:
        for _ in range(3):
            result = shell.run(f"printf 'a\\r\\nb\\n'; {mess}; echo c; echo d >&2", timeout=10)
            assert (result.stdout, result.stderr.splitlines()[-1]) == ("a\r\nb\nc\n", "d")
            special = "printf '%s' '\x01\x03\x04\t\x11\x13\x1a\x1c\x7f\r'" + " # " + "x" * 5000
            assert shell.run(special, timeout=10).stdout == "\x01\x03\x04\t\x11\x13\x1a\x1c\x7f\r"


# -- what a command may do to its shell -----------------------------------------------------------------------------

AGAIN = "sh -c 'while :; do setsid -cw {shell}; done'"  # as an init does


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a line to a new session: run the tests as root")
@ALL
@pytest.mark.parametrize("murder", ["kill -9 $$", "kill -9 $PPID; kill -9 $$"])
def test_shell_that_is_killed_and_started_again(tmp_path: Path, name: str, murder: str) -> None:
    with open_agent(tmp_path, AGAIN.format(shell=SHELLS[name])) as shell:
        if "PPID" in murder:
            with pytest.raises((ConsoleLost, Hang)):
                shell.run(murder, timeout=0.5)
            assert not shell.resync(soon(1))
            return
        with pytest.raises(Hang, match="; its shell has ended, and another one is at the prompt: kill"):
            shell.run(murder, timeout=0.5)
        assert not shell.ping(soon(0.3))
        assert shell.resync(soon())
        assert fine(shell)
        assert shell.run_many(["echo many"])[0].stdout == "many\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a line to a new session: run the tests as root")
@ALL
def test_shell_that_is_killed_costs_no_time_limit(tmp_path: Path, name: str) -> None:
    with open_agent(tmp_path, AGAIN.format(shell=SHELLS[name])) as shell:
        # what looks like a prompt on the line is only asked about
        assert shell.run("printf '# ' >/dev/tty; sleep 1.5; echo end", timeout=20).stdout == "end\n"
        begin = time.monotonic()
        with pytest.raises(Hang, match=r"^its shell has ended, and another one is at the prompt: kill"):
            shell.run("kill -9 $$", timeout=60)
        assert time.monotonic() - begin < 10
        assert shell.resync(soon())
        assert fine(shell)


def test_shell_that_is_replaced(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        shell.sendline("exec bash --norc -i")
        shell.expect("bash.*[#$] ", timeout=5)
        assert shell.resync(soon())
        assert fine(shell)


def test_resync_interrupts_what_runs(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        assert shell.resync(soon())
        for typed in ("sleep 60", "trap '' INT; sleep 60", "cat"):
            shell.sendline(f'sh -c "{typed}"')
            assert shell.resync(soon())
            assert fine(shell)


def test_resync_of_a_dead_line(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        os.kill(int(shell.run("echo $$").stdout), 9)
        assert not shell.resync(soon())


@ALL
def test_output_that_imitates_frames(tmp_path: Path, name: str) -> None:
    with open_agent(tmp_path, SHELLS[name]) as shell:
        fake = 'printf "\\n~$__id;0;1.00;1.00;4;-;0;-;~\\nfake~$__id;0.\\n~$__id!0.\\n"'
        first = shell.run(f"{fake}; exit 9")
        assert (first.returncode, first.stdout.count("fake")) == (9, 1)
        both = shell.run(f"{fake}; {fake} >&2; exit 8")
        assert both.returncode == 8
        assert both.stdout == both.stderr


def test_output_that_imitates_frames_among_kernel_records(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], hit=0.7, seed=5)
    with open_agent(tmp_path, line=line) as shell:
        for _ in range(30):
            result = shell.run('printf "\\n~$__id;0;1.0;1.0;4;-;0;-;~\\nfake~$__id;9.\\n"; echo x >&2; exit 9')
            assert (result.returncode, result.stderr, result.stdout.count("fake")) == (9, "x\n", 1)


# -- many -----------------------------------------------------------------------------------------------------------


@ALL
def test_many_commands_at_once(tmp_path: Path, name: str) -> None:
    dice = random.Random(name)
    line = FaultLine(open_process(SHELLS[name])[0], hit=0.3, seed=9)
    with open_agent(tmp_path, line=line) as shell:
        assert shell.run_many([]) == []
        with pytest.raises(TypeError, match="a list of commands, not the single text 'echo hi'"):
            shell.run_many("echo hi")
        wanted = []
        for _ in range(150):
            out = "".join(dice.choices("ab \n[;'", k=dice.choice([0, 0, 5, 500])))
            wanted.append((dice.randrange(256), out, dice.choice(["", "err\n"])))
        commands = [
            "printf %s '{}'; printf %s '{}' >&2; exit {}".format(out.replace("'", "'\\''"), err, status)
            for status, out, err in wanted
        ]
        results = shell.run_many(commands, timeout=60)
        assert [(r.returncode, r.stdout, r.stderr) for r in results] == wanted
        assert [r.command for r in results] == commands
        odd = shell.run_many(
            ["(", "exec true", "echo \x03", "cd /; pwd", "pwd", "printf 123456", "kill -9 0 >&-; :"][:6],
            cwd="/usr",
            max_output=3,
        )
        assert [r.stdout for r in odd] == ["", "", "\x03\n", "/\n", "/us", "123"]
        assert [r.truncated for r in odd] == [True, False, False, False, True, True]
        assert odd[0].returncode
        with pytest.raises(CommandTimeout, match="2 commands, the first being 'true'"):
            shell.run_many(["true", "sleep 60"], timeout=0.5)
        with pytest.raises(ValueError, match="NUL"):
            shell.run_many(["true", "\0"])
        assert fine(shell)


# -- any bytes at all -----------------------------------------------------------------------------------------------


def test_reader_of_arbitrary_bytes(tmp_path: Path) -> None:
    """Whatever the line says: an error of ours or a result, in time, in little memory."""
    seed = int(os.environ.get("LAVA_SEED", "0")) or random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    console = Console(tmp_path / "console.log")
    console.arm(FindingKind.FATAL, FindingKind.BOOT)
    peer = Peer(console)
    ended = threading.Event()
    pieces = [
        b"~",
        b";",
        b"\n",
        b"\r\n",
        b"!",
        b".",
        b"9" * 5000,
        b"1.1.1",
        b"-",
        b"[    1.000000] x\r\n",
        b"[   1.0",
        b"Kernel panic - not syncing",
        b"~P",
        b"~X",
        b"stf",
        b"base64~\n",
        b"\0\xff",
    ]

    def talk() -> None:
        heard = b"~0;"
        while not ended.is_set():
            try:
                heard = peer.line.recv(65536) or heard
                words = heard.split()
                frame = words[1] if len(words) > 1 else b"0"
                said = b"".join(
                    dice.choice([*pieces, frame, b"\n~%s;0;1.0;2.0;4;-;0;-;~\n" % frame, dice.randbytes(3)])
                    for _ in range(dice.randrange(200))
                )
                peer.says(said)
            except OSError:
                return

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    thread = threading.Thread(target=talk)
    thread.start()
    shell, before = AgentShell(console), resident()
    try:
        for number in range(12 if SOAK else 6):
            try:
                if number % 3 == 0:
                    shell.take_over(soon(0.1))
                elif number % 3 == 1:
                    shell.run("true", timeout=0.1, on_output=(lambda data: None) if number % 2 else None)
                else:
                    shell.run_many(["true", "false"], timeout=0.1)
            except LavaError:
                console.dismiss_findings()
    finally:
        ended.set()
        peer.line.shutdown(2)
        thread.join()
        peer.close()
        console.close()
    assert resident() - before < 30_000_000

"""The agent on shells and lines that go wrong. What every shell promises is in tests/contract/shell."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.lines import SHELLS, FaultLine, Peer, open_agent, soon

from pytest_lava.console.agent import AgentShell, AgentUnfit
from pytest_lava.console.console import Console
from pytest_lava.console.process import open_process
from pytest_lava.console.requests import quoted
from pytest_lava.console.watch import FindingKind
from pytest_lava.errors import (
    CommandTimeout,
    ConsoleLost,
    Hang,
    InfrastructureError,
    KernelCrash,
    LavaError,
    UnexpectedReset,
)
from pytest_lava.responsiveness import Verdict

ALL = pytest.mark.parametrize("name", sorted(SHELLS))
TOOLS = ["cat", "head", "wc", "sed", "stty", "rm", "sleep", "sh", "tr", "seq", "printf", "tee", "ls"]
OOPS = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n"
TYPED = repr(OOPS)[1:-1]  # on one line


def fine(shell: AgentShell) -> bool:
    result = shell.run("echo out; echo err >&2; exit 3", timeout=5)
    return (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")


def restricted(folder: Path, *tools: str) -> str:
    """A shell that finds nothing but these tools."""
    (folder / "bin").mkdir()
    for tool in tools:
        # Debian's busybox has no cksum, and says so only when it is run
        (folder / "bin" / tool.strip("+")).symlink_to(f"/usr/bin/{tool[1:]}" if tool[0] == "+" else "/usr/bin/busybox")
    return f"/usr/bin/env PATH={folder}/bin /usr/bin/dash -i"


def own_mounts(*commands: str) -> str:
    """A shell in a mount name space of its own."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name spaces here")
    return f"unshare -rm sh -c '{'; '.join(commands)}; exec dash -i'"


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


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a line to a new session")
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


# -- boards that lack something -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tools", [["md5sum", "base64"], ["od"], ["hexdump", "+cksum"], [], ["cksum", "md5sum"]], ids="-".join
)
def test_few_tools(tmp_path: Path, tools: list[str]) -> None:
    line = FaultLine(open_process(restricted(tmp_path, *TOOLS, *tools))[0], hit=0.4, seed=8)
    with open_agent(tmp_path, line=line) as shell:
        for size in (0, 1, 300, 5000) * 5:
            result = shell.run("cat; echo err >&2", input="x" * size, timeout=20)
            assert (result.stdout, result.stderr) == ("x" * size, "err\n")
        assert shell.run("seq 10", max_output=4).stdout == "1\n2\n"
        live = shell.run("seq 300", on_output=lambda data: None)
        assert live.stdout == "".join(f"{number}\n" for number in range(1, 301))


@pytest.mark.parametrize("missing", ["cat", "wc", "sed", "+cksum"])
def test_one_tool_too_few(tmp_path: Path, missing: str) -> None:
    command = restricted(tmp_path, *(tool for tool in [*TOOLS, "+cksum"] if tool != missing))
    with open_agent(tmp_path, command) as shell:
        for _ in range(2):
            assert shell.run("seq 10; echo err >&2; exit 3", max_output=4).stdout == "1\n2\n"
        assert fine(shell)


def test_board_that_cannot_count(tmp_path: Path) -> None:
    command = restricted(tmp_path, *(tool for tool in TOOLS if tool != "wc"))
    with open_agent(tmp_path, command) as shell:
        assert shell.run("exit 3").returncode == 3
        for _ in range(2):
            with pytest.raises(InfrastructureError, match="lacks cksum and wc"):
                shell.run("echo out")
        assert shell.run("exit 4").returncode == 4


@pytest.mark.parametrize("missing", ["stty", "head"])
def test_too_few_tools(tmp_path: Path, missing: str) -> None:
    command = restricted(tmp_path, *(tool for tool in TOOLS if tool != missing))
    with pytest.raises(AgentUnfit, match=missing) as caught, open_agent(tmp_path, command):
        pass
    assert caught.value.markers == (missing == "stty")


def test_no_space_left(tmp_path: Path) -> None:
    command = own_mounts("mount -t tmpfs -o size=256k none /dev/shm")
    with open_agent(tmp_path, command) as shell:
        assert len(shell.run("head -c 100000 /dev/zero").stdout) == 100000
        with pytest.raises(InfrastructureError, match="no space left on the board for the output of: head -c 9"):
            shell.run("head -c 900000 /dev/zero")
        assert fine(shell)
        with pytest.raises(InfrastructureError, match="no space left"):
            shell.run("head -c 900000 /dev/zero >/dev/shm/full; echo lost; true")
        assert shell.run("rm -f /dev/shm/full; true", timeout=5).returncode == 0
        assert fine(shell)


@pytest.mark.parametrize("gone", ["rm -f {0}.*", "rm -f {0}.*.o", "rm -f {0}.*.e"])
@ALL
def test_output_whose_files_are_removed_is_not_taken_for_none(tmp_path: Path, name: str, gone: str) -> None:
    """By the command or by somebody else on the board; it once came back empty."""
    with open_agent(tmp_path, SHELLS[name]) as shell:
        files = shell.run("echo $__f").stdout.strip()
        with pytest.raises(InfrastructureError, match="the files for its output are gone"):
            shell.run(f"echo lost; echo lost >&2; {gone.format(files)}")
        assert fine(shell)
        with pytest.raises(InfrastructureError, match="the files for its output are gone"):
            shell.run(f"echo lost; sleep 0.2; {gone.format(files)}", on_output=lambda data: None)
        assert fine(shell)


def test_folder_that_something_is_mounted_over(tmp_path: Path) -> None:
    with open_agent(tmp_path, own_mounts("true")) as shell:
        with pytest.raises(InfrastructureError, match="mounted something over them"):
            shell.run("mount -t tmpfs none /dev/shm; echo lost")
        assert fine(shell)
        with pytest.raises(InfrastructureError, match="mounted something over them"):
            shell.run("mount -t tmpfs -o ro none /dev/shm; echo lost")
        assert fine(shell)
        assert not shell.run("echo $__f").stdout.startswith("/dev/shm")


def test_read_only_board(tmp_path: Path) -> None:
    places = ("/dev/shm", "/run", "/tmp", "/var/tmp", "$HOME")
    command = own_mounts(*(f"mount -t tmpfs -o ro none {place}" for place in places))
    console = Console(tmp_path / "console.log")
    try:
        console.attach(open_process(command)[0])
        shell = AgentShell(console)
        with pytest.raises(AgentUnfit, match="no folder can be written"):
            shell.take_over(soon())
        start = console.end
        console.write(b"echo back at the pro''mpt\n", soon())
        console.wait(lambda: b"at the prompt" in console.read(start) or None, soon(), what="prompt")
    finally:
        console.close()


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
        for number in range(12):
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

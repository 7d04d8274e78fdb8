"""A lab that breaks while a run is at work: its lines, its power switches, its commands, other users of its boards."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lava_desk import Desk, bench_board
from matrix import SKIPPED, Fault, check, nothing_is_left
from support.face import Face
from support.kernels import arm64_image, x86_kernel

LOCAL = "extends = 'localhost'\n"
QUICK = "[timeouts]\nkernel = 3\nlogin = 3\npower = 3\n[retry]\npause = 0\n"
LAB = {"blame": "infrastructure", "result": "unknown", "status": 69}
#: a line that turns over a bit of every so many bytes of the board's, once there is a file that says how many; a new
#: line is a good one
NOISE = """
import os, pty, select, sys, tty

shell, line = pty.fork()
if shell == 0:
    os.execvp("sh", ["sh", "-i"])
tty.setraw(0)
if os.path.exists("noise"):
    os.remove("noise")
count = 0
while True:
    for fd in select.select([0, line], [], [])[0]:
        try:
            data = bytearray(os.read(fd, 65536))
        except OSError:
            sys.exit()
        every = int(open("noise").read() or 0) if fd == line and os.path.exists("noise") else 0
        for at in range(len(data) if every else 0):
            count += 1
            if count % every == 0:
                data[at] ^= 4
        if not data:
            sys.exit()
        os.write(line if fd == 0 else 1, data)
"""
#: what the power switch of the board does from now on
BREAKS = "import pathlib; pathlib.Path('broken').write_text('')"
ENDS = "os.kill(int(open('state/b.pid').read()), signal.SIGKILL)"


@pytest.fixture
def bench(face: Face) -> str:
    """The text of the file of a board with a power switch, which fails once there is a file ``broken``."""
    desk = Desk(face.path)
    bench_board(desk, "b")
    switch = face.path / "boards" / "switch"
    switch.write_text(
        '#!/bin/sh\n[ -e ../broken ] && { echo "outlet $1: no answer" >&2; exit 1; }\nexec ./bench "$@"\n'
    )
    switch.chmod(0o755)
    text = (face.path / "boards" / "b.toml").read_text().partition("[timeouts]")[0] + QUICK
    return text.replace('on = "./bench', 'on = "./switch')


ON_A_BENCH = [
    Fault("the line ends in a test", "ConsoleLost", **LAB, do=f"{ENDS}\nshell.run('sleep 60', timeout=9)",
          by="power cycle"),
    Fault("the line ends while pexpect waits", "ConsoleLost", **LAB, by="power cycle",
          do=f"shell.sendline('sleep 60')\n{ENDS}\nshell.expect('never', timeout=9)"),
    Fault(
        "power fails when the board is to come back", "BoardLost", **LAB, where="recovery", says="outlet on: no answer",
        do=f"{BREAKS}\n{ENDS}\nshell.run('sleep 60', timeout=9)",
        others={"test_before": "pass", "test_fault": "unknown", "test_after": "skip"},
    ),
]  # fmt: skip


IMAGE = "[deploy]\nmethod = 'command'\ncommands = ['true {image}']\n"
#: what is deployed to it is no good, or cannot be made good here
DEPLOYED = [
    Fault("something is in the way in the image", "InjectFailed", "job", "fail", 1, where="deploy", others=SKIPPED,
          options=("--image=small.ext4", "--file=image:/one", "--file=image:/one/two"), says="no folder"),
    Fault("a program of this machine is missing", "ToolMissing", "configuration", "unknown", 4, where="deploy",
          others=SKIPPED, options=("--image=small.fat", "--file=image:/file"), says="apt-get install mtools"),
]  # fmt: skip


@pytest.mark.parametrize("row", DEPLOYED, ids=str)
def test_what_is_deployed(face: Face, bench: str, row: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    (face.path / "image").write_bytes(bytes(5000))
    for name, maker in (("small.ext4", ["mke2fs", "-q"]), ("small.fat", ["mformat", "-C", "-T", "2048", "::", "-i"])):
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        size = ["1M"] if maker[0] == "mke2fs" else []
        subprocess.run([*maker, name, *size], cwd=face.path, check=True, env=os.environ | {"PATH": path})
    if row.kind == "ToolMissing":
        programs = face.path / "programs"
        programs.mkdir()
        for program in Path("/usr/bin").iterdir():
            if program.name not in ("mtools", "mcopy", "mdir", "mformat", "mmd"):
                (programs / program.name).symlink_to(program)
        monkeypatch.setenv("PATH", str(programs))
    check(face, replace(row, board=bench.replace("[timeouts]", IMAGE + "[timeouts]")))


@pytest.mark.parametrize("row", ON_A_BENCH, ids=str)
def test_on_a_bench(face: Face, bench: str, row: Fault) -> None:
    check(face, replace(row, board=bench))


def test_a_noisy_line_costs_time_and_nothing_else(face: Face) -> None:
    """A bit of every 3000th byte turned over: what comes is right, or asked for again."""
    (face.path / "noise.py").write_text(NOISE)
    face.board("b", LOCAL + f"console = 'exec:{sys.executable} -S noise.py'\n")
    face.write(
        test_it="""
            def test_noise(shell):
                open("noise", "w").write("3000")
                for _ in range(5):
                    assert shell.run("seq 300").stdout == "".join(f"{n}\\n" for n in range(1, 301))

            def test_after(shell):
                assert shell.run("echo after").stdout == "after\\n"
        """
    )
    result = face.run("--board=b", "test_it.py", passed=2)
    assert result.ret == 0
    assert face.journal("recovery") == []
    assert (face.latest / "console.log").read_bytes().count(b"\n150\n151\n") > 5  # some were sent again
    nothing_is_left(face)


NOISY = LOCAL + f"console = 'exec:{sys.executable} -S noise.py'\n"
DEPLOYS = LOCAL + QUICK + "[deploy]\nmethod = 'command'\ncommands = ['%s {image}']\n"
ELSEWHERE = [
    Fault("noise in a test", "ConsoleLost", **LAB, board=NOISY, by="power cycle", says="too noisy",
          do="open('noise', 'w').write('200')\nshell.run('seq 300')"),
    Fault("a limit of the test", "TestTimeout", "test", "fail", 1, do="shell.run('sleep 60')",
          options=("--timeout=2",)),
    Fault("words that never come", "Timeout", "test", "fail", 1,
          do="shell.sendline('cat')\nshell.expect('x', timeout=1)"),
    Fault("deployment fails", "DeployFailed", "job", "fail", 1, DEPLOYS % "false", where="deploy", others=SKIPPED,
          options=("--image=image",)),
    Fault("another kernel runs than the one deployed", "WrongKernel", "job", "fail", 1,
          LOCAL + QUICK + "[deploy]\nmethod = 'command'\ncommands = ['true {kernel}']\n", where="boot", others=SKIPPED,
          options=("--kernel=Image",), says="b booted another kernel than the one deployed"),
    Fault("wrong checksum", "FetchFailed", "job", "fail", 1, DEPLOYS % "true", where="deploy", others=SKIPPED,
          options=("--image=image#sha256=" + "0" * 64,)),
]  # fmt: skip


@pytest.mark.parametrize("row", ELSEWHERE, ids=str)
def test_elsewhere(face: Face, row: Fault) -> None:
    (face.path / "image").write_bytes(bytes(5000))
    (face.path / "noise.py").write_text(NOISE)
    kernel = face.path / "Image"
    x86_kernel(kernel) if platform.machine() == "x86_64" else kernel.write_bytes(arm64_image())
    check(face, row)

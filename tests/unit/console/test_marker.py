"""The marker protocol on lines that go wrong. What every shell promises is in tests/contract/shell."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from support.lines import FaultLine, Peer, open_shell, soon

from pytest_lava.config.model import Login
from pytest_lava.console import console as console_module
from pytest_lava.console import marker
from pytest_lava.console.console import Console
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.watch import FindingKind
from pytest_lava.errors import CommandTimeout, ConsoleLost, KernelCrash, Timeout, UnexpectedReset


@pytest.mark.parametrize(
    ("hit", "command", "count"), [(0.2, "dash -i", 300), (0.9, "bash --norc -i", 300), (0.9, "busybox sh -i", 60)]
)
def test_kernel_records_between_any_two_bytes(tmp_path: Path, hit: float, command: str, count: int) -> None:
    dice = random.Random(f"{hit} {command}")
    line = FaultLine(open_process(command)[0], hit=hit, seed=4711)
    wrong = []
    with open_shell(tmp_path, line=line, login=Login(shell_prompt=r"[#$] ?(?:\x1b\[6n)?")) as shell:
        for number in range(count):
            status = dice.randrange(256)
            out = "".join(dice.choices("abc \n[]@", k=dice.choice([0, 1, 30, 500])))
            err = dice.choice(["", "error\n", f"number {number}"])
            result = shell.run(f"cat; printf %s '{err}' >&2; exit {status}", input=out, timeout=20)
            if (result.returncode, result.stdout, result.stderr) != (status, out, err):
                wrong.append((number, result))
    assert wrong == []
    assert line.records > count * hit


def test_output_that_looks_like_kernel_records_among_kernel_records(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], hit=0.3, seed=1)
    dmesg = "".join(f"[{number:12.6f}] usb 1-1: message {number}\n" for number in range(50))
    with open_shell(tmp_path, line=line, login=Login(shell_prompt="[#$] ?")) as shell:
        for _ in range(30):
            assert shell.run("cat", input=dmesg, timeout=20).stdout == dmesg


@pytest.mark.parametrize(
    "preparation",
    [
        pytest.param("stty() { return 127; }; stty", id="stty-missing"),
        pytest.param("stty() { return 127; }; command stty -onlcr", id="echo-alone"),
        pytest.param("bind 'set enable-bracketed-paste on'; stty onlcr", id="bracketed-paste"),
        pytest.param("PS1='\\[\\e[1;32m\\]root@board\\[\\e[0m\\]:\\w# '", id="colours"),
        pytest.param("PS1='# '; PROMPT_COMMAND='printf \"\\e[6n\"'", id="cursor"),
        pytest.param("PS1='# \\e[6n'", id="busybox-cursor"),
        pytest.param("stty cols 20", id="narrow"),
        pytest.param("set -o vi", id="vi"),
        pytest.param("set -o noclobber -o noglob -o nounset", id="options"),
        pytest.param("alias echo='echo alias' printf='printf alias' cat=false", id="aliases"),
        pytest.param("trap 'exit 1' INT; cd /", id="trap"),
        pytest.param("export IFS=: LC_ALL=C PS2= PS4=", id="variables"),
    ],
)
def test_awkward_shells(tmp_path: Path, preparation: str) -> None:
    with open_shell(tmp_path, "bash --norc -i") as first:
        console = first._console
        first.leave(soon())
        console.write(preparation.encode() + b"\n", soon())
        time.sleep(0.05)
        shell = MarkerShell(console)
        shell.take_over(soon())
        for status in (0, 7):
            result = shell.run(f"cat; /bin/echo two >&2; exit {status}", input="a\r\nb\n\tc\n")
            assert (result.returncode, result.stdout, result.stderr) == (status, "a\r\nb\n\tc\n", "two\n")
        with pytest.raises(CommandTimeout):
            shell.run("sleep 30", timeout=0.05)
        assert shell.run("/bin/echo alive").stdout == "alive\n"


def test_shell_that_does_not_answer(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    peer = Peer(console)
    with pytest.raises(Timeout, match="no answer of the shell in time"):
        MarkerShell(console).take_over(soon(0.1))
    peer.close()
    console.close()


class Board:
    """A console whose board is played by the test, up to a shell of ours."""

    def __init__(self, folder: Path) -> None:
        self.console = Console(folder / "console.log")
        self.peer = Peer(self.console)
        self.shell = MarkerShell(self.console)
        self.console.arm(FindingKind.FATAL, FindingKind.BOOT)

    def tag(self) -> bytes:
        """Of the command that is typed."""
        line = b""
        while b"__r " not in line or not line.endswith(b"\n"):
            line += self.peer.hears()
        return line.split(b"__r ")[1].split()[0]

    def plays(self, *parts: bytes | float) -> None:
        """Wait for a command, then say this, with pauses; ``TAG`` stands for its tag."""

        def play() -> None:
            tag = self.tag()
            for part in parts:
                if isinstance(part, float):
                    time.sleep(part)
                else:
                    self.peer.says(part.replace(b"TAG", tag))

        threading.Thread(target=play, daemon=True).start()

    def answers_again(self, answer: bytes) -> None:
        """Wait to be asked again, and say this."""
        line = b""
        while not line.endswith(b"\n"):
            line += self.peer.hears()
        assert line.startswith(b"__s "), line
        self.peer.says(answer.replace(b"TAG", line.split()[1]))

    def close(self) -> None:
        self.peer.close()
        self.console.close()


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(marker, "_SILENCE", 0.3)
    monkeypatch.setattr(console_module, "_TRACE_QUIET", 0.1)
    board = Board(tmp_path)
    yield board
    board.close()


PANIC = b"[    9.000000] Kernel panic - not syncing: real\r\n"


def test_panic_during_a_command(board: Board) -> None:
    board.plays(b"[    8.9] Call trace\r\n" + PANIC)
    start = time.monotonic()
    with pytest.raises(KernelCrash, match="not syncing: real"):
        board.shell.run("crash", timeout=30)
    assert time.monotonic() - start < 1.5


def test_panic_while_output_is_sent(board: Board) -> None:
    board.plays(b"\n@TAG+0,1000,0+\n" + b"x" * 500 + PANIC)
    start = time.monotonic()
    with pytest.raises(KernelCrash):
        board.shell.run("crash", timeout=30)
    assert time.monotonic() - start < 1.5


def test_reset_during_a_command(board: Board) -> None:
    board.plays(b"\r\n\r\nU-Boot 2023.01 (Aug 13)\r\n", 0.1, b"DRAM: 512 MiB\r\n")
    with pytest.raises(UnexpectedReset):
        board.shell.run("reset", timeout=30)


def test_output_like_a_panic_that_takes_long_to_come(board: Board) -> None:
    """A slow line: a dump of the kernel's log with a boot banner in it, longer on its way than doubt lasts."""
    text = b"[    0.000000] Linux version 6.1.0\n" + b"U-Boot 2023.01\n" + b"Kernel panic - not syncing: old\n"
    rest = [part for number in range(10) for part in (0.03, b"line %d\n" % number)]
    size = len(text) + sum(len(part) for part in rest if isinstance(part, bytes))
    board.plays(b"\n@TAG+0,%d,0+\n" % size + text, *rest, b"\n@TAG-0@TAG-0\n")
    assert board.shell.run("dmesg", timeout=30).stdout_bytes.startswith(text)
    assert board.console.finding is None


def test_panic_right_behind_an_answer_is_not_dismissed_with_it(board: Board) -> None:
    board.plays(b"\n@TAG+0,0,0+\n\n@TAG-0@TAG-0\n" + PANIC)
    assert board.shell.run("true").returncode == 0
    time.sleep(0.05)
    assert board.console.finding is not None


def test_line_that_ends_during_a_command(board: Board) -> None:
    threading.Timer(0.05, board.peer.close).start()
    with pytest.raises(ConsoleLost, match="the peer went"):
        board.shell.run("true", timeout=30)


@pytest.mark.parametrize("damaged", [b"@TAG-3@TAG-1\n", b"@TAG-3@TA", b"@TAG-3@T\r\nkernel: no time stamp\r\nAG-3\n"])
def test_damaged_answer_is_asked_for_again(board: Board, damaged: bytes) -> None:
    board.plays(b"\n@TAG+3,2,0+\nhi\n" + damaged)
    threading.Timer(0.1, lambda: board.answers_again(b"\n@TAG+3,2,0+\nhi\n@TAG-3@TAG-3\n")).start()
    start = time.monotonic()
    result = board.shell.run("true", timeout=30)
    assert (result.returncode, result.stdout) == (3, "hi")
    assert time.monotonic() - start < 3


def test_echoed_panic_is_output(tmp_path: Path) -> None:
    with open_shell(tmp_path) as shell:
        shell._console.arm(*FindingKind)
        text = "Kernel panic - not syncing: said\nU-Boot 2023.01\n[    0.000000] Linux version 6\n"
        assert shell.run("cat; cat /dev/null >&2", input=text * 100).stdout == text * 100
        assert shell._console.finding is None


def test_alive(tmp_path: Path) -> None:
    with open_shell(tmp_path) as shell:
        assert shell.alive(soon())
        shell._console.detach()
        assert not shell.alive(soon())

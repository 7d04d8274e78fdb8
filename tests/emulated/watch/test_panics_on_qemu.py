"""How fast a dead kernel is noticed, on a real one: from the read that brought its panic line to the error."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.boards import open_board
from support.lines import soon

from pytest_lava.board.board import Board, State
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.bytelog import moment
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.watch import FindingKind
from pytest_lava.errors import KernelCrash

pytestmark = pytest.mark.emulated

Shell = AgentShell | MarkerShell
CRASH = "echo c >/proc/sysrq-trigger"
LATER = f"(sleep 1; {CRASH}) >/dev/null 2>&1 &"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with open_board(tmp_path_factory.mktemp("arm64"), "qemu-arm64") as board:
        yield board


def shell_of(board: Board, kind: type[Shell]) -> Shell:
    """A shell of this kind on a board that lives; booted anew if it was used before."""
    if board.boot_id:
        board.lose("its kernel died for a test")
        board.recover()
    board.reach(State.SHELL)
    shell = board.shell
    if not isinstance(shell, kind):
        shell.leave(soon())
        shell = kind(board.console)
        shell.take_over(soon(30))
    assert board.console.finding is None
    return shell


def until_verdict(board: Board, died: Callable[[], object]) -> tuple[float, KernelCrash]:
    """Seconds from the panic's line to the error."""
    start = board.console.end
    with pytest.raises(KernelCrash) as caught:
        died()
    verdict = time.time_ns()
    panic = board.console.read(start).index(b"Kernel panic - not syncing: sysrq triggered crash")
    seconds = (verdict - moment(board.console.log, start + panic)) / 1e9
    evidence = caught.value.evidence
    assert evidence.startswith("[")
    assert re.match(r"\[ *\d+\.\d+\] sysrq: Trigger a crash", evidence), evidence[:200]
    assert "Call trace:" in evidence
    assert "end Kernel panic" in evidence
    assert str(caught.value) == "the kernel crashed: Kernel panic - not syncing: sysrq triggered crash"
    return seconds, caught.value


both = pytest.mark.parametrize("kind", [AgentShell, MarkerShell], ids=["agent", "marker"])


@both
@pytest.mark.parametrize("command", [CRASH, f"{LATER} sleep 20"], ids=["own", "background"])
def test_panic_in_a_framed_command(
    board: Board, kind: type[Shell], command: str, record_property: Callable[[str, object], None]
) -> None:
    shell = shell_of(board, kind)
    seconds, _ = until_verdict(board, lambda: shell.run(command, timeout=30))
    record_property("seconds", seconds)
    assert seconds < 0.1


@pytest.mark.parametrize("command", [CRASH, f"{LATER} while :; do echo on; sleep 0.1; done"], ids=["own", "background"])
def test_panic_while_output_is_live(board: Board, command: str, record_property: Callable[[str, object], None]) -> None:
    shell = shell_of(board, AgentShell)
    assert isinstance(shell, AgentShell)
    seconds, _ = until_verdict(board, lambda: shell.run(command, timeout=30, on_output=lambda data: None))
    record_property("seconds", seconds)
    assert seconds < 1.2


@both
def test_panic_while_output_is_sent(
    board: Board, kind: type[Shell], record_property: Callable[[str, object], None]
) -> None:
    shell = shell_of(board, kind)
    shell.check("head -c 1000000 /dev/zero | tr '\\0' x >/tmp/big", timeout=120)
    console, start = board.console, board.console.end

    def crash() -> None:
        sent = console.wait(lambda: b"x" * 1000 in console.read(start, start + 20_000) or None, soon(60), what="output")
        assert sent
        console.send_break()  # as the SysRq key
        console.write(b"c", soon())

    other = threading.Thread(target=crash)
    other.start()
    seconds, _ = until_verdict(board, lambda: shell.run("for i in 1 2 3 4 5; do cat /tmp/big; done", timeout=60))
    other.join()
    record_property("seconds", seconds)
    assert seconds < 1.2


@both
def test_panic_under_an_interactive_program(
    board: Board, kind: type[Shell], record_property: Callable[[str, object], None]
) -> None:
    shell = shell_of(board, kind)
    shell.check(LATER)

    def talk() -> None:
        shell.sendline("cat")
        shell.expect("never", timeout=20)

    seconds, _ = until_verdict(board, talk)
    record_property("seconds", seconds)
    assert seconds < 1.2


@both
def test_panic_in_silence(board: Board, kind: type[Shell], record_property: Callable[[str, object], None]) -> None:
    """Nobody waits: it is seen at its line, and the next call says so at once."""
    shell = shell_of(board, kind)
    shell.check(LATER)
    start = board.console.end
    board.console.wait(
        lambda: b"end Kernel panic" in board.console.read(start) or None, soon(), what="panic", watched=False
    )
    (finding,) = [found for found in board.console.findings(start) if found.kind is FindingKind.FATAL]
    assert finding is board.console.finding
    begun = time.monotonic()
    with pytest.raises(KernelCrash, match="sysrq triggered crash"):
        shell.run("true", timeout=30)
    record_property("seconds", time.monotonic() - begun)
    (incident,) = board.console.incidents(start)
    assert (incident.kind, incident.name) == (FindingKind.FATAL, "panic")
    assert "sysrq: Trigger a crash" in incident.trace
    assert incident.trace.splitlines()[-1].endswith("]---")

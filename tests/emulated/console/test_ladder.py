"""The hang ladder on real kernels: every way to fall silent, what still answers, and that nobody waits long for it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boards import open_board
from support.face import Face
from support.lines import soon
from support.outside import Outside, linux
from support.rfc2217 import QemuPort, Rfc2217Server, ser2net

from pytest_lava.board.board import Board, State
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.ladder import RUNGS, Dump, Ladder, Rungs
from pytest_lava.console.marker import MarkerShell
from pytest_lava.errors import BootFailed, CommandTimeout, Hang, InfrastructureError, KernelCrash, LavaError
from pytest_lava.images.cache import cache_dir
from pytest_lava.power.qemu import QemuMachine
from pytest_lava.responsiveness import Responsiveness, Verdict

pytestmark = pytest.mark.emulated

BUSY = "trap '' INT; while :; do :; done"
DEAF = "trap '' INT QUIT; while :; do :; done"
KERNEL_RUNGS = ["BREAK h", "BREAK h again"]


PROTOCOLS: dict[str, type[MarkerShell] | type[AgentShell]] = {"qemu-x86_64": MarkerShell, "qemu-arm64": AgentShell}


@pytest.fixture(scope="module", params=sorted(PROTOCOLS))
def board(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """Both emulated boards, each spoken to in another way."""

    def speak(board: Board) -> None:
        board.shell.leave(soon())
        board._shell = shell = PROTOCOLS[request.param](board.console)
        shell.take_over(soon(30))

    with open_board(tmp_path_factory.mktemp(request.param), request.param) as board:
        board.on_boot(speak)
        yield board


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.end()


def hangs(board: Board, command: str, limit: float = 0.5) -> tuple[LavaError, Responsiveness, float]:
    """The error of a command over its time, its evidence, and the seconds that all of it took."""
    board.reach(State.SHELL)
    began = time.monotonic()
    with pytest.raises((CommandTimeout, Hang)) as caught:
        board.shell.run(command, timeout=limit)
    seconds = time.monotonic() - began
    assert caught.value.responsiveness is not None
    return caught.value, caught.value.responsiveness, seconds


def recovered(board: Board) -> None:
    """The board is known to be of no use, and is of use again after one more boot."""
    assert not board.at_ease
    boots = board.boot_id
    board.lose("it hung in a test")
    board.recover()
    assert board.shell.run("echo alive").stdout == "alive\n"
    assert board.boot_id == boots + 1
    assert board.at_ease


def tried(found: Responsiveness) -> list[str]:
    return [step.rung for step in found.steps]


# -- a shell that comes back --------------------------------------------------------------------------------------


def test_sleep_for_ever_is_found_at_its_limit_and_ended_by_one_key(board: Board) -> None:
    answered, late, usual = [], [], []
    for _ in range(3):
        board.reach(State.SHELL)
        usual.append(board.shell.run("true").duration)
        error, found, seconds = hangs(board, "echo said; sleep 100000", 0.4)
        assert type(error) is CommandTimeout
        assert error.evidence == "said\n"
        assert (found.verdict, tried(found)) == (Verdict.INTERRUPTED, ["Ctrl-C"])
        assert board.shell.run("echo next").stdout == "next\n"
        assert board.at_ease
        late.append(seconds - 0.4)
        answered.append(late[-1] - found.seconds + found.steps[0].seconds)  # before the output so far was asked for
    assert sorted(answered)[1] < max(0.2, 5 * sorted(usual)[1])  # a busy machine's 0.2 s are longer
    assert max(late) < 1 + 5 * max(usual)


def test_command_that_ignores_interrupts_gets_the_next_key(board: Board) -> None:
    error, found, seconds = hangs(board, BUSY)
    assert type(error) is CommandTimeout
    assert (found.verdict, tried(found)) == (Verdict.KILLED, ["Ctrl-C", "Ctrl-C again", "Ctrl-\\"])
    assert seconds < 0.5 + 2.0 + 1.0
    assert board.shell.run("echo next").stdout == "next\n"


# -- one that does not --------------------------------------------------------------------------------------------


def test_kernel_tells_why_the_shell_does_not_come_back(board: Board) -> None:
    error, found, seconds = hangs(board, DEAF)
    assert type(error) is Hang
    assert str(error).startswith(
        "the command did not end within 0.5 s, nor by Ctrl-C and Ctrl-\\; the kernel is alive, but the shell does not"
        " come back: trap"
    )
    assert found.verdict is Verdict.KERNEL_ALIVE
    dumps = ["BREAK 7", "BREAK w", "BREAK l", "BREAK m", "BREAK t"]
    assert tried(found) == ["Ctrl-C", "Ctrl-C again", "Ctrl-\\", "BREAK h", *dumps]
    assert next(step for step in found.steps if step.answer).rung == "BREAK h"
    assert found.steps[3].seconds < 1
    titles = ["Show Blocked State", "Show backtrace of all active CPUs", "Show Memory", "Show State"]
    places = [found.sysrq.index(f"sysrq: {title}") for title in titles]
    assert places == sorted(places)
    assert " Comm: sh " in found.sysrq[places[1] :]  # the processor runs our loop
    assert found.sysrq in error.evidence
    assert seconds < 0.5 + 4 + 10
    start, end = found.console
    assert board.console.text(start, end).replace("\r", "") == found.sysrq
    began = time.monotonic()
    with pytest.raises(Hang, match=r"has not answered since an earlier command hung \(kernel-alive\): recover"):
        board.shell.run("true", timeout=60)
    assert time.monotonic() - began < 2  # a ping, not another minute
    recovered(board)


def test_whole_machine_that_stops_is_dead_and_heals_when_it_goes_on(board: Board) -> None:
    board.reach(State.SHELL)
    machine = board._power
    assert isinstance(machine, QemuMachine)
    machine.pause(soon())
    error, found, seconds = hangs(board, "true")
    assert type(error) is Hang
    assert "nothing answers any more, not even the kernel to SysRq" in str(error)
    assert (found.verdict, tried(found)[3:]) == (Verdict.DEAD, KERNEL_RUNGS)
    assert not any(step.answer for step in found.steps)
    assert 0.5 + 7 <= seconds < 0.5 + 7 + 2
    machine.resume(soon())
    assert board.shell.run("echo healed").stdout == "healed\n"
    assert board.console.hang is None
    assert board.at_ease


def test_kernel_that_dies_while_it_is_asked_has_crashed(board: Board) -> None:
    board.reach(State.SHELL)
    dying = "trap '' INT QUIT; (usleep 1500000; echo c >/proc/sysrq-trigger) & while :; do :; done"
    with pytest.raises(KernelCrash, match="Kernel panic - not syncing: sysrq triggered crash"):
        board.shell.run(dying, timeout=0.5)
    recovered(board)


def test_dump_that_does_not_fit_into_its_time_is_cut_off(board: Board) -> None:
    board.reach(State.SHELL)
    ladder = Ladder(board.console, Rungs(dumps=(RUNGS.dumps[0], Dump("t", "Show State", 0.01))))
    assert ladder.ask_kernel()
    assert "cut off at " in ladder.result.steps[-1].answer
    assert "sysrq: Show State" in ladder.result.sysrq
    assert board.shell.run("echo on").stdout == "on\n"


# -- what can be known ---------------------------------------------------------------------------------------------


def test_kernel_that_may_not_tell(tmp_path: Path) -> None:
    """Some values of ``kernel.sysrq`` keep the dumps from us; of a kernel with 0 silence proves nothing."""
    text = "extends = 'qemu-x86_64'\n[deploy]\nappend = 'console=ttyS0,115200 quiet'\n"
    with open_board(tmp_path, "b", text, append="sysctl.kernel.sysrq=0") as board:
        board.shell.check("echo 16 >/proc/sys/kernel/sysrq")
        ladder = Ladder(board.console)
        assert ladder.ask_kernel()
        refused = "refused by kernel.sysrq: boot the kernel with sysrq_always_enabled"
        answers = {step.rung: step.answer for step in ladder.result.steps}
        assert [answers[f"BREAK {key}"] for key in "wlmt"] == [refused] * 4
        board.shell.check("echo 0 >/proc/sys/kernel/sysrq")
        error, found, _ = hangs(board, DEAF)
        assert type(error) is Hang
        assert found.verdict is Verdict.UNKNOWN
        assert tried(found)[3:] == [*KERNEL_RUNGS, "kernel.sysrq"]
        assert "whether the kernel lives is not known: it is 0, so silence proves nothing" in str(error)


def attached(url: str) -> str:
    return f"power = 'none'\nconsole = '{url}'\nboot = 'attach'\narch = 'x86_64'\n"


@pytest.mark.parametrize("line", ["telnet", "telnet through ser2net", "rfc2217", "socket", "pty"])
def test_break_over_any_kind_of_line(line: str, tmp_path: Path, outside: Outside) -> None:
    """QEMU's telnet server takes a BREAK; raw TCP and ptys have none, and say so."""
    telnet = ",telnet=on" if line not in ("socket", "pty") else ""
    serial = "pty" if line == "pty" else f"socket,host=127.0.0.1,port=0,server=on,wait=off{telnet}"
    url = outside.start(*linux("sysrq_always_enabled"), serial=serial)
    address = url.partition("://")[2]
    if line == "rfc2217":
        server = Rfc2217Server(QemuPort(f"socket://{address}", timeout=0.05))
        try:
            asks_its_kernel(tmp_path, server.url, can=True)
        finally:
            server.close()
    elif line == "telnet through ser2net":
        with ser2net(tmp_path, "telnet", f"telnet(rfc2217),tcp,{address.replace(':', ',')}") as own:
            asks_its_kernel(tmp_path, f"telnet://{own}", can=True)
    else:
        asks_its_kernel(tmp_path, url, can=line == "telnet")


def asks_its_kernel(folder: Path, url: str, *, can: bool) -> None:
    with open_board(folder, "b", attached(url)) as board:
        board.reach(State.SHELL)
        ladder = Ladder(board.console)
        assert ladder.ask_kernel() is can
        if can:
            assert ladder.verdict is Verdict.KERNEL_ALIVE
            assert "sysrq: Show State" in ladder.result.sysrq
        else:
            assert ladder.verdict is Verdict.UNKNOWN
            assert "cannot send a BREAK" in ladder.result.steps[-1].skipped
        assert board.shell.run("echo on").stdout == "on\n"


def test_boot_that_hangs_is_asked_too(tmp_path: Path) -> None:
    folder = cache_dir() / "debian-x86_64"
    (initrd,) = folder.glob("initrd-*.img")
    text = "extends = 'qemu-x86_64'\n[timeouts]\nkernel = 10\nlogin = 2\n"  # a busy machine boots in 8 s
    kernel = f"{folder}/vmlinuz,initrd={initrd}"
    with open_board(tmp_path, "b", text, append="lava.hang", kernel=kernel) as board:
        with pytest.raises(BootFailed, match=r"; its kernel is alive$") as caught:
            board.reach(State.SHELL)
        found = caught.value.responsiveness
        assert found
        assert found.verdict is Verdict.KERNEL_ALIVE
        assert "Show State" in caught.value.evidence


def test_boot_whose_kernel_is_not_heard_is_not_called_dead(tmp_path: Path) -> None:
    text = "extends = 'qemu-x86_64'\n[timeouts]\nkernel = 2\nlogin = 1\n[deploy]\nappend = 'console=ttyS3 quiet'\n"
    with open_board(tmp_path, "b", text) as board:
        with pytest.raises(InfrastructureError, match=r"; no kernel answers SysRq$") as caught:
            board.reach(State.SHELL)
        assert caught.value.responsiveness
        assert caught.value.responsiveness.verdict is Verdict.UNKNOWN


# -- where it is found afterwards ----------------------------------------------------------------------------------

TESTS = """
    def test_over_its_time(shell):
        shell.run("sleep 1000", timeout=0.5)
    def test_hangs(shell):
        shell.run("trap '' INT QUIT; while :; do :; done", timeout=0.5)
    def test_next(board, shell):
        assert (board.boot_id, shell.run("echo on").stdout) == (2, "on\\n")
"""


def test_evidence_reaches_journal_bundle_and_people(face: Face) -> None:
    face.write(test_it=TESTS)
    result = face.run("--board=qemu-x86_64", "test_it.py", passed=1, failed=2)
    result.stdout.fnmatch_lines(["*the kernel is alive, but the shell does not come back*", "*sysrq: Show State*"])
    lines = {line["case"]: line for line in face.journal() if line.get("error")}
    hang, late = lines["test_hangs"]["error"], lines["test_over_its_time"]["error"]
    assert (hang["type"], hang["blame"], hang["result"]) == ("Hang", "job", "fail")
    assert hang["facts"]["responsiveness"] == "kernel-alive"
    assert "BREAK h: answered after 0." in hang["facts"]["responsiveness.rungs"]
    assert (late["type"], late["facts"]["responsiveness"]) == ("CommandTimeout", "interrupted")
    cases = face.results()["test-it.py"]
    for name, facts in (("test_hangs", hang["facts"]), ("test_over_its_time", late["facts"])):
        assert cases[name]["attributes"].items() >= facts.items()
        assert set(facts) == {f"responsiveness{key}" for key in ("", ".rungs", ".answered", ".seconds")}
    assert cases["test_hangs"]["attributes"]["error.class"] == "Hang"
    attached = {one["pathname"]: one["content"] for one in cases["test_hangs"]["attachments"]}
    told = base64.b64decode(attached["evidence.txt"]).decode()
    assert told.startswith("Ctrl-C: no answer")
    for dump in RUNGS.dumps:
        assert dump.title in told
    (junit,) = [case for name, case in face.junit().items() if name.endswith("test_hangs")]
    assert "Show Blocked State" in (junit.findtext("failure") or "")
    assert "Show Blocked State" in (face.latest / "report.html").read_text()
    assert "Show Blocked State" in (face.latest / "console.log").read_text(errors="replace")
    assert '"message": "BREAK w"' in (face.latest / "events.jsonl").read_text()

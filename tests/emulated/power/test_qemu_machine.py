from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_lava.deadline import Deadline
from pytest_lava.errors import PowerError
from pytest_lava.events import EventLog
from pytest_lava.lab.guardian import Guardian
from pytest_lava.power.api import PowerContext
from pytest_lava.power.qemu import QemuMachine
from pytest_lava.power.qmp import Qmp

pytestmark = pytest.mark.emulated

#: SeaBIOS with nothing to boot, and its debug port as the console: it says its name at once
FIRMWARE_TALKS = ("-device", "isa-debugcon,iobase=0x402,chardev=console")


def options(**other: object) -> QemuMachine.Options:
    settings = {"binary": "qemu-system-x86_64", "machine": "pc", "memory": "64M", "console": FIRMWARE_TALKS, **other}
    return QemuMachine.Options.model_validate(settings)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[PowerContext]:
    events = EventLog(tmp_path / "events.jsonl")
    with Guardian() as guardian:
        yield PowerContext("emu", tmp_path, guardian, events)
    events.close()


@pytest.fixture
def board(context: PowerContext) -> Iterator[QemuMachine]:
    machine = QemuMachine(options(), context)
    machine.check()
    yield machine
    machine.off(soon())


@pytest.fixture
def quiet(context: PowerContext) -> Iterator[QemuMachine]:
    """Nobody needs to read its console: a full line would stop QEMU."""
    machine = QemuMachine(options(console=("-serial", "chardev:console")), context)
    yield machine
    machine.off(soon())


def soon() -> Deadline:
    return Deadline.after(20)


def human(qmp: Qmp, command: str) -> str:
    """What a command of the human monitor prints."""
    return str(qmp.execute("human-monitor-command", soon(), command_line=command))


def read_until(fd: int, word: bytes) -> bytes:
    """What comes until ``word``, or until the end if ``word`` is empty."""
    found, deadline = b"", soon()
    while (not word or word not in found) and not deadline.expired:
        assert select.select([fd], [], [], deadline.remaining())[0], found
        data = os.read(fd, 65536)
        if not data:
            break
        found += data
    assert word in found
    return found


def ends(pid: int, seconds: float = 2.0) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def test_on_console_off(board: QemuMachine) -> None:
    board.on(soon())
    pid = board.pid
    board.on(soon())
    assert board.pid == pid
    console = board.console()
    read_until(console.fileno(), b"SeaBIOS")
    start = time.monotonic()
    board.off(soon())
    assert time.monotonic() - start < 1
    assert pid
    assert ends(pid, 0)
    read_until(console.fileno(), b"")
    assert console.why_closed() == "the board was switched off"
    console.close()
    with pytest.raises(PowerError):
        board.console()


def test_cycle_is_a_new_machine(board: QemuMachine) -> None:
    board.on(soon())
    first, pid = board.console(), board.pid
    board.cycle(soon())
    second = board.console()
    assert board.pid != pid
    read_until(second.fileno(), b"SeaBIOS")
    first.close()
    second.close()


def test_pause_resume_reset_break(board: QemuMachine) -> None:
    board.on(soon())
    console = board.console()
    read_until(console.fileno(), b"No bootable device")  # SeaBIOS does not survive a reset in its first moments
    board.pause(soon())
    assert board.qmp.execute("query-status", soon())["status"] == "paused"
    board.resume(soon())
    assert human(board.qmp, "info status").strip() == "VM status: running"
    pid = board.pid
    board.reset(soon())
    read_until(console.fileno(), b"SeaBIOS")
    assert board.pid == pid
    console.send_break()
    with pytest.raises(PowerError, match="QEMU refused 'nonsense'"):
        board.qmp.execute("nonsense", soon())
    console.close()


def test_bad_disk_tells_the_reason(board: QemuMachine) -> None:
    board.insert(["-drive", "file=/nonexistent/disk.img,if=virtio,format=raw"])
    board.on(soon())
    console = board.console()
    read_until(console.fileno(), b"")
    assert console.why_closed().startswith("QEMU exited with status 1: ")
    assert console.why_closed().endswith("Could not open '/nonexistent/disk.img': No such file or directory")
    with pytest.raises(PowerError, match="has ended before"):
        board.pause(soon())
    board.insert([])
    board.on(soon())
    assert "disk.img" in console.why_closed()
    again = board.console()
    read_until(again.fileno(), b"SeaBIOS")
    console.close()
    again.close()


def test_board_that_is_killed_or_quits(quiet: QemuMachine) -> None:
    for how, why in (("kill", "QEMU was killed by SIGKILL"), ("quit", "the board switched itself off")):
        quiet.on(soon())
        console = quiet.console()
        assert quiet.pid
        if how == "kill":
            os.kill(quiet.pid, 9)
        else:
            quiet.qmp.execute("quit", soon())
        read_until(console.fileno(), b"")
        assert why in console.why_closed()
        console.close()


def test_relative_paths_start_at_the_board_file(quiet: QemuMachine, tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    quiet.insert(["-drive", "file=disk.img,if=virtio,format=raw,snapshot=on"])
    quiet.on(soon())
    assert "disk.img" in human(quiet.qmp, "info block")


def test_spam_on_stderr_does_not_stop_it(board: QemuMachine) -> None:
    """Nobody reads QEMU's messages while it runs."""
    board.insert(["-d", "in_asm"])
    board.on(soon())
    console = board.console()
    read_until(console.fileno(), b"No bootable device")
    assert board.qmp.execute("query-status", soon())["status"] == "running"
    console.close()


def test_board_outlives_the_thread_that_switched_it_on(quiet: QemuMachine) -> None:
    """PDEATHSIG means the death of the starting thread."""
    thread = threading.Thread(target=quiet.on, args=[soon()])
    thread.start()
    thread.join()
    assert quiet.pid
    assert not ends(quiet.pid, 0.3)


PARENT = """
import sys
from pathlib import Path
from threading import Thread
from pytest_lava.deadline import Deadline
from pytest_lava.events import EventLog
from pytest_lava.lab.guardian import Guardian
from pytest_lava.power.api import PowerContext
from pytest_lava.power.qemu import QemuMachine
from pytest_lava.power.qmp import Qmp
options = QemuMachine.Options(binary="qemu-system-x86_64", machine="pc", memory="64M")
board = QemuMachine(options, PowerContext("emu", Path("/"), Guardian(), EventLog()))
if sys.argv[1] == "thread":
    thread = Thread(target=board.on, args=[Deadline.after(9)])
    thread.start()
    thread.join()
else:
    board.on(Deadline.after(9))
print(board.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("starter", ["main", "thread"])
def test_kill_9_leaves_no_qemu(starter: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    pid = int(process.stdout.readline())
    assert not ends(pid, 0.2)
    process.kill()
    process.communicate()
    assert ends(pid)


def test_arm_with_native_accelerators_falls_back(context: PowerContext) -> None:
    board = QemuMachine(QemuMachine.Options(machine="virt", cpu="cortex-a57"), context)
    board.on(soon())
    assert board.qmp.execute("query-status", soon())["status"] == "running"
    board.off(soon())

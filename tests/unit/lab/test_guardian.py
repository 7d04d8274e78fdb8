from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from pytest_lava.deadline import Deadline
from pytest_lava.lab import _guardian_main
from pytest_lava.lab._guardian_main import start_time
from pytest_lava.lab.guardian import Guardian
from pytest_lava.lab.locks import acquire

BEGIN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from pytest_lava.lab.guardian import Guardian
guardian = Guardian()
forgets = []
sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
forgets.append(guardian.process(sleeper.pid))
folder = Path(sys.argv[1])
forgets.append(guardian.command(f"sleep 0.1; echo off > {folder}/off.new; mv {folder}/off.new {folder}/off"))
(folder / "socket").touch()
forgets.append(guardian.remove(folder / "socket"))
(folder / "scratch").mkdir()
(folder / "scratch" / "file").touch()
forgets.append(guardian.remove(folder / "scratch"))
print(sleeper.pid, guardian.pid, flush=True)
"""


def parent(folder: Path, body: str, **options: object) -> subprocess.Popen[str]:
    program = BEGIN + textwrap.dedent(body)
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True, **options
    )


def pids(process: subprocess.Popen[str]) -> tuple[int, int]:
    assert process.stdout
    sleeper, guardian = map(int, process.stdout.readline().split())
    return sleeper, guardian


def gone(pid: int, seconds: float = 2.0) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def appears(path: Path, seconds: float = 2.0) -> bool:
    deadline = Deadline.after(seconds)
    while not path.exists() and not deadline.expired:
        threading.Event().wait(0.01)
    return path.exists()


DEATHS = {
    "kill -9": "time.sleep(600)",
    "os._exit": "os._exit(0)",
    "segv": "os.kill(os.getpid(), signal.SIGSEGV)",
    "no close": "",
    "a forked copy holds the pipe": "if os.fork(): os._exit(0)\nos.close(1)\ntime.sleep(5)",
}


@pytest.mark.parametrize("death", DEATHS)
def test_cleans_up_after_death(death: str, tmp_path: Path) -> None:
    process = parent(tmp_path, DEATHS[death])
    sleeper, guardian = pids(process)
    if death == "kill -9":
        process.kill()
    process.wait(5)
    died = time.monotonic()
    assert gone(sleeper)
    assert time.monotonic() - died < 0.5
    assert appears(tmp_path / "off")
    assert gone(guardian)
    assert not (tmp_path / "socket").exists()
    assert not (tmp_path / "scratch").exists()


def test_orderly_end_executes_nothing(tmp_path: Path) -> None:
    process = parent(
        tmp_path,
        "for forget in forgets: forget()\n"
        "guardian.close(); guardian.close(); print('closed', flush=True); sys.stdin.read()",
        stdin=subprocess.PIPE,
    )
    sleeper, guardian = pids(process)
    assert process.stdout
    assert process.stdout.readline() == "closed\n"
    assert gone(guardian)
    process.communicate("")
    assert not gone(sleeper, 0.3)
    os.kill(sleeper, signal.SIGKILL)
    assert not (tmp_path / "off").exists()
    assert (tmp_path / "socket").exists()


def test_what_nobody_revoked_is_carried_out_at_the_end(tmp_path: Path) -> None:
    """Somebody's own clean-up was cut short: a second Ctrl-C, a power command that failed."""
    process = parent(tmp_path, "forgets[2](); forgets[3](); guardian.close()")
    sleeper, guardian = pids(process)
    process.wait(5)
    assert gone(sleeper)
    assert appears(tmp_path / "off")
    assert gone(guardian)
    assert (tmp_path / "socket").exists()


def test_close_is_quick_and_reaps(tmp_path: Path) -> None:
    guardian = Guardian()
    guardian.remove(tmp_path / "nothing")
    pid = guardian.pid
    assert pid
    start = time.monotonic()
    guardian.close()
    assert time.monotonic() - start < 0.2
    assert gone(pid)
    assert guardian.pid is None


def test_nothing_to_guard_starts_nothing() -> None:
    with Guardian() as guardian:
        assert guardian.pid is None


def test_after_close_orders_are_void(tmp_path: Path) -> None:
    guardian = Guardian()
    guardian.close()
    guardian.command(f"touch {tmp_path}/off")()
    assert guardian.pid is None


def test_forgotten_orders_are_not_executed(tmp_path: Path) -> None:
    process = parent(
        tmp_path, "guardian.process(sleeper.pid)()\nguardian.command(f'touch {folder}/second')()\ntime.sleep(600)"
    )
    sleeper, _ = pids(process)
    process.kill()
    process.wait()
    assert gone(sleeper)  # the first order for it still stands
    assert appears(tmp_path / "off")
    assert not (tmp_path / "second").exists()


def test_reused_pid_is_spared(tmp_path: Path) -> None:
    """The order names a start time that is not that of the process which has the number now."""
    bystander = subprocess.Popen(["sleep", "600"])
    start = start_time(bystander.pid)
    assert start
    guardian = subprocess.Popen(
        [sys.executable, "-I", "-S", _guardian_main.__file__, str(os.getpid())], stdin=subprocess.PIPE
    )
    order = f'{{"op": "add", "id": 1, "kind": "process", "pid": {bystander.pid}, "start": {start - 1}}}\n'
    guardian.communicate(order.encode(), timeout=5)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_survives_what_a_terminal_sends(tmp_path: Path) -> None:
    process = parent(tmp_path, "time.sleep(600)", start_new_session=True)
    sleeper, guardian = pids(process)
    assert start_time(guardian)
    deadline = Deadline.after(5)
    while not ignores(guardian, signal.SIGHUP) and not deadline.expired:
        threading.Event().wait(0.01)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guardian, number)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(sleeper)
    assert appears(tmp_path / "off")


def ignores(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1], 16)
    return bool(mask & (1 << (number - 1)))


def test_pipe_to_tee_ends(tmp_path: Path) -> None:
    """While the guardian still runs its command, whoever reads our output has seen its end."""
    process = parent(tmp_path, f"guardian.command('sleep 1; touch {tmp_path}/late'); os._exit(0)")
    assert process.stdout
    start = time.monotonic()
    process.stdout.read()
    assert time.monotonic() - start < 0.9
    assert not (tmp_path / "late").exists()
    assert appears(tmp_path / "late", 3)
    process.wait()


def test_killed_guardian_is_replaced(tmp_path: Path) -> None:
    process = parent(
        tmp_path,
        """
        os.kill(guardian.pid, signal.SIGKILL)
        os.waitid(os.P_PID, guardian.pid, os.WEXITED | os.WNOWAIT)
        guardian.command(f"touch {folder}/second")
        os._exit(0)
    """,
    )
    sleeper, _ = pids(process)
    process.wait()
    assert gone(sleeper)
    assert appears(tmp_path / "off")
    assert appears(tmp_path / "second")


def test_commands_run_side_by_side(tmp_path: Path) -> None:
    body = """
        for name in ("first", "second", "third"):
            guardian.command(f"sleep 0.5; echo {name} >> {folder}/order")
        os._exit(0)
    """
    process = parent(tmp_path, body)
    _, guardian = pids(process)
    process.wait()
    start = time.monotonic()
    assert gone(guardian, 5)
    assert time.monotonic() - start < 1.3
    assert sorted((tmp_path / "order").read_text().split()) == ["first", "second", "third"]


LOCKED = """
from pytest_lava.lab.locks import acquire
from pytest_lava.deadline import Deadline
lock, = acquire(["power:1"], board="panda", deadline=Deadline.after(5), folder=folder / "locks")
guardian.for_board([lock.path]).command(f"touch {folder}/started; sleep 0.5; touch {folder}/done")
print("locked", flush=True)
time.sleep(600)
"""


def test_board_stays_locked_until_it_is_off(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    process = parent(tmp_path, LOCKED)
    pids(process)
    assert process.stdout
    process.stdout.readline()
    process.kill()
    process.wait()
    assert appears(tmp_path / "started")
    (lock,) = acquire(["power:1"], board="panda", deadline=Deadline.after(5), folder=tmp_path / "locks")
    assert (tmp_path / "done").exists()
    lock.release()


def test_board_of_the_next_user_is_not_switched_off(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    process = parent(tmp_path, LOCKED)
    _, guardian = pids(process)
    assert process.stdout
    process.stdout.readline()
    os.kill(guardian, signal.SIGSTOP)  # so that the next user is faster
    process.kill()
    process.wait()
    (lock,) = acquire(["power:1"], board="panda", deadline=Deadline.after(5), folder=tmp_path / "locks")
    os.kill(guardian, signal.SIGCONT)
    assert gone(guardian)
    assert not (tmp_path / "started").exists()
    assert (tmp_path / "off").exists()
    lock.release()

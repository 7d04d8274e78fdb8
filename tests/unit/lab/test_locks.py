from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pytest_lava.deadline import Deadline
from pytest_lava.errors import BoardBusy, ConfigurationError
from pytest_lava.events import EventLog
from pytest_lava.lab.lease import lease, lease_first
from pytest_lava.lab.locks import acquire, canonical, first_usable, lock_folder

HOLD = """
import sys, time
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.lab.locks import acquire
acquire(sys.argv[2:], board="panda-01", deadline=Deadline.after(0), run=Path("/runs/1"), folder=Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder: Path, *resources: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *resources], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_busy_board_names_its_user(tmp_path: Path) -> None:
    other = holder(tmp_path, "serial:/dev/ttyUSB7", "power:3")
    with pytest.raises(BoardBusy) as caught:
        acquire(["fastboot:1", "power:3"], board="panda-02", deadline=Deadline.after(0.1), folder=tmp_path)
    message = str(caught.value)
    assert message.startswith("board panda-02 is used by ")
    assert f"(pid {other.pid}, since " in message
    assert message.endswith(", /runs/1): wait with --board-wait or choose another board")
    assert not list(tmp_path.glob("fastboot*")), "all or none"
    end(other)


#: its run has died, and the guardian holds the board to switch it off
LEAVING = """
import sys, time
from pathlib import Path
from pytest_lava.lab._guardian_main import lock
held = {}
for path in Path(sys.argv[1]).glob("*.lock"):
    assert lock(str(path), int(sys.argv[2]), held)
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


def test_board_that_is_being_switched_off_is_waited_for(tmp_path: Path) -> None:
    """A run right behind one that was killed need not ask for --board-wait."""
    dead = holder(tmp_path, "power:3")
    end(dead)
    guardian = subprocess.Popen(
        [sys.executable, "-c", LEAVING, str(tmp_path), str(dead.pid), "0.4"], stdout=subprocess.PIPE, text=True
    )
    assert guardian.stdout
    assert guardian.stdout.readline() == "held\n"
    start, told = time.monotonic(), list[str]()
    (lock,) = acquire(["power:3"], board="panda", deadline=Deadline.after(0), folder=tmp_path, on_wait=told.append)
    assert 0.1 < time.monotonic() - start < 2
    assert len(told) == 1
    assert f"(pid {dead.pid}, " in told[0]
    assert '"leaving": false' in lock.path.read_text()
    lock.release()
    guardian.communicate()


AS_NOBODY = """
import os, sys
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.errors import BoardBusy
from pytest_lava.lab.locks import acquire
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    locks = acquire(["power:3"], board="panda", deadline=Deadline.after(0), folder=Path(sys.argv[1]))
except BoardBusy as error:
    print(error)
else:
    print("got it")
    for lock in locks:
        lock.release()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
def test_two_users() -> None:
    """Another user is kept out and told who has it; what a killed run of ours left does not keep them out."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "locks"
        first_usable(folder, [])
        other = holder(folder, "power:3")
        command = [sys.executable, "-c", AS_NOBODY, str(folder)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.startswith(f"board panda is used by root (pid {other.pid}, since ")
        end(other)
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said == "got it\n"
        (lock,) = acquire(["power:3"], board="panda", deadline=Deadline.after(0), folder=folder)
        lock.release()


def test_kill_9_frees_and_stale_content_does_no_harm(tmp_path: Path) -> None:
    end(holder(tmp_path, "power:3"))
    (stale,) = tmp_path.iterdir()
    assert stale.read_text()
    (lock,) = acquire(["power:3"], board="panda", deadline=Deadline.after(0), folder=tmp_path)
    lock.release()
    lock.release()
    assert not list(tmp_path.iterdir())


def test_waits_until_it_is_free(tmp_path: Path) -> None:
    other = holder(tmp_path, "power:3")
    told: list[str] = []
    timer = threading.Timer(0.2, end, [other])
    timer.start()
    events = EventLog(tmp_path / "events")
    (lock,) = acquire(
        ["power:3"], board="p", deadline=Deadline.after(10), folder=tmp_path, events=events, on_wait=told.append
    )
    lock.release()
    timer.join()
    events.close()
    assert len(told) == 1
    assert told[0] in (tmp_path / "events").read_text()


def test_this_process_excludes_itself(tmp_path: Path) -> None:
    with (
        lease({"a": ["power:1"]}, deadline=Deadline.after(0), folder=tmp_path),
        pytest.raises(BoardBusy, match=f"pid {os.getpid()}"),
    ):
        lease({"b": ["power:1"]}, deadline=Deadline.after(0), folder=tmp_path)


def test_many_processes_one_at_a_time(tmp_path: Path) -> None:
    """Removal of the file on release must never let two in: each reads, waits and writes a counter under the lock."""
    program = """
import sys, time
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.lab.locks import acquire
folder, counter = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(40):
    lock, = acquire(["power:1"], board="b", deadline=Deadline.after(30), folder=folder)
    number = int(counter.read_text())
    time.sleep(0.0005)
    counter.write_text(str(number + 1))
    lock.release()
"""
    folder, counter = tmp_path / "locks", tmp_path / "counter"
    folder.mkdir()
    counter.write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", program, folder, counter]) for _ in range(3)]
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert counter.read_text() == "120"
    assert not list(folder.iterdir())


def test_no_child_keeps_a_lock(tmp_path: Path) -> None:
    (lock,) = acquire(["power:1"], board="b", deadline=Deadline.after(0), folder=tmp_path)
    child = subprocess.Popen(["sleep", "600"], close_fds=False)
    ready, go = os.pipe()
    forked = os.fork()
    if forked == 0:
        os.write(go, b"x")
        time.sleep(600)
        os._exit(0)
    os.read(ready, 1)
    links = [
        str(entry.readlink())
        for pid in (child.pid, forked)
        for entry in Path(f"/proc/{pid}/fd").iterdir()
        if entry.is_symlink()
    ]
    for pid in (child.pid, forked):
        os.kill(pid, 9)
    os.waitpid(forked, 0)
    child.wait()
    os.close(ready)
    os.close(go)
    assert str(lock.path) not in links
    lock.release()


def test_new_file_is_for_every_user(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        (lock,) = acquire(["power:1"], board="b", deadline=Deadline.after(0), folder=tmp_path)
    finally:
        os.umask(old)
    assert lock.path.stat().st_mode & 0o777 == 0o666
    lock.release()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to act as two users")
def test_two_users_share_a_sticky_folder() -> None:
    folder = Path("/tmp") / f"lava-locks-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o1777)
    program = """
import os, sys
from pathlib import Path
os.setgid(65534); os.setuid(int(sys.argv[2]))
from pytest_lava.deadline import Deadline
from pytest_lava.lab.locks import acquire
lock, = acquire(["power:1"], board="b", deadline=Deadline.after(0), folder=Path(sys.argv[1]))
if sys.argv[3] == "release":
    lock.release()
"""
    try:
        for user, what in (("65534", "die"), ("65533", "release"), ("65533", "release"), ("65534", "release")):
            command = [sys.executable, "-c", "import pytest_lava.lab.locks\n" + program, str(folder), user, what]
            subprocess.run(command, check=True)
        assert not list(folder.iterdir()), "the owner's release removes it in the end"
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_device_is_one_thing_by_all_its_names(tmp_path: Path) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    link = tmp_path / "by-id"
    link.symlink_to(device)
    assert canonical(f"serial:{link}") == canonical(str(device)) == f"serial:{device.resolve()}"
    assert canonical("power:pdu1/3") == "power:pdu1/3"
    assert canonical("fastboot") == "fastboot"


def test_folder_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_LAVA_LOCKS", str(tmp_path / "new" / "locks"))
    assert lock_folder() == tmp_path / "new" / "locks"
    assert lock_folder().stat().st_mode & 0o7777 == 0o1777
    monkeypatch.setenv("PYTEST_LAVA_LOCKS", "/proc/nothing")
    with pytest.raises(ConfigurationError, match="name another one"):
        lock_folder()


def test_unusable_shared_folder_falls_back_with_a_warning(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events")
    own = tmp_path / "own"
    found = first_usable(Path("/proc/pytest-lava"), [Path("/proc/too"), own], events)
    events.close()
    assert found == own
    assert own.stat().st_mode & 0o7777 == 0o700
    assert "locked only against your own runs: /proc/pytest-lava cannot be used" in (tmp_path / "events").read_text()


def test_lease_first_takes_what_is_free(tmp_path: Path) -> None:
    other = holder(tmp_path, "power:1")
    either = [{"panda-01": ["power:1"]}, {"panda-02": ["power:2"]}]
    with lease_first(either, deadline=Deadline.after(0), folder=tmp_path) as held:
        assert held.names == ("panda-02",)
        assert held.boards[0].lock_files == tuple(tmp_path.glob("power_2*"))
    end(other)


def test_lease_of_several_is_all_or_none(tmp_path: Path) -> None:
    other = holder(tmp_path, "power:2")
    both = {"one": ["power:1"], "two": ["power:2"]}
    with pytest.raises(BoardBusy, match="board two is used by"):
        lease(both, deadline=Deadline.after(0), folder=tmp_path)
    end(other)
    with lease(both, deadline=Deadline.after(0), folder=tmp_path) as held:
        assert [len(board.locks) for board in held.boards] == [1, 1]
    held.release()


def test_boards_that_share_a_part_clash(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="boards one and two share power:1"):
        lease({"one": ["power:1"], "two": ["power:1"]}, deadline=Deadline.after(0), folder=tmp_path)


def test_emulated_board_needs_no_lock(tmp_path: Path) -> None:
    with lease({"qemu": []}, deadline=Deadline.after(0), folder=tmp_path) as held:
        assert held.names == ("qemu",)
    assert not list(tmp_path.iterdir())

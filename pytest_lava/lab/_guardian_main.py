"""The guardian's program: waits for the end of its parent and then cleans up what it was told of.

Run as ``python -I -S _guardian_main.py PARENT_PID`` by :mod:`pytest_lava.lab.guardian`; standard library only.
One JSON object a line comes in on stdin: ``{"op": "add", "id": n, "kind": "process" | "command" | "remove", ...}``,
``{"op": "del", "id": n}``, ``{"op": "bye"}``. End of input, or the parent's death, without ``bye``: act.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

COMMAND_SECONDS = 30.0
#: end of input comes a little before the parent's death, as its descriptors are closed one after the other
PARENT_SECONDS = 2.0

Entry = dict[str, Any]


def start_time(pid: int) -> int | None:
    """Field 22 of ``/proc/PID/stat`` (clock ticks since boot), which tells a reused pid; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - no pathlib: this program must start at once
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def watch(pid: int) -> int:
    """A descriptor that becomes readable when ``pid`` ends; -1 if the kernel has no such thing or it ended already."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def listen(parent: int, parent_fd: int) -> dict[int, Entry] | None:
    """Follow the messages until the parent ends: what to clean up, or None after an orderly goodbye."""
    entries: dict[int, Entry] = {}
    os.set_blocking(0, False)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if parent_fd >= 0:
        poll.register(parent_fd, select.POLLIN)
    dead = os.getppid() != parent
    pending = b""
    while True:
        if not dead:
            # a forked copy of the parent may hold the pipe open: its death counts as the end of input
            dead = parent_fd in {fd for fd, _ in poll.poll()}
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            if dead:
                return entries
            continue
        if not data:
            return entries
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message["op"] == "bye":
                return None
            if message["op"] == "add":
                entries[message["id"]] = message
            else:
                entries.pop(message["id"], None)


def kill(entry: Entry) -> None:
    """Kill a process, and the group that it leads, if it is still the one that was meant."""
    pid = entry["pid"]
    handle = watch(pid)
    try:
        if start_time(pid) != entry["start"]:
            return
        with contextlib.suppress(OSError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            if handle >= 0:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)
    finally:
        if handle >= 0:
            os.close(handle)


def lock(path: str, parent: int, held: dict[str, int]) -> bool:
    """Hold a board's lock file while it is switched off; False if somebody else has the board by now."""
    if path in held:
        return True
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return True  # nobody waits for it
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with contextlib.suppress(ValueError, OSError, AttributeError):
            if json.loads(os.read(fd, 65536)).get("pid") == parent:
                return True  # its own descriptor lives on somewhere
        os.close(fd)
        return False
    held[path] = fd
    with contextlib.suppress(ValueError, OSError, AttributeError):
        # whoever wants the board now need not give up: see pytest_lava.lab.locks.acquire_first
        said = json.dumps(json.loads(os.pread(fd, 65536, 0)) | {"leaving": True}).encode() + b"\n"
        os.pwrite(fd, said, 0)
        os.ftruncate(fd, len(said))
    return True


def run(commands: list[Entry], parent: int, parent_fd: int) -> None:
    """Run the commands side by side, each within its time, while the boards' locks are ours."""
    if any(entry.get("locks") for entry in commands) and parent_fd >= 0:
        select.select([parent_fd], [], [], PARENT_SECONDS)
    held: dict[str, int] = {}
    started = []
    for entry in commands:
        # all() stops at the first lock that another run holds: the board is theirs, switching it off would hurt them
        if not all(lock(path, parent, held) for path in entry.get("locks", ())):
            continue
        with contextlib.suppress(OSError):
            started.append(
                subprocess.Popen(
                    ["/bin/sh", "-c", entry["command"]],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
    end = time.monotonic() + COMMAND_SECONDS
    for process in started:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)


def remove(path: str) -> None:
    """Remove a file, socket, link or folder."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - no pathlib
        return
    shutil.rmtree(path, ignore_errors=True)


def sweep(entry: Entry) -> None:
    """Remove the files that a process which is gone by now left behind."""
    if start_time(entry["pid"]) not in (None, entry["start"]):
        return  # the number is somebody else's by now, and so may the files be
    for pattern in entry.get("leavings", ()):
        for path in glob.glob(pattern):  # noqa: PTH207 - no pathlib
            remove(path)


def main(parent: int) -> None:
    """Wait, then clean up, what was added last first: kill at once, then commands, then files."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    parent_fd = watch(parent)
    entries = listen(parent, parent_fd)
    if not entries:
        os._exit(0)  # our parent waits for us: spare it the interpreter's shutdown
    latest = [entries[number] for number in sorted(entries, reverse=True)]
    for entry in latest:
        if entry["kind"] == "process":
            kill(entry)
    run([entry for entry in latest if entry["kind"] == "command"], parent, parent_fd)
    for entry in latest:
        if entry["kind"] == "remove":
            remove(entry["path"])
        elif entry["kind"] == "process":
            sweep(entry)


if __name__ == "__main__":
    main(int(sys.argv[1]))

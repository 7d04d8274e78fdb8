"""Who holds a device: programs that have it open, that have locked it, or that left a lock file beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["holders", "lockers"]

_LONGEST = 120  # characters of a command line
_LOCK_FOLDERS = (Path("/run/lock"), Path("/var/lock"))


def holders(device: Path) -> Iterator[str]:
    """Other processes that use ``device``, each as ``picocom -b 115200 /dev/ttyUSB0 (pid 4711)``.

    Whose descriptors we may not look at (another user's) is found by its lock in ``/proc/locks``, or by its lock file
    (``LCK..ttyUSB0`` with the process id in it, as minicom and picocom leave them, FHS 5.9).
    """
    seen = {os.getpid()}
    for pid in (*_openers(device), *lockers(device), *_lock_files(device)):
        if pid not in seen and (name := _name(pid)):
            seen.add(pid)
            yield f"{name} (pid {pid})"


def _openers(device: Path) -> Iterator[int]:
    target = str(device.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if any(str(fd.readlink()) == target for fd in (entry / "fd").iterdir()):
                yield int(entry.name)
        except OSError:
            continue  # ended meanwhile, or somebody else's


def lockers(device: Path) -> Iterator[int]:
    """Process ids that hold an ``flock`` on the device, as pyserial's exclusive access is."""
    # 12: FLOCK  ADVISORY  WRITE 4711 00:05:1234 0 EOF; waiting ones have "->" before the kind
    try:
        status = device.stat()
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for fields in map(str.split, locks):
        if len(fields) == 8 and fields[5] == file and int(fields[4]) > 0:
            yield int(fields[4])


def _lock_files(device: Path) -> Iterator[int]:
    for folder in _LOCK_FOLDERS:
        for name in {device.name, device.resolve().name}:
            try:
                yield int((folder / f"LCK..{name}").read_text().split()[0])
            except (OSError, ValueError, IndexError):
                continue


def _name(pid: int) -> str:
    """Its command line in one line, or its name where it has none (a kernel thread).

    Empty if there is no such process: a lock file may be a leftover.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").replace("\0", " ")
        text = words or Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."

"""What our shells leave on boards that are this machine: named so that whoever outlives them can remove it.

On a real board it goes with the next boot. Here each line has a tag, ``NAMESPACE-HARNESS-CHANCE-``, and files of its
shells are ``.lavaTAGPID*``: those of a line are swept at its end, whichever of its shells was killed, or by the
guardian if we were; those of a harness that died together with its guardian by the next one. Process numbers mean
nothing in other containers, which may share the folder: so the tag begins with the namespace that its number is from
(pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

__all__ = ["leavings", "new_tag", "sweep", "sweep_of_the_dead"]

_FOLDERS = ("/dev/shm", "/run", "/tmp", "/var/tmp")  # where agent.sh and the markers keep their files


def new_tag() -> str:
    """For a line of this process, and for no other one."""
    return f"{_namespace()}-{os.getpid()}-{secrets.token_hex(3)}-"


def leavings(tag: str, pid: int) -> list[str]:
    """Patterns of what the shells of a line leave that were killed; without a tag only those of the process ``pid``."""
    names = [f"{tag}*"] if tag else [f"{pid}", f"{pid}.*"]
    return [f"{folder}/.lava{name}" for folder in _FOLDERS for name in names]


def sweep(patterns: Iterable[str]) -> None:
    """Remove those files."""
    for pattern in patterns:
        for rest in glob.glob(pattern):  # noqa: PTH207 - a pattern, as the guardian is told
            with contextlib.suppress(OSError):
                Path(rest).unlink()


def sweep_of_the_dead() -> None:
    """Remove what is ours by owner and namespace, and whose harness has gone."""
    if not (namespace := _namespace()):
        return
    tagged = re.compile(rf"\.lava{namespace}-(\d+)-[0-9a-f]+-\d")
    for folder in _FOLDERS:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if (match := tagged.match(entry.name)) and not Path("/proc", match[1]).exists():
                    with contextlib.suppress(OSError):
                        _remove_ours(entry)


def _remove_ours(entry: os.DirEntry[str]) -> None:
    if entry.stat(follow_symlinks=False).st_uid == os.getuid():
        Path(entry.path).unlink()


def _namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no /proc, so nobody knows who lives
        return 0

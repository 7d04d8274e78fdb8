"""Runs programs of this machine to their end, within a deadline, and tells which package has one that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import DiskFull, InfrastructureError, ToolMissing

__all__ = ["find", "need", "run"]

#: program -> Debian's package
_PACKAGES = {
    "debugfs": "e2fsprogs", "e2fsck": "e2fsprogs", "mke2fs": "e2fsprogs", "resize2fs": "e2fsprogs",
    "mcopy": "mtools", "mdir": "mtools", "mformat": "mtools", "mmd": "mtools",
    "depmod": "kmod", "qemu-img": "qemu-utils",
}  # fmt: skip
#: what this machine says when it is at fault, not the file that is worked on
_HOST = {
    "No space left on device": DiskFull, "Disk quota exceeded": DiskFull,
    "File too large": InfrastructureError, "Input/output error": InfrastructureError,
}  # fmt: skip


def find(program: str) -> str | None:
    """Where it is; users' search paths often lack the folders where Debian has mke2fs and depmod."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def need(program: str, purpose: str) -> str:
    """Where it is. ``ToolMissing`` if it is not here; ``purpose`` is for the message: ``to edit this image``."""
    found = find(program)
    if found is None:
        raise ToolMissing(f"{program} is needed {purpose}: install it (Debian: apt-get install {_PACKAGES[program]})")
    return found


def run(
    command: Sequence[str],
    deadline: Deadline,
    *,
    cwd: Path,
    given: bytes = b"",
    more: Mapping[str, str] | None = None,
    purpose: str = "to edit this image",
) -> subprocess.CompletedProcess[bytes]:
    """Run one with ``given`` as its input, whatever its status. It speaks English and asks nothing.

    ``cwd`` is where it writes, ``more`` are variables of its environment, ``purpose`` is for messages. ``ToolMissing``
    if it is not here, ``DiskFull``, and ``InfrastructureError`` if it is over its time or cannot be started.
    """
    name, program = command[0], need(command[0], purpose)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBUGFS_PAGER": "__none__", **(more or {})}
    try:
        # files, not pipes: debugfs writes a line for each command, and we would wake up for each
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
            told.write(given)
            told.seek(0)
            done = subprocess.run(
                [program, *command[1:]], cwd=cwd, env=environment, stdin=told, stdout=said, stderr=wrong,
                timeout=deadline.remaining(), check=False,
            )  # fmt: skip
            said.seek(0)
            wrong.seek(0)
            complaint = wrong.read()
            if full := next((words for words in _HOST if words.encode() in complaint), ""):
                raise _HOST[full](
                    f"{name} cannot write {cwd} ({full}): free some space, or give --lava-cache another folder",
                    evidence=complaint.decode("utf-8", "replace"),
                )
            return subprocess.CompletedProcess(done.args, done.returncode, said.read(), complaint)
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"{name}, which was needed {purpose}, did not end in time") from None
    except OSError as error:
        raise InfrastructureError(f"{name} cannot be started: {error.strerror}") from error

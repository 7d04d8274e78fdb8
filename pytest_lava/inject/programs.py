"""Runs the programs that edit file systems, and tells which package has one that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import DiskFull, InfrastructureError, ToolMissing

__all__ = ["run"]

#: program -> Debian's package
_PACKAGES = {
    "debugfs": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs",
    "mke2fs": "e2fsprogs",
    "mcopy": "mtools", "mdir": "mtools", "mmd": "mtools", "qemu-img": "qemu-utils",
}  # fmt: skip
#: what this machine says when it is at fault, not the image
_HOST = {
    "No space left on device": DiskFull, "Disk quota exceeded": DiskFull,
    "File too large": InfrastructureError, "Input/output error": InfrastructureError,
}  # fmt: skip


def run(
    command: Sequence[str], deadline: Deadline, *, cwd: Path, given: bytes = b"", more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run one to its end with ``given`` as its input, whatever its status. It speaks English and asks nothing.

    ``ToolMissing`` if it is not here, ``InfrastructureError`` if it is over its time or cannot be started.
    """
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/sbin")
    if program is None:
        package = _PACKAGES[command[0]]
        raise ToolMissing(f"{command[0]} is needed to edit this image: install it (Debian: apt-get install {package})")
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
                    f"{command[0]} cannot write {cwd} ({full}): free some space, or give --lava-cache another folder",
                    evidence=complaint.decode("utf-8", "replace"),
                )
            return subprocess.CompletedProcess(done.args, done.returncode, said.read(), complaint)
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"{command[0]} did not end in time while editing an image") from None
    except OSError as error:
        raise InfrastructureError(f"{command[0]} cannot be started: {error.strerror}") from error

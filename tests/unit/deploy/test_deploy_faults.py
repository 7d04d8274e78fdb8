"""Where a deployment writes: a TFTP folder, an overlay of a drive, what a flashing program makes; full, or read only.

The folder is a tmpfs of its own in a mount namespace. Nothing is left in it, and the error says what to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STEP = Path(__file__).with_name("deploystep.py")
FULL, READ_ONLY = "-o size=128k", "-o ro"


def deployed(tmp_path: Path, kind: str, options: str, source: Path) -> tuple[tuple[str, str, str], str]:
    """Class and blame of the error and its message; and what is left in the folder."""
    folder = tmp_path / "small"
    folder.mkdir(exist_ok=True)
    mount = f'mount -t tmpfs {options} none {folder} && "$@" && ls -AR {folder} >&2'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, str(STEP), kind, str(folder), str(source)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kind_, blame, message = json.loads(done.stdout.splitlines()[-1])
    return (kind_, blame, message), done.stderr


@pytest.mark.parametrize(
    ("kind", "options", "found", "says"),
    [
        ("tftp", FULL, ("DiskFull", "infrastructure"), "cannot write to the TFTP folder "),
        ("tftp", READ_ONLY, ("InfrastructureError", "infrastructure"), "Read-only file system"),
        ("overlay", FULL, ("DiskFull", "infrastructure"), "free some space"),
        ("overlay", READ_ONLY, ("InfrastructureError", "infrastructure"), "Read-only file system"),
        ("flash", FULL, ("DeployFailed", "job"), "No space left on device"),
    ],
)
def test_a_folder_that_takes_nothing(
    tmp_path: Path, kind: str, options: str, found: tuple[str, str], says: str
) -> None:
    source = tmp_path / "image"
    source.write_bytes(os.urandom(1 << 20))
    told, left = deployed(tmp_path, kind, options, source)
    assert told[:2] == found, told
    assert says in told[2].splitlines()[0]
    assert not [line for line in left.splitlines() if line.endswith(".qcow2") or line.startswith(("kernel", ".new"))]
    assert deployed(tmp_path, kind, "-o size=4m", source)[0][0] == ""

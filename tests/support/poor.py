"""Shells on boards that lack something: tools, space, a folder to write to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_lava.console.shell import Shell

__all__ = ["TOOLS", "fine", "own_mounts", "restricted"]

#: all that the agent can make use of, but for sums and encodings
TOOLS = ["cat", "head", "wc", "sed", "stty", "rm", "sleep", "sh", "tr", "seq", "printf", "tee", "ls"]


def fine(shell: Shell) -> bool:
    """Whether a shell can be used."""
    result = shell.run("echo out; echo err >&2; exit 3", timeout=5)
    return (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")


def restricted(folder: Path, *tools: str) -> str:
    """A shell that finds nothing but these tools."""
    (folder / "bin").mkdir()
    for tool in tools:
        # Debian's busybox has no cksum, and says so only when it is run
        (folder / "bin" / tool.strip("+")).symlink_to(f"/usr/bin/{tool[1:]}" if tool[0] == "+" else "/usr/bin/busybox")
    return f"/usr/bin/env PATH={folder}/bin /usr/bin/dash -i"


def own_mounts(*commands: str) -> str:
    """A shell in a mount name space of its own."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name spaces here")
    return f"unshare -rm sh -c '{'; '.join(commands)}; exec dash -i'"

"""A process on a pty of this machine: what it is given to begin with."""

from __future__ import annotations

import subprocess
import sys

_RUN = """
from pathlib import Path
from support.lines import open_agent
from pytest_lava.errors import CommandTimeout
with open_agent(Path({folder!r})) as shell:
    try:
        shell.run("sleep 100", timeout=0.3)
    except CommandTimeout as error:
        print(error)
"""


def test_a_run_in_the_background_ends_commands_by_ctrl_c_too(tmp_path: object) -> None:
    """A shell script's `&` and nohup have a run ignore SIGINT, and what it starts would ignore it for ever."""
    code = _RUN.format(folder=str(tmp_path))
    script = 'trap "" INT QUIT HUP; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "tests"},
    )  # fmt: skip
    assert "did not end within 0.3 s" in done.stdout, done.stderr

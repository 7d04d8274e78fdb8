"""A line to a process on a pty of this machine: ``exec:COMMAND``."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
from pathlib import Path

from ptyprocess import PtyProcess

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.errors import ConfigurationError

__all__ = ["open_process"]


def open_process(command: str) -> tuple[FdTransport, int]:
    """Start ``command`` on a new pty. Returns the line and the process id, for the guardian.

    ``ConfigurationError`` if the program is not there.
    """
    argv = shlex.split(command)
    if not argv or shutil.which(argv[0]) is None:
        raise ConfigurationError(f"console exec:{command}: the program {argv[0] if argv else ''!r} was not found")
    if setpriv := shutil.which("setpriv"):
        argv = [setpriv, "--pdeathsig", "KILL", *argv]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(Path.home()), "TERM": "dumb"}
    environment.update({key: value for key, value in os.environ.items() if key.startswith(("LANG", "LC_"))})
    process = PtyProcess.spawn(argv, env=environment, echo=False)

    def why_closed() -> str:
        process.isalive()
        status = process.exitstatus
        return f"{argv[-1]} exited with status {status}" if status is not None else f"{argv[-1]} ended"

    def finish() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.fileobj.close()
        process.closed = True
        process.fd = -1
        process.wait()

    line = FdTransport(os.dup(process.fd), name=f"exec:{command}", why_closed=why_closed, on_close=finish)
    return line, process.pid

"""A line to a process on a pty of this machine: ``exec:COMMAND``."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import signal
from pathlib import Path

from ptyprocess import PtyProcess, PtyProcessError

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.leavings import leavings, sweep, sweep_of_the_dead
from pytest_lava.errors import ConfigurationError

__all__ = ["open_process"]

_LAST_WORDS = 0.5  # seconds from the end of the line to the end of the process
_HANG_UP = 0.5  # seconds that a shell has to clean up behind itself when its line goes


def open_process(command: str, tag: str = "") -> tuple[FdTransport, int]:
    """Start ``command`` on a new pty. Returns the line and the process id, for the guardian.

    What its shells left goes with the line: those whose files have the ``tag``, else only ``command`` itself.
    ``ConfigurationError`` if the program is not there.
    """
    argv = _words(command)
    sweep_of_the_dead()
    program = argv[0]
    if setpriv := shutil.which("setpriv"):
        argv = [setpriv, "--pdeathsig", "KILL", *argv]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(Path.home()), "TERM": "dumb"}
    environment.update({key: value for key, value in os.environ.items() if key.startswith(("LANG", "LC_"))})
    process = PtyProcess.spawn(argv, env=environment, echo=False, preexec_fn=_heed_the_line)

    def why_closed() -> str:
        _await_exit(process.pid, _LAST_WORDS)
        with contextlib.suppress(PtyProcessError):
            process.isalive()
        if process.signalstatus is not None:
            return f"{program} was killed by {signal.Signals(process.signalstatus).name}"
        return f"{program} exited with status {process.exitstatus}" if process.terminated else f"{program} hung up"

    def finish() -> None:
        process.fileobj.close()  # hangs up
        process.closed, process.fd = True, -1
        _await_exit(process.pid, _HANG_UP)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(PtyProcessError):
            process.wait()
        sweep(leavings(tag, process.pid))

    line = FdTransport(os.dup(process.fd), name=f"exec:{command}", why_closed=why_closed, on_close=finish)
    return line, process.pid


def _heed_the_line() -> None:
    """A run in the background or under nohup ignores what the line sends by its keys and its end; a login does not."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _words(command: str) -> list[str]:
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"console exec:{command}: this is no valid command line: {error}") from None
    if not argv:
        raise ConfigurationError("console exec: needs a command, such as exec:sh -i")
    if shutil.which(argv[0]) is None:
        raise ConfigurationError(f"console exec:{command}: the program {argv[0]!r} was not found")
    return argv


def _await_exit(pid: int, seconds: float) -> None:
    try:
        fd = os.pidfd_open(pid)
    except OSError:  # it is gone
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(round(seconds * 1000))
    finally:
        os.close(fd)

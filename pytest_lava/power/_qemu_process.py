"""One running QEMU: its process, our ends of its console and monitor, and what it said when it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.deadline import Deadline
from pytest_lava.errors import PowerError
from pytest_lava.power._process import how_it_ended, wait_exit
from pytest_lava.power.api import Guard
from pytest_lava.power.qmp import Qmp

__all__ = ["CONSOLE", "QemuProcess"]

#: the id of the character device that is the serial line
CONSOLE = "console"
_BREAK_SECONDS = 2.0
_ENDING_SECONDS = 1.0
_KILL_SECONDS = 5.0
_KEPT = 65536
_UNREAD = 1 << 20  # bytes of the console that nobody has read yet


class QemuProcess:
    """Starts QEMU with ``argv`` plus a console, which is its standard input and output, and a monitor on a socket pair.

    No port and no socket file, so nothing to clash and nothing to clean up. ``PowerError`` if it cannot be started.
    The console is a pair of pipes as QEMU sends each character by itself: in a socket each takes 768 bytes and some
    microseconds, in a pipe they lie side by side. It must be read: a megabyte that nobody reads stops a pl011, and
    with it the whole QEMU, the monitor too, until somebody does.
    """

    def __init__(self, argv: Sequence[str], *, board: str, folder: Path, guard: Guard) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._said = b""
        self._ending = ""
        self._handed_out = False
        console, its_output = os.pipe()
        its_input, typed = os.pipe()
        with contextlib.suppress(OSError):  # a user may have too many large pipes already
            fcntl.fcntl(console, fcntl.F_SETPIPE_SZ, _UNREAD)
        monitor, monitor_end = socket.socketpair()
        self._messages, messages_end = os.pipe()
        os.set_blocking(self._messages, False)
        # nobody may be reading: what does not fit is dropped, and QEMU never waits for us
        os.set_blocking(messages_end, False)
        lines = ["-chardev", f"stdio,id={CONSOLE},signal=off"]
        lines += ["-chardev", f"socket,id=qmp,fd={monitor_end.fileno()}", "-mon", "chardev=qmp,mode=control"]
        try:
            self.process = subprocess.Popen(
                [*_die_with_us(), argv[0], *lines, *argv[1:]],
                stdin=its_input,
                stdout=its_output,
                stderr=messages_end,
                pass_fds=(monitor_end.fileno(),),
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            os.close(console)
            os.close(typed)
            monitor.close()
            os.close(self._messages)
            raise PowerError(f"QEMU for board {board} cannot be started: {error}") from error
        finally:
            monitor_end.close()
            for descriptor in (its_input, its_output, messages_end):
                os.close(descriptor)
        self.pid = self.process.pid
        self._forget = guard.process(self.pid)
        self.qmp = Qmp(monitor)
        self._transport = FdTransport(
            console, f"of QEMU board {board}", out=typed, send_break=self._send_break, why_closed=self.why_ended
        )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def console(self) -> FdTransport:
        """Our end of the serial line; whoever asks closes it."""
        self._handed_out = True
        return self._transport

    def why_ended(self) -> str:
        """``QEMU exited with status 1: could not open disk image X``; gives it 1 s to end after its line did."""
        if self._ending:
            return self._ending
        if not wait_exit(self.process, Deadline.after(_ENDING_SECONDS)):
            return "QEMU runs, but its serial line is closed"
        said = self._last_words()
        if not said and self.process.returncode == 0:
            said = "the board switched itself off"
        return f"QEMU {how_it_ended(self.process.returncode)}" + (said and f": {said}")

    def end(self, deadline: Deadline) -> None:
        """Kill and reap it, close the monitor, and tell the guardian. ``PowerError`` if it does not die."""
        if self.alive:
            self._ending = "the board was switched off"
            self.process.kill()
            if not wait_exit(self.process, deadline.at_most(_KILL_SECONDS)):
                raise PowerError(
                    f"QEMU of board {self._board} (pid {self.pid}) was killed but does not end: its disk may hang"
                )
        elif not self._ending:
            self._ending = self.why_ended()
        self._forget()
        self.qmp.close()
        if not self._handed_out:
            self._transport.close()
        with self._lock:
            if self._messages >= 0:
                os.close(self._messages)
                self._messages = -1

    def _send_break(self, seconds: float) -> None:
        self.qmp.send_break(CONSOLE, Deadline.after(_BREAK_SECONDS))

    def _last_words(self) -> str:
        """The last line that QEMU wrote, rather not a warning, without its own name before it."""
        with self._lock:
            if self._messages >= 0:
                with contextlib.suppress(BlockingIOError):
                    self._said = (self._said + os.read(self._messages, _KEPT))[-_KEPT:]
            text = self._said.decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        lines = [line for line in lines if ": warning: " not in line] or lines
        if not lines:
            return ""
        program, colon, rest = lines[-1].partition(": ")
        return rest if colon and program.startswith(("qemu", "/")) else lines[-1]


def _die_with_us() -> list[str]:
    """A prefix that makes the kernel kill the command when its parent dies.

    The parent it means is the thread that started it, so only the main thread may use it; the guardian covers the rest.
    If we died before the kernel was told, nothing would ever come: so the command first looks who its parent is.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    found = shutil.which("setpriv")
    if found is None or Path(found).resolve().name != "setpriv":  # busybox's does not know the option
        return []
    return [found, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())]

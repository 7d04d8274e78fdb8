"""A command of this machine beside the booted board: its streams apart, its end for sure, with all that it started."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pytest_lava.console.shell import DEFAULT_OUTPUT
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import CommandTimeout, of_this_machine
from pytest_lava.power._process import undisturbed, wait_exit
from pytest_lava.power.api import Guard

__all__ = ["HostResult", "run_here"]

#: each process of a command has it in its environment, however far it went from the others
_MARK = "LAVA_HOST_COMMAND"
_GRACE = 3.0  # seconds from SIGTERM to SIGKILL
_LONGEST = 1e6  # seconds that the system's clock of a wait can count
_ROUNDS = 20  # of killing
_TAIL = 8192  # bytes of each stream that an error shows
_PROC = Path("/proc")


@dataclass(frozen=True)
class HostResult:
    """What a command did; ``duration`` in seconds. ``left`` counts the processes that it left running, ended by us."""

    returncode: int
    stdout: bytes
    stderr: bytes
    duration: float
    truncated: bool = False
    left: int = 0


def run_here(
    command: str, *, folder: Path, work: Path, environment: Mapping[str, str], timeout: float, guard: Guard
) -> HostResult:
    """Run a command by ``/bin/sh -c`` in ``folder``, in a session of its own and without input.

    ``work`` is a folder for its streams, of which 16 MB each are kept; ``timeout`` is in seconds. Whatever it started
    is ended with it: at its end, at its limit (``CommandTimeout``), at an exception, and by ``guard`` at our death.
    """
    mark = secrets.token_hex(8)
    given = {**os.environ, **environment, _MARK: mark}
    with (work / "host-stdout").open("w+b") as said, (work / "host-stderr").open("w+b") as wrong:
        begin = monotonic()
        forget, process = _started(command, folder, given, (said, wrong), guard)
        try:
            in_time = wait_exit(process, Deadline.after(min(timeout, _LONGEST)))
            duration = monotonic() - begin
            left = _end_all(process, mark)
        except BaseException:
            _end_all(process, mark, hurry=True)
            raise
        finally:
            forget()
        out, cut_out = _kept(said)
        err, cut_err = _kept(wrong)
    if not in_time:
        raise CommandTimeout(
            f"the host command did not end within {timeout:g} s (--command-timeout): {command}",
            evidence="".join(text[-_TAIL:].decode(errors="replace") for text in (out, err)),
        )
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return HostResult(status, out, err, duration, cut_out or cut_err, left)


def _started(
    command: str, folder: Path, environment: Mapping[str, str], streams: tuple[IO[bytes], IO[bytes]], guard: Guard
) -> tuple[Callable[[], None], subprocess.Popen[bytes]]:
    """The process, and what revokes its guard."""
    kill = (
        f"for n in 1 2 3; do for p in $(grep -ls {_MARK}={environment[_MARK]} /proc/[0-9]*/environ); do "
        "p=${p#/proc/}; kill -9 ${p%/environ}; done; done"
    )
    by_mark = guard.command(kill)  # before it runs: it may leave its group at once
    try:
        with undisturbed():
            process = subprocess.Popen(
                ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=streams[0], stderr=streams[1],
                cwd=folder, env=dict(environment), start_new_session=True,
            )  # fmt: skip
            by_pid = guard.process(process.pid)
    except (OSError, ValueError) as error:
        by_mark()
        if isinstance(error, OSError):
            raise of_this_machine(f"the host command cannot be started in {folder}: {error}", error) from error
        raise

    def forget() -> None:
        by_pid()
        by_mark()

    return forget, process


def _end_all(process: subprocess.Popen[bytes], mark: str, *, hurry: bool = False) -> int:
    """End what is left of a command: how many processes that were, the shell itself not among them."""
    found = [pid for pid in _marked(mark) if pid != process.pid]
    if not hurry and (process.poll() is None or found):
        for pid in [process.pid, *found]:  # a shell that lives tells what became of its children
            _signal(pid, signal.SIGTERM)
        end = Deadline.after(_GRACE)
        wait_exit(process, end)
        for pid in found:
            _await(pid, end)
    with contextlib.suppress(ProcessLookupError):  # those that emptied their environment too
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(_ROUNDS):  # one may have started another meanwhile
        if not (left := list(_marked(mark))):
            break
        for pid in left:
            _signal(pid, signal.SIGKILL)
        end = Deadline.after(_GRACE)
        for pid in left:
            _await(pid, end)
    process.wait()
    return len(found)


def _marked(mark: str) -> Iterator[int]:
    """The processes that have the mark in their environment."""
    text = f"{_MARK}={mark}".encode()
    for place in _PROC.glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # somebody else's, or gone
            if text in place.read_bytes():
                yield int(place.parent.name)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _await(pid: int, end: Deadline) -> None:
    """Until a process that is no child of ours has ended."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(int(end.remaining() * 1000))
    finally:
        os.close(handle)


def _kept(stream: IO[bytes]) -> tuple[bytes, bool]:
    stream.seek(0)
    data = stream.read(DEFAULT_OUTPUT)
    return data, bool(stream.read(1))

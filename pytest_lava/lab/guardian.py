"""The guardian: a small process of its own that switches boards off if this process dies without teardown."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError
from pytest_lava.lab._guardian_main import start_time
from pytest_lava.power._process import wait_exit
from pytest_lava.power.api import Forget

__all__ = ["BoardGuard", "Guardian"]

_PROGRAM = Path(__file__).with_name("_guardian_main.py")
_CLOSE_SECONDS = 0.1


class Guardian:
    """Cleans up after this process has died, also by ``kill -9``; implements :class:`pytest_lava.power.api.Guard`.

    The helper process is started at the first thing to guard and knows only what it was told: nothing of ours is
    open in it, so ``pytest | tee`` ends with pytest. Each method returns what revokes its order. On our death
    processes are killed at once, then commands run side by side (at most 30 s), then files are removed; within each
    kind, what was added last comes first. Any thread may call; in a forked child all calls do nothing.

    >>> with Guardian() as guardian:
    ...     forget = guardian.command("pdu off 3")
    ...     forget()
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come in between
        self._owner = os.getpid()
        self._numbers = itertools.count(1)
        self._orders: dict[int, dict[str, Any]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The helper's process id; None while there was nothing to guard."""
        return self._process.pid if self._process else None

    def process(self, pid: int, *, leavings: Sequence[str] = ()) -> Forget:
        """Kill ``pid`` (and the process group that it leads), unless the number belongs to another process by then.

        ``leavings`` are patterns of the files that it leaves when it is killed: they are removed.
        """
        start = start_time(pid)
        if start is None:  # it is gone already
            return _nothing
        return self._add({"kind": "process", "pid": pid, "start": start, "leavings": list(leavings)})

    def command(self, command: str, *, locks: Sequence[Path] = ()) -> Forget:
        """Run ``command`` with ``/bin/sh -c``, in ``/``, within 30 s, without any terminal.

        ``locks`` are the lock files of the board it switches: they are held meanwhile, so that the next user of the
        board does not meet a late power-off; if the next user holds one already, the command is left out.
        """
        return self._add({"kind": "command", "command": command, "locks": [str(path) for path in locks]})

    def remove(self, path: Path) -> Forget:
        """Remove a temporary file, socket or whole folder of ours."""
        return self._add({"kind": "remove", "path": str(path.absolute())})

    def for_board(self, locks: Sequence[Path]) -> BoardGuard:
        """A view for the drivers of one board, whose commands respect that board's lock files."""
        return BoardGuard(self, tuple(locks))

    def close(self) -> None:
        """The orderly end: the helper goes, and at once if every order was revoked. Takes at most 0.1 s.

        What is left belongs to somebody whose own clean-up was cut short (a second Ctrl-C, a power command that
        failed): it is carried out as after our death.
        """
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            if process is None or os.getpid() != self._owner:
                return
            orders, self._orders = self._orders, {}
            assert process.stdin
            if not orders:
                with contextlib.suppress(OSError):
                    os.write(process.stdin.fileno(), b'{"op": "bye"}\n')
            process.stdin.close()
            if not wait_exit(process, Deadline.after(_CLOSE_SECONDS)):
                process.returncode = 0  # it is on its way; spares the reader a ResourceWarning

    def _add(self, order: dict[str, Any]) -> Forget:
        with self._lock:
            if self._closed or os.getpid() != self._owner:
                return _nothing
            number = next(self._numbers)
            self._orders[number] = order
            self._tell({"op": "add", "id": number, **order})
        return lambda: self._forget(number)

    def _forget(self, number: int) -> None:
        with self._lock:
            if os.getpid() == self._owner and self._orders.pop(number, None) is not None:
                self._tell({"op": "del", "id": number})

    def _tell(self, message: dict[str, Any]) -> None:
        if self._process is not None:
            try:
                _send(self._process, message)
                return
            except BrokenPipeError:  # somebody killed the guardian: the next one learns everything again
                self._process.wait()
        self._process = self._start()
        for number, order in self._orders.items():
            _send(self._process, {"op": "add", "id": number, **order})

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_PROGRAM), str(self._owner)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise InfrastructureError(f"cannot start a helper process ({error}): free memory or processes") from error


@dataclass(frozen=True)
class BoardGuard:
    """The guardian as one board's drivers see it; implements :class:`pytest_lava.power.api.Guard`."""

    guardian: Guardian
    locks: tuple[Path, ...]

    def process(self, pid: int, *, leavings: Sequence[str] = ()) -> Forget:
        """See :meth:`Guardian.process`."""
        return self.guardian.process(pid, leavings=leavings)

    def command(self, command: str) -> Forget:
        """See :meth:`Guardian.command`; left out when somebody else has leased the board meanwhile."""
        return self.guardian.command(command, locks=self.locks)


def _send(process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert process.stdin
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(process.stdin.fileno(), data) :]


def _nothing() -> None:
    """Revokes nothing."""

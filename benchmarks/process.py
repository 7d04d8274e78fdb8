"""Measuring a whole process: wall time, and the processor time of its tree without QEMU's."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measured", "measure"]

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_SAMPLE = 0.1


@dataclass(frozen=True)
class Measured:
    """What one process took. Times in seconds, ``began`` and ``ended`` on the clock of ``time.monotonic``.

    ``cpu`` leaves QEMU out, to the ticks of ``/proc`` (10 ms): the process itself as its zombie tells it, helper
    processes as seen at most 0.1 s before their end. ``cpu_all`` is the exact time of the process and all that it
    waited for, with QEMU if there was one.
    """

    status: int
    began: float
    ended: float
    cpu: float
    cpu_all: float
    #: most memory that it, or a process that it waited for, had at once, in bytes
    rss: int = 0

    @property
    def wall(self) -> float:
        """From start to exit."""
        return self.ended - self.began


def measure(argv: Sequence[str | Path], *, folder: Path, output: Path | None = None) -> Measured:
    """Run a command in ``folder`` and measure it; its output goes to ``output``.

    Python's own variables are left out: with PYTHONDONTWRITEBYTECODE each start would compile this checkout anew.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON") or name == "PYTHONPATH"}
    with (output or Path(os.devnull)).open("wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(
            list(map(str, argv)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=clean,
        )
        helpers = _Helpers(process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        ended = time.monotonic()
        helpers.stop()
        own = _cpu(_stat(process.pid))
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(
        process.returncode, began, ended, own + helpers.cpu, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10
    )


class _Helpers:
    """Follows the descendants of a process, QEMU left out."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._seen: dict[int, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def cpu(self) -> float:
        """Seconds of all of them together."""
        return sum(self._seen.values())

    def stop(self) -> None:
        """No more samples."""
        self._done.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._done.wait(_SAMPLE):
            pending = _children(self._root)
            while pending:
                pid = pending.pop()
                fields = _stat(pid)
                if fields and "qemu-system" not in fields[0]:
                    self._seen[pid] = _cpu(fields)
                pending += _children(pid)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            continue
    return found


def _stat(pid: int) -> list[str]:
    """Fields of ``/proc/PID/stat`` from the name on; empty if the process is gone."""
    try:
        head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return []
    return [head.partition("(")[2], *rest.split()]


def _cpu(fields: Sequence[str]) -> float:
    return (int(fields[12]) + int(fields[13])) * _TICK if fields else 0.0

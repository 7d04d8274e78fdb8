"""Sends a parcel as the spool does: what a sink remembers is kept, what it calls passing is tried again."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import Parcel, Receipt, Sink, SinkBusy
from support.faultserver import FaultProxy

__all__ = ["kill_at", "send_until_done"]


def send_until_done(sink: Sink, folder: Path, uuid: str, *, tries: int, limit: float = 60.0) -> Receipt:
    """At most so many tries of ``limit`` seconds each. The last ``SinkBusy`` is raised, anything else at once."""
    pause = threading.Event()
    known: dict[str, str] = {}
    for number in range(tries):
        parcel = Parcel(uuid, folder, dict(known), known.update)
        try:
            return sink.send(parcel, Deadline.after(limit))
        except SinkBusy:
            if number == tries - 1:
                raise
            pause.wait(0.05)
    raise AssertionError


def kill_at(command: Sequence[str], proxy: FaultProxy, *, at: int, after: float) -> bool:
    """Start a sender that prints a line when it is ready, and kill it so long after its connection number ``at``.

    Whether it came so far.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout
        child.stdout.readline()
        tick, before = threading.Event(), len(proxy.met)
        while len(proxy.met) < before + at and child.poll() is None:
            tick.wait(0.001)
        tick.wait(after)
        child.kill()
        return child.wait(30) == -signal.SIGKILL

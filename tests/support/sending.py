"""Sends a parcel as the spool does: what a sink remembers is kept, what it calls passing is tried again."""

from __future__ import annotations

import threading
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import Parcel, Receipt, Sink, SinkBusy

__all__ = ["send_until_done"]


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

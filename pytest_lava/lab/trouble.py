"""How often a board gave trouble of late: lab faults are counted machine-wide, until a health check says what it is.

One file per board beside those of the quarantine: a line of JSON for each fault, with ``time`` (seconds since 1970),
``why`` and ``run`` (folder).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pytest_lava.errors import Blame
from pytest_lava.lab.quarantine import quarantine_folder
from pytest_lava.results.journal import Line

__all__ = ["faults", "forget", "note", "recent"]

#: the lab's faults that say nothing about the board itself
_OTHERS = ("BoardBusy", "BoardQuarantined", "DiskFull", "NetworkError")

_TOLD = 300  # characters of a reason
_KEPT = 64 << 10  # bytes; older faults are of no interest


def faults(lines: Iterable[Line]) -> list[tuple[str, str]]:
    """Board and reason of each fault of a run that is the lab's and may be the board's, also of those tried again."""
    found = []
    for line in lines:
        error = line.get("error") or {}
        told = line["kind"] == "outcome" and line.get("outcome") == "failed"
        told = told or (line["kind"] == "attempt" and not line.get("last"))
        if told and error.get("blame") == Blame.INFRASTRUCTURE and error.get("type") not in _OTHERS:
            found.append((str(line["board"]), str(error.get("message"))))
    return found


def note(board: str, why: str, *, run: Path | None = None, folder: Path | None = None) -> None:
    """Count one fault. ``OSError`` if it cannot be written."""
    path = _path(board, folder)
    line = json.dumps({"time": round(time.time(), 3), "why": why[:_TOLD], "run": str(run or "")}).encode() + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags)  # first, as in a sticky folder O_CREAT is refused for the file of another user
    except FileNotFoundError:
        fd = os.open(path, flags | os.O_CREAT, 0o666)
        with suppress(OSError):
            os.fchmod(fd, 0o666)
    try:
        if os.fstat(fd).st_size < _KEPT:
            os.write(fd, line)
    finally:
        os.close(fd)


def recent(board: str, within: float, folder: Path | None = None) -> list[str]:
    """Why the board failed in the last ``within`` seconds, oldest first."""
    found = []
    with suppress(OSError):
        for line in _path(board, folder).read_bytes().splitlines():
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                known = json.loads(line)
                if time.time() - float(known["time"]) <= within:
                    found.append(str(known["why"]))
    return found


def forget(board: str, folder: Path | None = None) -> None:
    """Begin to count anew."""
    with suppress(OSError):
        os.truncate(_path(board, folder), 0)


def _path(board: str, folder: Path | None) -> Path:
    return (folder or quarantine_folder()) / f"{board}.trouble"

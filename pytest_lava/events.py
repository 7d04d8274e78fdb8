"""The run's own event log: what the harness did and when, beside where the console stood at that moment.

One JSON object a line in ``events.jsonl``: ``time`` (UTC, ISO 8601, microseconds), ``level``, ``board``, ``message``,
``console`` (offset in the board's console log) and free fields. Phases come as a pair with ``phase`` and ``seconds``.
The same messages go to the Python logger ``pytest_lava``, so that pytest's log options show them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_lava.deadline import monotonic
from pytest_lava.errors import ErrorInfo, describe

__all__ = ["PHASES", "EventLog", "Phase", "utc_now"]

#: the fixed names of what a job does, in order
PHASES = (
    "wait", "fetch", "inject", "deploy", "power",
    "boot.bootloader", "boot.kernel", "boot.login",
    "case", "recovery", "collect", "submit",
)  # fmt: skip

_log = logging.getLogger("pytest_lava")


def utc_now() -> str:
    """The wall clock as the journal and the event log write it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True)
class Phase:
    """One finished phase of a job."""

    name: str
    board: str
    start: str
    seconds: float
    error: ErrorInfo | None = None


class EventLog:
    """Writes events; ``bound`` gives a view that speaks for one board."""

    def __init__(self, path: Path | None = None, *, on_phase: Callable[[Phase], None] | None = None) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644) if path else -1
        self._on_phase = on_phase
        self._board = ""
        self._offset: Callable[[], int] | None = None

    def bound(self, board: str, offset: Callable[[], int]) -> EventLog:
        """A view of the same log for one board; ``offset`` tells where its console log stands."""
        view = object.__new__(EventLog)
        view._fd, view._on_phase, view._board, view._offset = self._fd, self._on_phase, board, offset
        return view

    def emit(self, message: str, *, level: str = "info", **fields: Any) -> None:
        """Write one event."""
        line: dict[str, Any] = {"time": utc_now(), "level": level}
        if self._board:
            line["board"] = self._board
        if self._offset:
            line["console"] = self._offset()
        line["message"] = message
        line.update(fields)
        if self._fd >= 0:
            text = json.dumps(line, ensure_ascii=False, default=str)
            with suppress(OSError):  # a full disk: the journal's next line says so, and that ends the run
                os.write(self._fd, text.encode(errors="backslashreplace") + b"\n")
        if _log.isEnabledFor(logging.DEBUG):
            _log.log(logging.getLevelNamesMapping().get(level.upper(), logging.INFO), "%s", message)

    @contextmanager
    def phase(self, name: str, **fields: Any) -> Iterator[None]:
        """Time a part of the job; one of :data:`PHASES`. Its end is told also when it failed."""
        if name not in PHASES:
            raise ValueError(f"unknown phase {name!r}")
        start, t0, phase = utc_now(), monotonic(), Phase(name, self._board, utc_now(), 0.0)
        self.emit(f"{name} begins", phase=name, **fields)
        try:
            yield
        except BaseException as error:
            phase = replace(phase, start=start, seconds=monotonic() - t0, error=describe(error))
            self._finish(phase, level="error", **fields)
            raise
        self._finish(replace(phase, start=start, seconds=monotonic() - t0), level="info", **fields)

    def close(self) -> None:
        """Close the file; views of it must not be used afterwards."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _finish(self, phase: Phase, *, level: str, **fields: Any) -> None:
        end = f"failed: {phase.error.message}" if phase.error else "done"
        message = f"{phase.name} {end} ({phase.seconds:.3f} s)"
        self.emit(message, level=level, phase=phase.name, seconds=round(phase.seconds, 6), **fields)
        if self._on_phase:
            self._on_phase(phase)

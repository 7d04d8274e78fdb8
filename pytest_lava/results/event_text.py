"""The event log for people: a line for each thing that was done, and between them what the board said, if wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_lava.console.readable import without_frames
from pytest_lava.errors import ConfigurationError
from pytest_lava.results.console_slice import excerpt
from pytest_lava.results.text import plain

__all__ = ["Event", "as_text", "read_events"]

_WIDTH = 120  # characters of a message: some of what is typed are whole programs
_KNOWN = ("time", "level", "board", "console", "message", "phase", "seconds")
_ALL = 1 << 40
#: begins a line that the board said, so that nobody takes it for one of ours
_BOARD = "| "


@dataclass(frozen=True)
class Event:
    """One line of an ``events.jsonl``."""

    time: str
    level: str
    message: str
    board: str = ""
    #: where the board's console log stood; None where no board was meant
    offset: int | None = None
    phase: str = ""
    #: of a phase that ended
    ended: bool = False
    more: dict[str, Any] = field(default_factory=dict)
    #: the board's console log
    log: Path | None = None


def read_events(folder: Path) -> list[Event]:
    """All events of a run folder in the order of time, those of workers included; torn lines are left out.

    Raises ``ConfigurationError`` if there are none.
    """
    files = sorted(folder.glob("events*.jsonl"))
    found = [event for file in files for event in _read(file)]
    if not found:
        raise ConfigurationError(f"there are no events*.jsonl in {folder}: give a run folder, such as lava-runs/latest")
    return sorted(found, key=lambda event: event.time)


def as_text(
    events: Iterable[Event],
    *,
    console: bool = False,
    fields: bool = False,
    paint: Callable[[str, str], str] | None = None,
) -> Iterator[str]:
    """The lines. Phases that lie within others are indented.

    ``console``: with what boards said before each event, behind a ``|``. ``fields``: with all that events have besides.
    ``paint`` gives text its colour by a level (``info``, ``warning``, ``error``, ``input``, or ``console``).
    """
    events, painted = list(events), paint or (lambda text, level: text)
    boards = dict.fromkeys(event.board for event in events if event.board)
    width = max(map(len, boards)) + 1 if len(boards) > 1 else 0
    open_phases: dict[Path | None, list[str]] = {}
    read_to: dict[Path, int] = {}
    day = ""
    for number, event in enumerate(events):
        if event.time[:10] != day:
            day = event.time[:10]
            yield f"{day} (UTC)"
        margin = f"{event.time[11:23]}  {event.board:{width}}" if width else f"{event.time[11:23]}  "
        phases = open_phases.setdefault(event.log, [])
        if console and event.log and event.offset is not None:
            blank = " " * len(margin) + "  " * len(phases)
            for line in _said(event.log, read_to.get(event.log, 0), event.offset):
                yield painted(f"{blank}{_BOARD}{line}", "console")
            read_to[event.log] = event.offset
        if event.ended and event.phase in phases:
            del phases[phases.index(event.phase) :]
        if not (event.phase and not event.ended and _ends_at_once(events, number)):
            for line in _told(event, fields):
                yield painted(f"{margin}{'  ' * len(phases)}{line}", event.level)
        if event.phase and not event.ended:
            phases.append(event.phase)
    if console:
        for log, offset in read_to.items():
            yield from (painted(f"{_BOARD}{line}", "console") for line in _said(log, offset, None))


def _read(file: Path) -> Iterator[Event]:
    worker = file.stem.removeprefix("events").lstrip("-")
    folder = file.parent / worker
    logs: dict[str, Path | None] = {"": None}
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    for raw in lines:
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if not (isinstance(line, dict) and all(isinstance(line.get(key), str) for key in ("time", "message"))):
            continue
        board = str(line.get("board") or "")
        if board not in logs:
            logs[board] = _log_of(folder, board)
        offset = line.get("console")
        yield Event(
            line["time"], str(line.get("level")), line["message"], board, offset if isinstance(offset, int) else None,
            str(line.get("phase") or ""), "seconds" in line,
            {key: value for key, value in line.items() if key not in _KNOWN}, logs[board],
        )  # fmt: skip


def _log_of(folder: Path, board: str) -> Path | None:
    """A board has a log of its own name, but for the only board of a run."""
    return next((path for name in (f"console-{board}.log", "console.log") if (path := folder / name).is_file()), None)


def _ends_at_once(events: list[Event], number: int) -> bool:
    """Nothing happened in this phase: its end tells all."""
    here = events[number]
    after = next((event for event in events[number + 1 :] if event.log == here.log and event.board == here.board), None)
    return after is not None and after.ended and after.phase == here.phase


def _said(log: Path, start: int, end: int | None) -> list[str]:
    text = excerpt(log, start, end, lines=_ALL, limit=_ALL)
    return [plain(line) for line in without_frames(text).splitlines() if line.strip()]


def _told(event: Event, fields: bool) -> Iterator[str]:
    first, *rest = event.message.splitlines() or [""]
    word = f"{event.level}: " if event.level in ("warning", "error") else ""
    cut = first if fields or len(first) <= _WIDTH else f"{first[:_WIDTH]} ..."
    if event.level == "input" and rest and not fields:  # some are programs of ours
        cut, rest = f"{cut} (and {len(rest)} lines more)", []
    yield f"{word}{plain(cut)}"
    yield from (f"  {plain(line)}" for line in rest)
    if fields:
        yield from (f"  {key} = {plain(str(value))}" for key, value in event.more.items())

"""From a run folder to what is submitted of it; what is missing is made from its journal, after a ``kill -9`` too."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.results import junit
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import write_bundle
from pytest_lava.results.bundle.schema import DEFAULT_VERSION, validate
from pytest_lava.results.journal import journals, read
from pytest_lava.results.record import collect
from pytest_lava.sinks.api import Results

__all__ = ["results_of"]

_BUNDLE, _JUNIT = "bundle.json", "junit.xml"


def results_of(folder: Path) -> tuple[Results, Sequence[Mapping[str, Any]]]:
    """The results of a run, and the sinks that it was to be submitted to (as ``SinkChoice.as_json`` tells them).

    Raises ``ConfigurationError`` if this is no run folder, or its run goes on, or ended before its first result;
    ``InfrastructureError`` if it cannot be written to.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no run folder {folder}; see lava-runs/, or say --lava-dir as in the run")
    folder = folder.resolve()
    lines = read(journals([folder]))
    record = collect(lines)
    if not lines or not record.run:
        raise ConfigurationError(f"the journal in {folder} is empty: that run ended before its first result")
    if record.end is None and _goes_on(record.head):
        raise ConfigurationError(f"the run in {folder} still goes on (pid {record.head['pid']}): wait for its end")
    newest = max(path.stat().st_mtime_ns for path in journals([folder]))
    made = folder / _BUNDLE
    if not made.exists() or (record.end is None and made.stat().st_mtime_ns < newest):
        form = str(record.head.get("format") or DEFAULT_VERSION)
        content = build_bundle(lines, version=form, folder=folder)
        validate(content)
        write_bundle(made, content)
        junit.write(lines, folder / _JUNIT, folder=folder)
    if not (folder / _JUNIT).exists():
        junit.write(lines, folder / _JUNIT, folder=folder)
    return Results(record.run, folder, made), record.head.get("sinks") or ()


def _goes_on(head: Mapping[str, Any]) -> bool:
    """Whether the process that wrote this line is still there, and no other one of its number."""
    if head.get("host") != socket.gethostname():
        return False
    try:
        fields = Path(f"/proc/{int(head['pid'])}/stat").read_text().rpartition(")")[2].split()
        up = float(Path("/proc/uptime").read_text().split()[0])
        began = datetime.fromisoformat(str(head["time"])).timestamp()
    except (OSError, KeyError, ValueError, TypeError):
        return False
    age = up - int(fields[19]) / os.sysconf("SC_CLK_TCK")  # proc(5): the 22nd field, starttime
    return fields[0] != "Z" and age >= time.time() - began - 1.0

"""Keeps the state of a running QEMU in a folder, and brings it back: a migration to a file, and what drives have new.

Each run reads the same files and writes to none of them, so nothing is copied to resume.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.errors import PowerError
from pytest_lava.power._qemu_inputs import split, unsplit
from pytest_lava.power.qmp import Qmp

__all__ = ["INCOMING", "arguments_for", "keep", "load"]

#: the arguments of a QEMU that is to be given a state
INCOMING = ("-incoming", "defer")
_MEMORY = "memory"
_DRIVES = "drives.json"
_BANDWIDTH = 1 << 40  # bytes a second: the default of 128 MB/s is for networks
_GO_ON = 10.0  # seconds that it has for that, whatever became of its state
_POLL = 0.002
_DONE = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class _Changed:
    """A drive that was written to: its ``device``, its ``size`` in bytes, and the number of its argument."""

    device: str
    size: int
    argument: int


def keep(qmp: Qmp, argv: Sequence[str], folder: Path, deadline: Deadline) -> None:
    """Write memory, devices and what was written to drives into ``folder``; the machine stands still meanwhile."""
    qmp.pause(deadline)
    try:
        drives = {}
        for number, drive in enumerate(_changed(qmp, argv, deadline)):
            _back_up(qmp, drive, folder / f"drive{number}.qcow2", deadline)
            drives[str(drive.argument)] = f"drive{number}.qcow2"
        (folder / _DRIVES).write_text(json.dumps(drives))
        with (folder / _MEMORY).open("xb") as file:
            _announce(qmp, deadline)
            qmp.execute("migrate-set-parameters", deadline, max_bandwidth=_BANDWIDTH)
            qmp.hand_over("state", file.fileno(), deadline)
            qmp.execute("migrate", deadline, uri="fd:state")
            _await_end(qmp, "kept", deadline)
    finally:
        _go_on(qmp, Deadline.after(_GO_ON))


def arguments_for(argv: Sequence[str], folder: Path) -> list[str]:
    """``argv`` with drives as they were when the state was kept, for a QEMU that is to be given that."""
    drives: Mapping[str, str] = json.loads((folder / _DRIVES).read_bytes())
    changed = list(argv)
    for argument, name in drives.items():
        changed[int(argument)] = _on_top(argv[int(argument)], folder / name)
    return [*changed, *INCOMING]


def load(qmp: Qmp, folder: Path, deadline: Deadline) -> None:
    """Give a QEMU that waits for it the state, and let it run. ``PowerError`` if the state does not fit."""
    with (folder / _MEMORY).open("rb") as file:
        _announce(qmp, deadline)
        qmp.hand_over("state", file.fileno(), deadline)
        qmp.execute("migrate-incoming", deadline, uri="fd:state")
        _await_end(qmp, "brought back", deadline)
    qmp.resume(deadline)


def _go_on(qmp: Qmp, deadline: Deadline) -> None:
    """End the standstill: not before the migration is over to its last step, for which there is no event."""
    while qmp.execute("query-status", deadline)["status"] == "finish-migrate" and not deadline.expired:
        threading.Event().wait(_POLL)
    qmp.resume(deadline)


def _announce(qmp: Qmp, deadline: Deadline) -> None:
    qmp.execute("migrate-set-capabilities", deadline, capabilities=[{"capability": "events", "state": True}])


def _await_end(qmp: Qmp, what: str, deadline: Deadline) -> None:
    def ended(event: dict[str, Any]) -> bool:
        return event["event"] == "MIGRATION" and event["data"]["status"] in _DONE

    status = qmp.await_event(ended, f"whether the state was {what}", deadline)["data"]["status"]
    if status != "completed":
        why = qmp.execute("query-migrate", deadline).get("error-desc", status)
        raise PowerError(f"the state of the machine could not be {what}: {why}")


def _changed(qmp: Qmp, argv: Sequence[str], deadline: Deadline) -> list[_Changed]:
    """The drives that were written to. ``PowerError`` if one outlives the run, so that it may change any time."""
    stats = {one["device"]: one["stats"] for one in qmp.execute("query-blockstats", deadline) if one.get("device")}
    found = []
    for block in qmp.execute("query-block", deadline):
        inserted, device = block.get("inserted"), block["device"]
        if not inserted or inserted["ro"]:
            continue
        base = inserted["image"].get("backing-image", {}).get("filename")
        arguments = [number for number, word in enumerate(argv) if f"file={base}" in split(word)]
        if base is None or not arguments or any("snapshot=on" not in split(argv[number]) for number in arguments):
            raise PowerError(f"what the board writes to its drive {device or inserted['file']} outlives the run")
        told = stats.get(device, {})
        if not device or told.get("wr_operations", 1) or told.get("unmap_operations", 0):
            if len(arguments) > 1:
                raise PowerError(f"{base} is several drives of the board")
            found.append(_Changed(device or block["qdev"], inserted["image"]["virtual-size"], arguments[0]))
    return found


def _back_up(qmp: Qmp, drive: _Changed, target: Path, deadline: Deadline) -> None:
    """What was written since power-on, as a drive that lacks all else.

    Not by ``drive-backup``: on a drive with ``snapshot=on`` QEMU 7.2 removes the image below (BDRV_O_TEMPORARY).
    """
    _create(qmp, {"driver": "file", "filename": os.fspath(target), "size": 0}, deadline)
    qmp.execute("blockdev-add", deadline, driver="file", filename=os.fspath(target), node_name="lava-file")
    try:
        _create(qmp, {"driver": "qcow2", "file": "lava-file", "size": drive.size}, deadline)
        qmp.execute("blockdev-add", deadline, driver="qcow2", file="lava-file", node_name="lava-state")
        try:
            qmp.execute(
                "blockdev-backup", deadline, job_id="state", device=drive.device, target="lava-state", sync="top",
                auto_dismiss=False,
            )  # fmt: skip
            _await_job(qmp, deadline)
        finally:
            qmp.execute("blockdev-del", deadline, node_name="lava-state")
    finally:
        qmp.execute("blockdev-del", deadline, node_name="lava-file")


def _create(qmp: Qmp, options: dict[str, object], deadline: Deadline) -> None:
    qmp.execute("blockdev-create", deadline, job_id="state", options=options)
    _await_job(qmp, deadline)


def _await_job(qmp: Qmp, deadline: Deadline) -> None:
    """Until the job ``state`` has ended; its name is free again."""

    def ended(event: dict[str, Any]) -> bool:
        data = event["data"] if event["event"] == "JOB_STATUS_CHANGE" else {}
        return data.get("id") == "state" and data.get("status") == "concluded"

    qmp.await_event(ended, "whether a drive was kept", deadline)
    errors = [job["error"] for job in qmp.execute("query-jobs", deadline) if job["id"] == "state" and "error" in job]
    qmp.execute("job-dismiss", deadline, id="state")
    if errors:
        raise PowerError(f"what was written to a drive could not be kept: {errors[0]}")


def _on_top(word: str, overlay: Path) -> str:
    """A ``-drive`` argument with ``overlay`` on top of its image. Where that lies is told anew: it may have moved."""
    parts = split(word)
    given = dict(part.partition("=")[::2] for part in parts)
    rest = [part for part in parts if not part.startswith(("file=", "format="))]
    below = [f"backing.driver={given['format']}"] if "format" in given else []
    return unsplit([f"file={overlay}", "format=qcow2", *below, f"backing.file.filename={given['file']}", *rest])

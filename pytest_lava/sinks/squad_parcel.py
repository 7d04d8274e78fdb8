"""Testruns of SQUAD as files: what is packed once, and what is uploaded in each try."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lava.results.slug import shorten
from pytest_lava.sinks.multipart import Upload
from pytest_lava.sinks.squad_testruns import TestRun

__all__ = ["Packed", "pack", "packed"]

_INDEX = "testruns.json"
#: bytes of the console log that are shown with a testrun; SQUAD reads 50 MiB in 40 s
_LOG = 1 << 20
#: Django takes 100 files in one request, and tests, metrics, metadata and log are files too
_FILES = 90
_REST = "more-attachments.zip"
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Packed:
    """A testrun in a folder. ``tests`` says how many there are."""

    job_id: str
    build: str
    environment: str
    tests: int
    folder: Path

    @property
    def uploads(self) -> list[Upload]:
        """The files of the request, as SQUAD's fields."""
        found = [
            Upload(name, f"{name}.json", self.folder / f"{name}.json") for name in ("tests", "metrics", "metadata")
        ]
        log = self.folder / "log.txt"
        if log.exists():
            found.append(Upload("log", log.name, log, "text/plain"))
        attached = sorted((self.folder / "attachments").glob("*"))
        return [*found, *(Upload("attachment", path.name, path) for path in attached)]


def pack(testruns: Iterable[TestRun], folder: Path, *, room: int) -> None:
    """Write testruns into ``folder``; of each at most ``room`` bytes of attachments. What is left out is told."""
    index = []
    for number, testrun in enumerate(testruns):
        place = folder / str(number)
        place.mkdir()
        metadata = {**testrun.metadata, "job_id": testrun.job_id}
        left_out = _attach(testrun.files, place / "attachments", room)
        if left_out:
            metadata["attachments_left_out"] = f"{', '.join(left_out)[:1000]} (more than {room} bytes in all)"
        if testrun.log:
            _write_log(testrun.log, place / "log.txt")
        for name, content in (("tests", testrun.tests), ("metrics", testrun.metrics), ("metadata", metadata)):
            _write(place / f"{name}.json", content)
        index.append(
            {
                "job_id": testrun.job_id,
                "build": testrun.build,
                "environment": testrun.environment,
                "tests": len(testrun.tests),
                "folder": place.name,
            }
        )
    _write(folder / _INDEX, index)


def packed(folder: Path) -> list[Packed]:
    """The testruns that :func:`pack` wrote."""
    index = json.loads((folder / _INDEX).read_bytes())
    return [
        Packed(one["job_id"], one["build"], one["environment"], one["tests"], folder / one["folder"]) for one in index
    ]


def _write(path: Path, content: Any) -> None:
    # ASCII, as a database behind a server need not take every character
    path.write_text(json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")), encoding="ascii")


def _write_log(source: Path, path: Path) -> None:
    """The end of a log in whole lines, as UTF-8 without NUL: SQUAD answers anything else with 500."""
    with source.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - _LOG))
        data = log.read(_LOG)
    text = data.decode("utf-8", "replace").replace("\0", "")
    if size > _LOG:
        text = f"[the first {size - _LOG} bytes are cut]\n{text.partition(chr(10))[2] or text}"
    path.write_text(text, encoding="utf-8", newline="")


def _attach(files: Sequence[tuple[str, Path]], folder: Path, room: int) -> list[str]:
    """Copy files as long as there is room, each name once; the names of the others."""
    left_out: list[str] = []
    taken: dict[str, Path] = {}
    for name, path in files:
        size = path.stat().st_size
        if size > room:
            left_out.append(name)
            continue
        room -= size
        taken[_unique(name, taken)] = path
    if taken:
        folder.mkdir()
    single = _FILES if len(taken) <= _FILES else _FILES - 1
    for name, path in list(taken.items())[:single]:
        shutil.copyfile(path, folder / name)
    rest = list(taken.items())[single:]
    if rest:
        with zipfile.ZipFile(folder / _REST, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in rest:
                archive.write(path, name)
    return left_out


def _unique(name: str, taken: dict[str, Path]) -> str:
    name = shorten(name.lstrip(".") or "file", 200, name)
    stem, dot, suffix = name.rpartition(".")
    number = 1
    found = name
    while found in taken or found == _REST:
        number += 1
        found = f"{stem}-{number}{dot}{suffix}" if stem else f"{name}-{number}"
    return found

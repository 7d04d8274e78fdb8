"""Results into a folder of this machine, or one that is mounted: whole runs (``file``), or JUnit XML only (``junit``).

``file`` makes ``FOLDER/<run uuid>/`` with ``bundle.json`` and ``junit.xml``, ``junit`` makes ``FOLDER/<run uuid>.xml``.
Both appear whole or not at all, so whoever collects them may look at any time.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, ValidationInfo

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline
from pytest_lava.durably import place_file, place_folder
from pytest_lava.errors import first_line
from pytest_lava.sinks.api import Parcel, Receipt, Results, Secrets, SinkBusy, SinkRefused

__all__ = ["FileSink", "JunitSink"]

_BUNDLE, _JUNIT = "bundle.json", "junit.xml"
#: what a run folder holds beside results; reports in HTML are written later, and link to it
_MORE = ("journal*.jsonl", "events*.jsonl", "console*", "gw*", "attachments", "slices")


def _folder(text: str, info: ValidationInfo) -> str:
    """A path, or ``file:///path``; made absolute from where it was written (``context["base"]``)."""
    if text.startswith("file:"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise ValueError("a file URL has no host: write file:///PATH, and mount what is on another machine")
        text = unquote(parts.path)
    if not text.strip():
        raise ValueError("this names no folder")
    base = (info.context or {}).get("base") or Path.cwd()
    path = Path(os.path.abspath(base / Path(text).expanduser()))  # noqa: PTH100  # not through links
    if path.exists() and not path.is_dir():
        raise ValueError("this is no folder")
    return str(path)


Folder = Annotated[str, AfterValidator(_folder)]


class _FolderOptions(Strict):
    """Keys of ``[sinks.NAME]``."""

    url: Folder = Field(description="the folder, or file:///PATH; made if its parent is there")

    @property
    def folder(self) -> Path:
        return Path(self.url)


class FileSink:
    """A folder for each run."""

    class Options(_FolderOptions):
        """Keys of ``[sinks.NAME]`` with ``kind = "file"``."""

        logs: bool = Field(default=False, description="journal, events, console logs and attachments too")

    def __init__(self, name: str, options: Options, secrets: Secrets) -> None:
        self.name = name
        self._options = options

    def pack(self, results: Results, folder: Path) -> None:
        """Copies of bundle and JUnit, and of the logs if they are wanted."""
        shutil.copyfile(results.bundle, folder / _BUNDLE)
        _copy_junit(results, folder)
        for pattern in _MORE if self._options.logs else ():
            for path in sorted(results.folder.glob(pattern)):
                if path.is_dir():
                    shutil.copytree(path, folder / path.name)
                else:
                    shutil.copyfile(path, folder / path.name)

    def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
        """Place it, unless it is there."""
        place = self._options.folder / parcel.uuid
        try:
            _make(self._options.folder)
            if not place.exists():
                place_folder(place, parcel.folder)
            differing = _differing(parcel.folder, place)
        except OSError as error:
            raise _not_written(place, error) from None
        if differing:
            raise SinkRefused(
                f"{place} holds other results of this run ({differing} differs): move it away, if these are to be there"
            )
        return Receipt(parcel.uuid, place.as_uri())


class JunitSink:
    """A JUnit file for each run, for whatever watches a folder."""

    class Options(_FolderOptions):
        """Keys of ``[sinks.NAME]`` with ``kind = "junit"``."""

    def __init__(self, name: str, options: Options, secrets: Secrets) -> None:
        self.name = name
        self._options = options

    def pack(self, results: Results, folder: Path) -> None:
        """A copy of the JUnit XML."""
        _copy_junit(results, folder)

    def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
        """Place it; one that is there already is replaced at once, as it has the same name and so the same run."""
        place = self._options.folder / f"{parcel.uuid}.xml"
        try:
            _make(self._options.folder)
            data = (parcel.folder / _JUNIT).read_bytes()
            if not place.exists() or place.read_bytes() != data:
                place_file(place, data, alone=True)
        except OSError as error:
            raise _not_written(place, error) from None
        return Receipt(parcel.uuid, place.as_uri())


def _copy_junit(results: Results, folder: Path) -> None:
    shutil.copyfile(results.folder / _JUNIT, folder / _JUNIT)


def _make(folder: Path) -> None:
    """Not its parents: they may be where something is mounted, later."""
    if not folder.is_dir():
        folder.mkdir()


def _differing(source: Path, place: Path) -> str:
    """A file of ``source`` that ``place`` does not have as it is; empty if there is none."""
    for path in sorted(source.rglob("*")):
        other = place / path.relative_to(source)
        if path.is_file() and not (other.is_file() and filecmp.cmp(path, other, shallow=False)):
            return str(path.relative_to(source))
    return ""


def _not_written(place: Path, error: OSError) -> SinkBusy:
    what = first_line(error.strerror or error)
    if isinstance(error, FileNotFoundError):
        return SinkBusy(f"{place.parent.parent} is not there: make it, or mount what belongs there")
    return SinkBusy(f"{place} cannot be written: {what}")

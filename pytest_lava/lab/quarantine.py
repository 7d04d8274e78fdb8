"""Boards that no run is to use until a person has looked at them: one file each, which anybody can read and clear.

The files lie beside the locks, machine-wide: ``NAME.toml`` with ``board``, ``reason``, ``since`` (ISO 8601), ``run``
(folder) and ``user``. They go with a reboot of this machine, or when somebody removes them. An empty one is none: in
the shared folder nobody can remove the file of somebody else, but everybody can empty it.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pytest_lava.errors import InfrastructureError, first_line
from pytest_lava.events import EventLog
from pytest_lava.lab.locks import lock_folder
from pytest_lava.told_times import minute

__all__ = ["Quarantined", "find", "quarantine", "quarantine_folder", "quarantined", "release"]

_SHARED = 0o1777
_TOLD = 2000  # characters of a reason


@dataclass(frozen=True)
class Quarantined:
    """One board that is out: why, since when (ISO 8601 with the zone), in which run folder and by whom."""

    board: str
    reason: str
    since: str = ""
    run: str = ""
    user: str = ""

    def describe(self) -> str:
        """One sentence, as errors and lists show it."""
        when = ""
        with contextlib.suppress(ValueError):
            when = f" since {minute(datetime.fromisoformat(self.since))}"
        return f"in quarantine{when}: {first_line(self.reason)}"


def quarantine_folder(events: EventLog | None = None) -> Path:
    """Where the files are; made if need be."""
    folder = lock_folder(events) / "quarantine"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(_SHARED if folder.parent.stat().st_mode & 0o002 else 0o700)  # mkdir's mode goes through umask
    except OSError as error:
        raise InfrastructureError(f"there is no folder for quarantined boards: {folder}: {error.strerror}") from error
    return folder


def quarantine(board: str, reason: str, *, run: Path | None = None, folder: Path | None = None) -> Path:
    """Put ``board`` into quarantine; the newest reason counts. Returns the file. ``InfrastructureError``."""
    path = (folder or quarantine_folder()) / f"{board}.toml"
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    known = Quarantined(board, reason[:_TOLD], since, str(run or ""), _user())
    lines = [f"# No run uses this board until this file is removed: pytest-lava boards --release {board}"]
    lines += [f"{name} = {_quoted(value)}" for name, value in asdict(known).items()]
    data = "".join(f"{line}\n" for line in lines).encode(errors="replace")
    try:
        _write(path, data)
    except OSError as error:
        raise InfrastructureError(f"cannot put {board} into quarantine: {path}: {error.strerror}") from error
    return path


def quarantined(folder: Path | None = None) -> dict[str, Quarantined]:
    """All boards that are out, by name. A file that cannot be read keeps its board out, too."""
    found = (_read(path) for path in sorted((folder or quarantine_folder()).glob("[!.]*.toml")))
    return {one.board: one for one in found if one}


def find(board: str, folder: Path | None = None) -> Quarantined | None:
    """Why ``board`` is out, if it is."""
    return _read((folder or quarantine_folder()) / f"{board}.toml")


def release(board: str, folder: Path | None = None) -> bool:
    """Let runs use ``board`` again; whether it was out. ``InfrastructureError`` if its file cannot be changed."""
    path = (folder or quarantine_folder()) / f"{board}.toml"
    if _read(path) is None:
        return False
    try:
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:  # another user's in the sticky folder
        try:
            os.truncate(path, 0)
        except OSError as error:
            raise InfrastructureError(f"cannot release {board}: remove {path} ({error.strerror})") from error
    return True


def _read(path: Path) -> Quarantined | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Quarantined(path.stem, f"{path} cannot be read: {error.strerror}")
    if not data.strip():
        return None
    try:
        known = tomllib.loads(data.decode(errors="replace"))
    except tomllib.TOMLDecodeError as error:
        return Quarantined(path.stem, f"{path} is not TOML: {error}")
    told = {name: str(known.get(name, "")) for name in ("reason", "since", "run", "user")}
    return Quarantined(path.stem, **told)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and open to every user who has the folder; another user's empty file is used again."""
    fd, fresh = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o666)
            file.write(data)
        try:
            Path(fresh).replace(path)
        except PermissionError:
            with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_TRUNC), "wb") as file:  # noqa: PTH123
                file.write(data)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(fresh).unlink()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as containers have
        return f"uid {os.getuid()}"

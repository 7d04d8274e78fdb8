"""Locks on what a board is made of: serial device, power port, fastboot id; one file each, machine-wide.

The truth is ``flock``: the kernel frees it with its holder, however that dies. What the file says (pid, user, since,
board, run folder, command, as JSON) only serves the message to whoever waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import json
import os
import re
import shlex
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pytest_lava.arguments import without_secret
from pytest_lava.deadline import Deadline
from pytest_lava.errors import BoardBusy, ConfigurationError, InfrastructureError
from pytest_lava.events import EventLog
from pytest_lava.told_times import minute

__all__ = ["Holder", "ResourceLock", "acquire", "acquire_first", "canonical", "first_usable", "lock_folder"]

MACHINE_FOLDER = Path("/run/lock/pytest-lava")
_SHARED, _PRIVATE = 0o1777, 0o700
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
#: seconds that the guardian of a run that died has for switching off, and we patience: its board is as good as free
_LEAVING = 35.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; ``since`` is ISO 8601 with the zone; ``leaving``: its run died, the board is switched off."""

    pid: int = 0
    user: str = ""
    since: str = ""
    board: str = ""
    run: str = ""
    command: str = ""
    leaving: bool = False

    @classmethod
    def me(cls, board: str, run: Path | None) -> Holder:
        """This process, now."""
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(os.getpid(), _user(), since, board, str(run or ""), without_secret(shlex.join(sys.orig_argv))[:1000])

    def describe(self) -> str:
        """``alice (pid 123, since 10:31, /home/alice/lava-runs/...)``."""
        if not self.pid:
            return "somebody"
        parts = [f"pid {self.pid}"]
        with contextlib.suppress(ValueError):
            since = datetime.fromisoformat(self.since).astimezone()
            today = since.date() == datetime.now().astimezone().date()
            parts.append(f"since {since:%H:%M}" if today else f"since {minute(since)}")
        if self.run:
            parts.append(self.run)
        return f"{self.user} ({', '.join(parts)})"


class ResourceLock:
    """A held lock. Made by :func:`acquire`; freed by :meth:`release` or the end of this process, no child keeps it."""

    def __init__(self, resource: str, path: Path, fd: int) -> None:
        self.resource = resource
        self.path = path
        self._fd = fd
        # O_CLOEXEC covers exec; a child that is only forked would keep the lock beyond our death
        mine = weakref.WeakMethod(self._close)
        os.register_at_fork(after_in_child=lambda: (close := mine()) and close())

    def __repr__(self) -> str:
        return f"ResourceLock({self.resource!r}, {'held' if self._fd >= 0 else 'released'})"

    def release(self) -> None:
        """Free it and remove its file; harmless when released."""
        if self._fd < 0:
            return
        # Removed while still locked: whoever waits on this inode sees after locking that the name is gone.
        # The file of another user in the sticky folder cannot be removed; an empty one does no harm.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            self.path.unlink()
        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def acquire(
    resources: Sequence[str],
    *,
    board: str,
    deadline: Deadline,
    run: Path | None = None,
    folder: Path | None = None,
    events: EventLog | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> tuple[ResourceLock, ...]:
    """Take all ``resources`` of one board, or none. See :func:`acquire_first`."""
    _, locks = acquire_first(
        [{board: resources}], deadline=deadline, run=run, folder=folder, events=events, on_wait=on_wait
    )
    return locks[board]


def acquire_first(
    alternatives: Sequence[Mapping[str, Sequence[str]]],
    *,
    deadline: Deadline,
    run: Path | None = None,
    folder: Path | None = None,
    events: EventLog | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> tuple[int, dict[str, tuple[ResourceLock, ...]]]:
    """Take the first of ``alternatives`` (board name -> its resources) of which everything is free, or wait for one.

    Returns which alternative it was and its locks by board. At least one attempt is made, even after ``deadline``;
    then :class:`BoardBusy` says who holds the first alternative. A board whose run died and which is being switched
    off is waited for in any case (35 s at most). ``on_wait`` is told that sentence when waiting begins and when the
    holder changes; ``run`` is the run folder shown to others; ``folder`` defaults to
    :func:`lock_folder`. Two boards in one alternative that share a resource are a :class:`ConfigurationError`.
    """
    wanted = [_by_resource(alternative) for alternative in alternatives]
    where = folder if folder is not None else lock_folder(events)
    pause, told = _FIRST_PAUSE, ""
    patience: Deadline | None = None
    while True:
        busy, leaving = "", False
        for number, request in enumerate(wanted):
            locks, sentence, holder = _take_all(where, request, run)
            if not sentence:
                return number, {
                    board: tuple(lock for lock in locks if request[lock.resource] == board)
                    for board in alternatives[number]
                }
            busy = busy or sentence
            leaving = leaving or holder.leaving
        if leaving and patience is None:
            patience = Deadline.after(_LEAVING)
        limit = patience if leaving and patience and patience.at > deadline.at else deadline
        if limit.expired:
            raise BoardBusy(f"{busy}: wait with --board-wait or choose another board")
        if busy != told:
            told = busy
            if events:
                events.emit(f"waiting: {busy}")
            if on_wait:
                on_wait(busy)
        threading.Event().wait(min(pause, limit.remaining()))
        pause = min(pause * 2, _LONGEST_PAUSE)


def canonical(resource: str) -> str:
    """One name for one thing: a device path (also after ``serial:``) is resolved, so links to it lock the same."""
    kind, colon, value = resource.partition(":")
    if not colon:
        kind, value = ("serial", resource) if resource.startswith("/") else ("", resource)
    if value.startswith("/"):
        value = str(Path(value).resolve())
    return f"{kind}:{value}" if kind else value


def lock_folder(events: EventLog | None = None) -> Path:
    """Where the lock files are: ``/run/lock/pytest-lava``, shared by all users of this machine.

    ``PYTEST_LAVA_LOCKS`` names another folder. Where the shared one cannot be had, the user's own serves, and a
    warning event says that other users are not kept out.
    """
    if named := os.environ.get("PYTEST_LAVA_LOCKS"):
        folder = Path(named)
        if problem := _prepare(folder, _SHARED):
            raise ConfigurationError(f"PYTEST_LAVA_LOCKS={named} cannot hold lock files ({problem}): name another one")
        return folder
    own = []
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        own.append(Path(runtime) / "pytest-lava")
    own.append(Path(tempfile.gettempdir()) / f"pytest-lava-{os.getuid()}")
    return first_usable(MACHINE_FOLDER, own, events)


def first_usable(shared: Path, private: Sequence[Path], events: EventLog | None = None) -> Path:
    """``shared`` if lock files can be made there, else the first such folder of ``private``, with a warning."""
    problem = _prepare(shared, _SHARED)
    if not problem:
        return shared
    for folder in private:
        if not _prepare(folder, _PRIVATE):
            if events:
                events.emit(
                    f"boards are locked only against your own runs: {shared} cannot be used ({problem})",
                    level="warning",
                    folder=str(folder),
                )
            return folder
    raise InfrastructureError(f"there is no folder for lock files: {shared} cannot be used ({problem})")


def _prepare(folder: Path, mode: int) -> str:
    """Make the folder if need be; what is wrong with it, or nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(mode)  # mkdir's own mode goes through the umask
        found = folder.lstat()
    except OSError as error:
        return error.strerror or str(error)
    if folder.is_symlink() or not folder.is_dir():
        return "not a folder"
    if mode == _PRIVATE and found.st_uid != os.getuid():
        return "it belongs to another user"
    return "" if os.access(folder, os.W_OK | os.X_OK) else "not writable for you"


def _by_resource(wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Resource -> board, in the order of locking: the same for everybody, so nobody waits in a circle."""
    owner: dict[str, str] = {}
    for board, resources in wanted.items():
        for resource in map(canonical, resources):
            if owner.setdefault(resource, board) != board:
                raise ConfigurationError(f"boards {owner[resource]} and {board} share {resource}: use one of them")
    return dict(sorted(owner.items()))


def _take_all(folder: Path, request: Mapping[str, str], run: Path | None) -> tuple[list[ResourceLock], str, Holder]:
    """Try once: all locks, or none and who is in the way, as a sentence too."""
    locks: list[ResourceLock] = []
    for resource, board in request.items():
        taken = _try(folder, resource, Holder.me(board, run))
        if isinstance(taken, Holder):
            for lock in locks:
                lock.release()
            return [], f"board {board} is used by {taken.describe()}", taken
        locks.append(taken)
    return locks, "", Holder()


def _try(folder: Path, resource: str, holder: Holder) -> ResourceLock | Holder:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "_", resource).strip("_")[:80]
    path = folder / f"{slug}-{hashlib.sha256(resource.encode()).hexdigest()[:8]}.lock"
    while True:
        fd = _open(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                return _read(fd)
            finally:
                os.close(fd)
        if _is_named(fd, path):
            content = json.dumps(asdict(holder), ensure_ascii=False).encode() + b"\n"
            os.pwrite(fd, content, 0)
            os.ftruncate(fd, len(content))
            return ResourceLock(resource, path, fd)
        os.close(fd)  # its last holder removed the file between our open and our lock


def _open(path: Path) -> int:
    """Open or make a lock file that every user may lock.

    Without O_CREAT first: ``fs.protected_regular`` refuses O_CREAT on another's file in a sticky folder. A new file
    gets its mode before its name, as the umask would keep other users out.
    """
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise InfrastructureError(f"cannot open the lock file {path} ({error.strerror}): remove it") from error
        try:
            fd, fresh = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        except OSError as error:
            raise InfrastructureError(f"cannot make a lock file in {path.parent} ({error.strerror})") from error
        os.fchmod(fd, 0o666)
        try:
            os.link(fresh, path)
        except FileExistsError:
            os.close(fd)
        except OSError as error:
            os.close(fd)
            raise InfrastructureError(f"cannot make the lock file {path} ({error.strerror})") from error
        else:
            return fd
        finally:
            os.unlink(fresh)  # noqa: PTH108


def _is_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _read(fd: int) -> Holder:
    """What the holder wrote; nothing known of it while it is writing."""
    try:
        content = json.loads(os.pread(fd, 65536, 0))
        return Holder(**{key: content[key] for key in Holder.__dataclass_fields__ if key in content})
    except (ValueError, TypeError, OSError):
        return Holder()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as containers have
        return f"uid {os.getuid()}"

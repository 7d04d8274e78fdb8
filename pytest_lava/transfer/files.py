"""Files to and from a board over its serial line: ``put``, ``get`` and their short forms for bytes.

Mode and time of change are kept and a sum of the whole is checked at the end. A file appears under its name only when
it is complete; what a cut leaves of it is gone on with, and what is there already is not sent. Sizes in bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO

from pytest_lava.console import compression
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.checksum import cksum, md5
from pytest_lava.console.console import Console
from pytest_lava.console.fileside import BoardSide, quote
from pytest_lava.transfer.pace import GRAIN
from pytest_lava.console.transfer import Progress
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, InfrastructureError, OperationFailed

__all__ = ["SerialFiles"]

_SLOWEST = 300  # bytes a second: 4800 baud with errors, or 9600 in base64
_PATIENCE = 120.0  # seconds for all that is not a block: sums and compression on the board
_TRIES = 3
#: what the board makes files smaller with, best first; levels that a board has the memory for
_LEVELS = {"bzip2": "-9", "xz": "-3", "zstd": "-9", "gzip": "-9"}


@dataclass(frozen=True)
class _Parcel:
    """What is put: ``mode`` in octal or ``-``, ``changed`` in seconds since 1970."""

    data: bytes
    remote: str
    name: str
    mode: str
    changed: int | None
    report: Progress

    @property
    def times(self) -> str:
        """For ``touch -d @`` and, where that is not known, ``touch -t``."""
        return "- -" if self.changed is None else f"{self.changed} {_utc(self.changed)}"


@dataclass(frozen=True)
class _Offer:
    """What the board has to give: contents of ``size`` with ``sum``, on the line as ``wire`` bytes of ``method``."""

    same: bool
    size: int
    sum: str
    method: str
    wire: int
    mode: int | None
    changed: int | None


class SerialFiles:
    """File transfer of one shell. A ``timeout`` of ``None`` allows what a slow line takes.

    ``OperationFailed`` says what is wrong with a file or folder here or there; the shell is usable after it, as after
    ``Timeout``. ``ConsoleLost`` if the line is cut: the same call, later, goes on where it was. ``progress`` is called
    with the bytes of the file that are through and with its size.
    """

    def __init__(self, shell: AgentShell, console: Console) -> None:
        self._console = console
        self._board = BoardSide(shell, console)

    def put(
        self,
        local: str | os.PathLike[str],
        remote: str,
        *,
        mode: int | None = None,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> None:
        """Bring a file to the board; ``remote`` may be a folder. ``mode`` instead of the file's own."""
        path = Path(local)
        try:
            with path.open("rb") as file:
                about = os.fstat(file.fileno())
                data = file.read()
        except OSError as error:
            raise OperationFailed(f"cannot read {path}: {error.strerror}") from error
        permissions = f"{stat.S_IMODE(about.st_mode) if mode is None else mode:o}"
        report = _scaled(progress, len(data))
        self._put(_Parcel(data, remote, path.name, permissions, int(about.st_mtime), report), timeout)

    def write_bytes(self, remote: str, data: bytes, *, mode: int | None = None, timeout: float | None = None) -> None:
        """Make a file on the board, or replace its contents (and keep its mode)."""
        permissions = "-" if mode is None else f"{mode:o}"
        self._put(_Parcel(data, remote, "", permissions, None, _scaled(None, len(data))), timeout)

    def get(
        self,
        remote: str,
        local: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Path:
        """Bring a file from the board; ``local`` may be a folder. Returns where it is."""
        _usable(remote)
        path = Path(local)
        path = (path / remote.rsplit("/", 1)[-1] if path.is_dir() else path).resolve()
        try:
            self._get(remote, path, progress, timeout)
        except OSError as error:
            raise OperationFailed(f"cannot write {path}: {error.strerror}") from error
        return path

    def read_bytes(self, remote: str, *, timeout: float | None = None) -> bytes:
        """Contents of a file on the board."""
        _usable(remote)
        deadline = Deadline.after(_PATIENCE if timeout is None else timeout)
        self._console.mark(f"read {remote}")
        offer = self._offer(remote, 0, "-", deadline)
        deadline = deadline if timeout is not None else _enough(offer.wire)
        packed, data = BytesIO(), BytesIO()
        if offer.wire:
            self._board.blocks(deadline).get(offer.wire, packed.write, 0, _scaled(None, 0))
        packed.seek(0)
        compression.unpack(offer.method, packed, data.write)
        self._check(remote, offer, data.getvalue(), deadline)
        return data.getvalue()

    # -- to the board -------------------------------------------------------------------------------------------

    def _put(self, parcel: _Parcel, timeout: float | None) -> None:
        _usable(parcel.remote)
        size = len(parcel.data)
        deadline = _enough(size) if timeout is None else Deadline.after(timeout)
        self._console.mark(f"put {size} bytes to {parcel.remote}")
        undoes = self._board.facts(deadline).undoes
        for _ in range(_TRIES):
            failed = self._put_once(parcel, undoes, deadline)
            if not failed:
                parcel.report(1, 1)
                return
            if failed == "unpack":  # a board that cannot undo what it says it can gets the plain file
                undoes = ()
        raise ConsoleLost(f"{parcel.remote} differed on the board {_TRIES} times: is its memory good?")

    def _put_once(self, parcel: _Parcel, undoes: tuple[str, ...], deadline: Deadline) -> str | None:
        """What was wrong in the end, if anything."""
        board, data, remote = self._board, parcel.data, parcel.remote
        total = _sum(board.facts(deadline).sums, data)
        method, packed = compression.pack(data, undoes, board.line.out.rate)
        key = f"{hashlib.sha256(data).hexdigest()[:16]}-{method}"
        names = f"{quote(remote)} {quote(parcel.name)} {key}"
        about = f"{total} {parcel.mode} {parcel.times}"
        begun = board.ask(f"__xbegin_put {names} {len(data)} {about}", remote, deadline, len(data))
        if begun[0] == "same":
            return None
        begin, free = int(begun[1]), begun[3]
        if begin and (begin > len(packed) or begun[2] not in {"-", board.sum(packed[:begin])}):
            board.ask(': >"$__f.p"; echo lava-ok', remote, deadline)  # a power cut spoiled it
            begin = 0
        needed = len(packed) - begin + (len(data) if method != "none" else 0)
        if free.isdigit() and needed > (int(free) << 10):
            board.ask('rm -f "$(readlink "$__f.p")"; echo lava-ok', remote, deadline)
            raise OperationFailed(
                f"no space on the board for {remote}: it takes {needed} bytes, {int(free) << 10} are free"
            )
        if begin < len(packed):
            board.blocks(deadline).put(packed, begin, parcel.report)
        ended = board.ask(f"__xend_put {names} {method} {about}", remote, deadline, 2 * len(data))
        return None if ended[0] == "done" else ended[0]

    # -- from the board -----------------------------------------------------------------------------------------

    def _get(self, remote: str, path: Path, progress: Progress | None, timeout: float | None) -> None:
        if not path.parent.is_dir():
            raise OperationFailed(f"cannot get {remote}: there is no folder {path.parent} here")
        if path.exists() and not path.is_file():
            raise OperationFailed(f"cannot write {path}: it is no regular file")
        deadline = Deadline.after(_PATIENCE if timeout is None else timeout)
        self._console.mark(f"get {remote}")
        there = (0, "-")
        if path.is_file():
            known = path.read_bytes()
            there = (len(known), _sum(self._board.facts(deadline).sums, known))
        offer = self._offer(remote, *there, deadline)
        report = _scaled(progress, offer.size)
        if not offer.same:
            self._fetch(remote, offer, path, report, deadline if timeout is not None else _enough(offer.wire))
        if offer.mode is not None:
            path.chmod(offer.mode)
        if offer.changed is not None:
            os.utime(path, (offer.changed, offer.changed))
        report(1, 1)

    def _fetch(self, remote: str, offer: _Offer, path: Path, report: Progress, deadline: Deadline) -> None:
        key = f"{offer.sum[:16]}-{offer.method}-{offer.wire}"
        part, new = path.with_name(f".lava-{key}.part"), path.with_name(f".lava-{key}.new")
        with part.open("ab") as file:
            size = file.tell()
            if offer.sum == "-" or size > offer.wire:
                size = 0
            begin = size if size == offer.wire else size // GRAIN * GRAIN
            file.truncate(begin)
            if begin < offer.wire:
                self._board.blocks(deadline).get(offer.wire, _at_once(file), begin, report)
        try:
            with part.open("rb") as packed, new.open("wb") as whole:
                compression.unpack(offer.method, packed, whole.write)
            self._check(remote, offer, new.read_bytes(), deadline)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
            part.unlink(missing_ok=True)

    def _offer(self, remote: str, size: int, total: str, deadline: Deadline) -> _Offer:
        facts, here = self._board.facts(deadline), compression.known_here()
        method = next((name for name in _LEVELS if name in facts.makes and name in here), "-")
        command = f"__xbegin_get {quote(remote)} {size} {total} {method} {_LEVELS.get(method, '-')}"
        kind, found, its, used, wire, *about = self._board.ask(command, remote, deadline, None)
        mode = _mode(about[0]) if about else None
        changed = int(about[1]) if len(about) > 1 and about[1].isdigit() else None
        return _Offer(kind == "same", int(found), its, used, int(wire), mode, changed)

    def _check(self, remote: str, offer: _Offer, data: bytes, deadline: Deadline) -> None:
        sums = self._board.facts(deadline).sums
        if len(data) != offer.size or (offer.sum != "-" and _sum(sums, data) != offer.sum):
            raise InfrastructureError(f"{remote} is not what the board's sum says: did it change while it was read?")


def _enough(size: int) -> Deadline:
    return Deadline.after(_PATIENCE + size / _SLOWEST)


def _usable(remote: str) -> None:
    if "\0" in remote or not remote:
        raise ValueError("a file name on the board cannot be empty or hold a NUL character")


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M.%S")


def _sum(program: str, data: bytes) -> str:
    match program:
        case "sha256sum":
            return hashlib.sha256(data).hexdigest()
        case "md5sum":
            return md5([data])
        case "cksum":
            return str(cksum([data]))
    return "-"


def _scaled(progress: Progress | None, size: int) -> Progress:
    """Bytes of the file instead of bytes on the line, which may be fewer."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(size * done // total, size)

    return report


def _at_once(file: IO[bytes]) -> Callable[[bytes], object]:
    """Blocks that came are kept even if we are killed."""

    def write(data: bytes) -> None:
        file.write(data)
        file.flush()

    return write


def _mode(text: str) -> int | None:
    """Permissions from ``644`` or ``-rw-r--r--``."""
    if text.isdigit():
        return int(text, 8)
    if len(text) != 10:
        return None
    bits = 0
    for letter in text[1:]:
        bits = bits << 1 | (letter not in "-ST")
    for at, letters, bit in ((3, "sS", 0o4000), (6, "sS", 0o2000), (9, "tT", 0o1000)):
        bits |= bit if text[at] in letters else 0
    return bits

"""Whole files to and from a board: ``put``, ``get`` and their short forms for bytes, whatever way their contents go.

Mode and time of change are kept and a sum of the whole is checked at the end. A file appears under its name only when
it is complete; what a cut leaves of it is gone on with, and what is there already is not sent. Sizes in bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from pytest_lava.console.console import Console
from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, OperationFailed
from pytest_lava.transfer.api import Announce, Carrier, Contents
from pytest_lava.transfer.boardside import BoardSide, quote
from pytest_lava.transfer.compression import packed
from pytest_lava.transfer.fetch import Fetch
from pytest_lava.transfer.names import clock_text, usable
from pytest_lava.transfer.sums import file_sum
from pytest_lava.transfer.ways import Ways

__all__ = ["FileTransfer"]

_SLOWEST = 300  # bytes a second: 4800 baud with errors, or 9600 in base64
_PATIENCE = 120.0  # seconds for all of a put that is not a block: sums and unpacking on the board
_PREPARE = 600.0  # seconds for what comes before a get: nobody knows yet how large the file is
_TRIES = 3
_ASK_FIRST = 1 << 20  # bytes from which compressing takes so long that the board is first asked what it has


@dataclass(frozen=True)
class _Parcel:
    """What is put: ``mode`` in octal or ``-``, ``changed`` in seconds since 1970, sums of the contents."""

    contents: Contents
    remote: str
    name: str
    mode: str
    changed: int | None
    report: Progress
    sha256: str = ""
    total: str = ""

    @property
    def names(self) -> str:
        """For the scripts of the board."""
        return f"{quote(self.remote)} {quote(self.name)}"

    @property
    def key(self) -> str:
        """Of what is begun: contents and name, as files of one folder may be equal and come at the same time."""
        return hashlib.sha256("\0".join((self.sha256, self.remote, self.name)).encode(errors="replace")).hexdigest()[
            :16
        ]

    @property
    def about(self) -> str:
        """Sum, mode and times, for ``touch -d @`` and, where that is not known, ``touch -t``."""
        times = "- -" if self.changed is None else f"{self.changed} {clock_text(self.changed)}"
        return f"{self.total} {self.mode} {times}"


class FileTransfer:
    """The files of one shell; see :class:`pytest_lava.console.files.Files`."""

    def __init__(self, board: BoardSide, ways: Ways, console: Console, announce: Announce | None = None) -> None:
        self._board = board
        self._ways = ways
        self._console = console
        self._announce = announce

    def put(
        self,
        local: str | os.PathLike[str],
        remote: str,
        *,
        mode: int | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """See :meth:`pytest_lava.console.files.Files.put`."""
        usable(remote, mode)
        path = Path(local)
        try:
            with _opened(path) as (contents, about):
                permissions = f"{stat.S_IMODE(about.st_mode) if mode is None else mode:o}"
                report = self._scaled(f"put {path.name}", contents.size, progress)
                self._put(_Parcel(contents, remote, path.name, permissions, int(about.st_mtime), report), timeout)
        except OSError as error:
            raise OperationFailed(f"cannot read {path}: {error.strerror}") from None

    def write_bytes(self, remote: str, data: bytes, *, mode: int | None = None, timeout: float | None = None) -> None:
        """See :meth:`pytest_lava.console.files.Files.write_bytes`."""
        usable(remote, mode)
        contents, permissions = Contents(BytesIO(data), len(data)), "-" if mode is None else f"{mode:o}"
        report = self._scaled(f"write {remote}", len(data), None)
        self._put(_Parcel(contents, remote, "", permissions, None, report), timeout)

    def get(
        self,
        remote: str,
        local: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """See :meth:`pytest_lava.console.files.Files.get`."""
        usable(remote)
        path = Path(local)
        path = (path / remote.rstrip("/").rsplit("/", 1)[-1] if path.is_dir() else path).resolve()
        if not path.parent.is_dir():
            raise OperationFailed(f"cannot get {remote}: there is no folder {path.parent} here")
        if path.exists() and not path.is_file() and not remote.endswith("/"):
            raise OperationFailed(f"cannot write {path}: it is no regular file")
        try:
            with self._fetching(remote, timeout) as fetch:
                fetch.to_file(path, progress)
        except OSError as error:
            raise OperationFailed(f"cannot write {path}: {error.strerror}") from None
        return path

    def read_bytes(self, remote: str, *, timeout: float | None = None) -> bytes:
        """See :meth:`pytest_lava.console.files.Files.read_bytes`."""
        usable(remote)
        with self._fetching(remote, timeout) as fetch:
            return fetch.to_memory()

    # -- inside -------------------------------------------------------------------------------------------------

    @contextmanager
    def _fetching(self, remote: str, timeout: float | None) -> Iterator[Fetch]:
        deadline = Deadline.after(_PREPARE if timeout is None else timeout)
        self._console.mark(f"get {remote}")
        with self._console.typed.aside():
            self._ways.prepare(deadline)
            yield Fetch(
                self._board,
                self._ways,
                remote,
                deadline,
                enough=_enough if timeout is None else lambda size: deadline,
                scaled=lambda size, progress: self._scaled(f"get {remote.rsplit('/', 1)[-1]}", size, progress),
            )

    def _put(self, parcel: _Parcel, timeout: float | None) -> None:
        contents = parcel.contents
        deadline = _enough(contents.size) if timeout is None else Deadline.after(timeout)
        self._console.mark(f"put {contents.size} bytes to {parcel.remote}")
        with self._console.typed.aside():
            self._put_parcel(parcel, deadline)

    def _put_parcel(self, parcel: _Parcel, deadline: Deadline) -> None:
        contents = parcel.contents
        self._ways.prepare(deadline)
        sha256, program = file_sum("sha256sum", contents.chunks(deadline)), self._board.facts(deadline).sums
        total = sha256 if program == "sha256sum" else file_sum(program, contents.chunks(deadline))
        whole = replace(parcel, sha256=sha256, total=total)
        if contents.size < _ASK_FIRST or not self._is_there(whole, deadline):
            self._ways.carry("put", lambda carrier: self._put_by(carrier, whole, deadline), contents.size, deadline)
        parcel.report(1, 1)

    def _is_there(self, parcel: _Parcel, deadline: Deadline) -> bool:
        command = f"__xbegin_put {parcel.names} - {parcel.contents.size} {parcel.about}"
        return self._board.ask(command, parcel.remote, deadline, parcel.contents.size)[0] == "same"

    def _put_by(self, carrier: Carrier, parcel: _Parcel, deadline: Deadline) -> None:
        undoes = self._board.facts(deadline).undoes
        for _ in range(_TRIES):
            with packed(parcel.contents, undoes, carrier.rate, deadline) as (method, contents):
                failed = self._put_once(carrier, parcel, method, contents, deadline)
            if not failed:
                return
            if failed == "unpack":  # a board that cannot undo what it says it can gets the plain file
                undoes = ()
        raise ConsoleLost(f"{parcel.remote} differed on the board {_TRIES} times: is its memory good?")

    def _put_once(
        self, carrier: Carrier, parcel: _Parcel, method: str, contents: Contents, deadline: Deadline
    ) -> str | None:
        """What was wrong in the end, if anything."""
        board, remote, size = self._board, parcel.remote, parcel.contents.size
        names = f"{parcel.names} {parcel.key}-{method}"
        begun = board.ask(f"__xbegin_put {names} {size} {parcel.about}", remote, deadline, size)
        if begun[0] == "same":
            return None
        begin, free = int(begun[1]), begun[3]
        if begin and (
            begin > contents.size or begun[2] not in {"-", board.sum(contents.chunks(deadline, begin), deadline)}
        ):
            board.ask(': >"$__f.p"; echo lava-ok', remote, deadline)  # a power cut spoiled it
            begin = 0
        needed = contents.size - begin + (size if method != "none" else 0)
        try:
            if free.isdigit() and needed > (int(free) << 10):
                raise OperationFailed(
                    f"no space on the board for {remote}: it takes {needed} bytes, {int(free) << 10} are free"
                )
            if begin < contents.size:
                carrier.put(contents, begin, parcel.report, deadline)
        except OperationFailed:
            board.ask(f"__xdrop {names}", remote, deadline)
            raise
        ended = board.ask(f"__xend_put {names} {method} {parcel.about}", remote, deadline, 2 * size)
        return None if ended[0] == "done" else ended[0]

    def _scaled(self, what: str, size: int, progress: Progress | None) -> Progress:
        """Bytes of the file instead of bytes on the line, which may be fewer."""
        told = [one for one in (progress, self._announce(what, size) if self._announce else None) if one is not None]

        def report(done: int, total: int) -> None:
            for one in told:
                one(size * done // total, size)

        return report


def _enough(size: int) -> Deadline:
    return Deadline.after(_PATIENCE + size / _SLOWEST)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Contents, os.stat_result]]:
    """A file of this machine. Those of ``/proc`` have no size before they are read."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise OperationFailed(f"cannot read {path}: it is no regular file")
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        if about.st_size:
            yield Contents(file, about.st_size), about
        else:
            data = file.read()
            yield Contents(BytesIO(data), len(data)), about

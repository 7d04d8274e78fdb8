"""One file from a board: what it offers, what is here already of it, and its contents, checked before they count."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from pytest_lava.console.files import Progress
from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError, OperationFailed, Timeout
from pytest_lava.transfer import compression
from pytest_lava.transfer.api import Carrier, Contents
from pytest_lava.transfer.boardside import BoardSide, quote
from pytest_lava.transfer.names import mode_of
from pytest_lava.transfer.pace import GRAIN
from pytest_lava.transfer.sums import file_sum
from pytest_lava.transfer.ways import Ways

__all__ = ["Fetch"]

#: what the board makes files smaller with, best first; levels that a board has the memory for
_LEVELS = {"bzip2": "-9", "xz": "-3", "zstd": "-9", "gzip": "-9"}


@dataclass(frozen=True)
class _Offer:
    """What the board has to give: contents of ``size`` with ``sum``, on the line as ``wire`` bytes of ``method``.

    ``plain`` if it was not asked to compress them.
    """

    same: bool
    size: int
    sum: str
    method: str
    wire: int
    mode: int | None
    changed: int | None
    plain: bool


@dataclass(frozen=True)
class Fetch:
    """The file ``remote``. ``deadline`` is for what comes before its contents, ``enough`` tells theirs by their size.

    ``scaled`` makes what is told of the progress on the line, given the file's size and whom the user wants told.
    """

    board: BoardSide
    ways: Ways
    remote: str
    deadline: Deadline
    enough: Callable[[int], Deadline]
    scaled: Callable[[int, Progress | None], Progress]

    def to_memory(self) -> bytes:
        """The contents."""
        offer = self._offer(0, "-")
        deadline, report = self.enough(offer.wire), self.scaled(offer.size, None)
        whole: list[bytes] = []

        def act(carrier: Carrier, offer: _Offer) -> None:
            wire, data = BytesIO(), BytesIO()
            if offer.wire:
                carrier.get(offer.wire, wire.write, 0, report, deadline)
            wire.seek(0)
            compression.unpack(offer.method, wire, data.write)
            self._check(offer, Contents(data, data.tell()), deadline)
            whole[:] = [data.getvalue()]

        self._carry(offer, act, deadline)
        report(1, 1)
        return whole[0]

    def to_file(self, path: Path, progress: Progress | None) -> None:
        """The contents, mode and time of change."""
        size, total = 0, "-"
        if path.is_file():
            with path.open("rb") as file:
                known = Contents(file, file.seek(0, os.SEEK_END))
                size, total = known.size, file_sum(self.board.facts(self.deadline).sums, known.chunks(self.deadline))
        offer = self._offer(size, total)
        report = self.scaled(offer.size, progress)
        if offer.same:
            _dress(path, offer)
        else:
            deadline = self.enough(offer.wire)
            self._carry(
                offer, lambda carrier, offer: self._to_file_by(carrier, offer, path, report, deadline), deadline
            )
        report(1, 1)

    # -- inside -------------------------------------------------------------------------------------------------

    def _to_file_by(self, carrier: Carrier, offer: _Offer, path: Path, report: Progress, deadline: Deadline) -> None:
        # equal files may come into one folder at the same time, under other names
        begun = hashlib.sha256(f"{offer.sum} {path.name}".encode(errors="replace")).hexdigest()[:16]
        key = f"{begun}-{offer.method}-{offer.wire}"
        part, new = path.with_name(f".lava-{key}.part"), path.with_name(f".lava-{key}.new")
        for other in path.parent.glob(f".lava-{begun}-*.part"):
            if other != part:
                other.unlink(missing_ok=True)
        keep = False
        try:
            with part.open("ab") as file:
                begin = _usable_part(file, offer)
                try:
                    if begin < offer.wire:
                        carrier.get(offer.wire, _at_once(file), begin, report, deadline)
                except (InfrastructureError, Timeout, KeyboardInterrupt):
                    keep = True  # to go on with
                    raise
            with part.open("rb") as packed, new.open("wb+") as whole:
                compression.unpack(offer.method, packed, whole.write)
                self._check(offer, Contents(whole, whole.tell()), deadline)
            _dress(new, offer)
            new.replace(path)
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)
                if not keep:
                    part.unlink(missing_ok=True)

    def _offer(self, size: int, total: str) -> _Offer:
        """Ask the board; what is here is ``size`` bytes with the sum ``total``."""
        facts, here, plain_from = self.board.facts(self.deadline), compression.known_here(), self.ways.plain_from
        method = next((name for name in _LEVELS if name in facts.makes and name in here), "-")
        limit = "-" if plain_from is None else plain_from
        command = f"__xbegin_get {quote(self.remote)} {size} {total} {method} {_LEVELS.get(method, '-')} {limit}"
        kind, found, its, used, wire, *about = self.board.ask(command, self.remote, self.deadline, None)
        mode = mode_of(about[0]) if about else None
        changed = int(about[1]) if len(about) > 1 and about[1].isdigit() else None
        plain = plain_from is not None and int(found) >= plain_from
        return _Offer(kind == "same", int(found), its, used, int(wire), mode, changed, plain)

    def _carry(self, first: _Offer, act: Callable[[Carrier, _Offer], None], deadline: Deadline) -> None:
        """Let carriers act on what the board offers: on ``first``, or a new offer after one that failed."""
        tried = False

        def move(carrier: Carrier) -> None:
            nonlocal tried
            # one that failed took away what the board had prepared; and what a network need not compress, a line must
            anew = tried or (first.plain and compression.keeps_up(carrier.rate))
            tried = True
            act(carrier, self._offer(0, "-") if anew else first)

        self.ways.carry("get", move, first.size, deadline)

    def _check(self, offer: _Offer, contents: Contents, deadline: Deadline) -> None:
        total = file_sum(self.board.facts(deadline).sums, contents.chunks(deadline)) if offer.sum != "-" else "-"
        if contents.size != offer.size or total != offer.sum:
            raise OperationFailed(f"{self.remote} is not what the board's sum says: did it change while it was read?")


def _usable_part(file: IO[bytes], offer: _Offer) -> int:
    """How much of what an earlier call has left can be gone on with; the rest is cut off."""
    size = file.tell()
    if offer.sum == "-" or size > offer.wire:
        size = 0
    begin = size if size == offer.wire else size // GRAIN * GRAIN
    file.truncate(begin)
    return begin


def _dress(path: Path, offer: _Offer) -> None:
    if offer.mode is not None:
        path.chmod(offer.mode)
    if offer.changed is not None:
        os.utime(path, (offer.changed, offer.changed))


def _at_once(file: IO[bytes]) -> Callable[[bytes], object]:
    """Blocks that came are kept even if we are killed."""

    def write(data: bytes) -> None:
        file.write(data)
        file.flush()

    return write

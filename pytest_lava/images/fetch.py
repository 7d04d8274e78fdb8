"""From what a user named to a file on this machine: fetched once, checked, unpacked, and kept by what it holds.

One pass: while bytes come they are summed, unpacked and written, with holes. A second time the server is only asked
whether it has another one, and not even that where a checksum was given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lava.arguments import without_secret
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConfigurationError, DiskFull, FetchFailed, InfrastructureError
from pytest_lava.events import utc_now
from pytest_lava.images.artefact import Artefact, Checksum
from pytest_lava.images.cache import FULL, disk_full, locked, replace_file
from pytest_lava.images.contents import Stream, contents, is_tar, is_zip, plain, zip_contents
from pytest_lava.images.memo import remembered, sha256_of
from pytest_lava.images.pump import Pump
from pytest_lava.images.shelf import MUCH, MakesRoom
from pytest_lava.images.store import Store
from pytest_lava.images.tries import FailedTry, TellFailedTry
from pytest_lava.images.unpack import Damaged, packing_of

if TYPE_CHECKING:
    from pytest_lava.images.wire import Validators, Wire

__all__ = ["Announce", "Fetched", "Fetcher"]

_TRIES = 3  # whole downloads, where nobody says how many
_HEAD = 512  # bytes that tell what a file is
_PIECE = 1 << 20

#: is told what is worth telling: that something is fetched, that it failed and is tried again
Report = Callable[[str], None]

#: is told what is about to come and how many bytes; whom it gives, if anybody, is told how many of them are there
Announce = Callable[[str, int], Callable[[int, int], None] | None]


@dataclass(frozen=True)
class Fetched:
    """A file on this machine. ``sha256`` is that of what was named (packed, if it was), ``received`` what came of it
    over the network now, in bytes."""

    artefact: Artefact
    path: Path
    sha256: str
    received: int = 0


@dataclass(frozen=True)
class _Known:
    """What a URL gave the last time."""

    url: str
    sha256: str
    validators: Validators
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Job:
    """One download: ``record`` is where it is remembered, ``kept`` what the last one gave, if it may still hold."""

    artefact: Artefact
    record: Path
    unpack: bool
    checksum: Checksum | None = None
    kept: tuple[_Known, Path] | None = None


class Fetcher:
    """Fetches into one store. ``offline`` forbids the network: then only what is there already is given."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        offline: bool = False,
        report: Report = lambda line: None,
        failed: TellFailedTry = lambda one: None,
        tries: int = _TRIES,
        room: MakesRoom | None = None,
        announce: Announce = lambda what, size: None,
    ) -> None:
        self._cache, self._folder, self._store = folder, folder / "urls", store
        self._offline, self._report, self._failed, self._tries = offline, report, failed, tries
        self._room, self._announce = room, announce

    def fetch(self, artefact: Artefact, *, unpack: bool, deadline: Deadline) -> Fetched:
        """One file; with ``unpack`` what is in it, where it is packed or an archive. A member of an archive is as it
        is there, without ``unpack``.

        ``ConfigurationError`` if a local file is missing or the network is needed and forbidden, ``FetchFailed`` if it
        is not what it should be, ``NetworkError``, and ``InfrastructureError`` if the cache cannot be written.
        """
        try:
            return self._found(artefact, unpack, deadline)
        except DiskFull:
            if self._room is None or not self._room.free(MUCH):
                raise
            self._report(f"the disk is full: what was not used for longest went for {artefact.name}")
            return self._found(artefact, unpack, deadline)

    def _found(self, artefact: Artefact, unpack: bool, deadline: Deadline) -> Fetched:
        try:
            if artefact.path is not None:
                return self._local(artefact, artefact.path, unpack, deadline)
            name = hashlib.sha256(artefact.url.encode()).hexdigest()[:40]
            with locked(self._folder / name, deadline=deadline):
                return self._remote(artefact, self._folder / name, unpack, deadline)
        except Damaged as error:
            raise FetchFailed(f"{artefact}: {error}") from error
        except OSError as error:
            if error.errno in FULL:
                raise disk_full(artefact.name, self._cache, error) from error
            why = f"cannot keep {artefact.name} in the cache: {error.strerror}: see to the cache folder"
            raise InfrastructureError(why) from error

    # -- what is here already -----------------------------------------------------------------------------------

    def _local(self, artefact: Artefact, path: Path, unpack: bool, deadline: Deadline) -> Fetched:
        if path.is_dir():
            raise ConfigurationError(f"{artefact}: this is a folder, not a file")
        if not path.is_file():
            why = "this is no regular file" if path.exists() else "there is no such file"
            raise ConfigurationError(f"{artefact}: {why}")
        own = sha256_of(path, self._cache)
        checksum = self._expected(artefact, deadline)
        if checksum is not None:
            _check(artefact, checksum, own if checksum.algorithm == "sha256" else self._sum(path, checksum.algorithm))
        with path.open("rb") as file:
            if not _holds_more(file.read(_HEAD), artefact, unpack):
                return Fetched(artefact, path, own)
        key = _key(own, artefact, unpack)
        found = self._store.get(key) or self._store.add(artefact.name, _inside(path, artefact, unpack), lambda: key)
        return Fetched(artefact, found, own)

    def _sum(self, path: Path, algorithm: str) -> str:
        def find_out(path: Path) -> str:
            with path.open("rb") as file:
                return hashlib.file_digest(file, algorithm).hexdigest()

        return str(remembered(path, algorithm, find_out, self._cache))

    # -- what is not --------------------------------------------------------------------------------------------

    def _remote(self, artefact: Artefact, record: Path, unpack: bool, deadline: Deadline) -> Fetched:
        known = _load(record)
        checksum = None if self._offline and artefact.sums else self._expected(artefact, deadline)
        own = _promised(checksum, known)
        if own and (found := self._kept(artefact, own, unpack)):
            return Fetched(artefact, found, own)
        job = _Job(artefact, record, unpack, checksum)
        if known is not None and checksum is None and (found := self._kept(artefact, known.sha256, unpack)):
            if self._offline:
                return Fetched(artefact, found, known.sha256)
            job = replace(job, kept=(known, found))
        if self._offline:
            raise ConfigurationError(f"{artefact} is not in the cache: fetch it once without --offline")
        return self._download(job, deadline)

    def _kept(self, artefact: Artefact, own: str, unpack: bool) -> Path | None:
        """It, or what can be made of it, from the store."""
        key = _key(own, artefact, unpack)
        if (unpack or artefact.member) and (found := self._store.get(key)):
            return found
        if whole := self._store.get(own):
            with whole.open("rb") as file:
                if not _holds_more(file.read(_HEAD), artefact, unpack):
                    return whole
            return self._store.add(artefact.name, _inside(whole, artefact, unpack), lambda: key)
        return None

    def _download(self, job: _Job, deadline: Deadline) -> Fetched:
        from pytest_lava.images import wire as network  # requests is dear, and most runs fetch nothing

        artefact, kept = job.artefact, job.kept
        part = job.record.with_name(f"{job.record.name}.part")
        for left in reversed(range(self._tries)):
            resumed, start, t0 = part.exists(), utc_now(), monotonic()
            wire = network.Wire(artefact.url, part, deadline, self._report, self._failed)
            try:
                also = job.checksum.algorithm if job.checksum else "sha256"
                if not wire.open(kept[0].validators if kept else None, also) and kept:
                    return Fetched(artefact, kept[1], kept[0].sha256)
                if self._room is not None:
                    self._room.reserve(2 * wire.coming)  # as it comes, and what is in it: that is no less
                return self._take(job, wire)
            except network.BrokenOff as error:
                wire.done()
                number, seconds = self._tries - left, monotonic() - t0
                self._failed(
                    FailedTry(without_secret(artefact.url), number, self._tries, str(error), start, seconds, not left)
                )
                if not left:
                    raise
                self._report(f"{error}; it is fetched anew")
            except (Damaged, FetchFailed):
                wire.done()
                if not (left and resumed):  # what an earlier run left may be to blame
                    raise
            finally:
                wire.close()
        raise AssertionError("the last try returns or raises")

    def _take(self, job: _Job, wire: Wire) -> Fetched:
        """Sum, unpack and store what comes, in one pass; zip archives take a second one."""
        artefact, checksum = job.artefact, job.checksum
        self._report(f"fetching {without_secret(artefact.url)}")
        with Pump(self._watched(artefact, wire), wire.close) as pump:
            stream = Stream(pump.read)
            head = stream.peek(_HEAD)
            more = _holds_more(head, artefact, job.unpack)
            zipped = more and is_zip(head)
            inside = more and not zipped

            def key() -> str:
                if checksum is not None:
                    _check(artefact, checksum, wire.digest(checksum.algorithm))
                own = wire.digest("sha256")
                return _key(own, artefact, job.unpack) if inside else own

            path = self._store.add(artefact.name, _all_of(stream, job, inside=inside), key)
        own = wire.digest("sha256")
        if zipped:
            path = self._unzipped(job, own)
        digests = {checksum.algorithm: checksum.value} if checksum else {}
        _save(job.record, _Known(without_secret(artefact.url), own, wire.validators, digests))
        wire.done()
        return Fetched(artefact, path, own, wire.received)

    def _watched(self, artefact: Artefact, wire: Wire) -> Callable[[int], bytes]:
        """Its reading, of which somebody is told."""
        coming = wire.coming
        tell = self._announce(f"fetch {artefact.name}", coming) if coming else None
        if tell is None:
            return wire.read

        def read(size: int) -> bytes:
            over = True
            try:
                data = wire.read(size)
                over = not data
            finally:
                tell(coming if over else wire.received, coming)
            return data

        return read

    def _unzipped(self, job: _Job, own: str) -> Path:
        try:
            found = self._kept(job.artefact, own, job.unpack)
        except Damaged:
            self._store.remove(own)
            raise
        assert found is not None, "the archive has just been stored"
        return found

    def _expected(self, artefact: Artefact, deadline: Deadline) -> Checksum | None:
        """The checksum that was given, or that stands in a file beside it."""
        if not artefact.sums:
            return artefact.checksum
        if artefact.url:
            from pytest_lava.images.wire import get_text

            return artefact.checksum_in(get_text(artefact.sums, deadline))
        try:
            return artefact.checksum_in(Path(artefact.sums).read_text(errors="replace"))
        except OSError as error:
            raise ConfigurationError(f"{artefact}: cannot read {artefact.sums}: {error.strerror}") from error


def _key(own: str, artefact: Artefact, unpack: bool) -> str:
    """Of what is inside of a file with this checksum."""
    member = hashlib.sha256(artefact.member.encode()).hexdigest()[:16] if artefact.member else "inside"
    return f"{own}-{member}-{'plain' if unpack else 'member'}"


def _holds_more(head: bytes, artefact: Artefact, unpack: bool) -> bool:
    """Whether a file that begins so is not yet what is wanted."""
    return bool(artefact.member) or (unpack and bool(packing_of(head) or is_tar(head) or is_zip(head)))


def _all_of(stream: Stream, job: _Job, *, inside: bool) -> Iterator[bytes]:
    """What is to be stored. The stream is read to its end: what stands behind the content belongs to its sum."""
    if inside:
        yield from contents(stream.read, job.artefact.member, deep=job.unpack)
    else:
        yield from iter(lambda: stream.read(_PIECE), b"")
    while stream.read(_PIECE):
        pass


def _inside(path: Path, artefact: Artefact, unpack: bool) -> Iterator[bytes]:
    with path.open("rb") as file:
        if is_zip(file.read(_HEAD)):
            pieces = zip_contents(path, artefact.member)
            yield from plain(pieces) if unpack else pieces
        else:
            file.seek(0)
            yield from contents(file.read, artefact.member, deep=unpack)


def _promised(checksum: Checksum | None, known: _Known | None) -> str:
    """The SHA-256 of what has this checksum, if that is known."""
    if checksum is None:
        return ""
    if checksum.algorithm == "sha256":
        return checksum.value
    return known.sha256 if known and known.digests.get(checksum.algorithm) == checksum.value else ""


def _check(artefact: Artefact, expected: Checksum, found: str) -> None:
    if found != expected.value:
        raise FetchFailed(
            f"{artefact.name} has {expected.algorithm} {found}, not {expected.value}: correct the checksum, or the file"
        )


def _load(record: Path) -> _Known | None:
    from pytest_lava.images.wire import Validators

    try:
        found = json.loads(record.read_bytes())
        return _Known(found["url"], found["sha256"], Validators(**found["validators"]), found["digests"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _save(record: Path, known: _Known) -> None:
    with suppress(OSError):  # then it is fetched once more
        replace_file(record, json.dumps(asdict(known)).encode())

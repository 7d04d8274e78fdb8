"""Sends what is in the spool: every sink by itself, again while it is worth it, and each try's outcome on the disk.

All of it may end at any moment. What a sink has got is known to its server, and sending is idempotent; what it has not
got is still in ``new/``.
"""

from __future__ import annotations

import random
import shlex
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConfigurationError, ErrorInfo, LavaError, describe, first_line
from pytest_lava.events import utc_now
from pytest_lava.registry import Registry
from pytest_lava.sinks.api import Parcel, Receipt, SinkBusy, SinkRefused
from pytest_lava.sinks.choosing import made_from
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.spool.item import Entry, Item, State
from pytest_lava.spool.lock import FolderLock
from pytest_lava.spool.store import Spool

__all__ = ["Outcome", "Sender", "Try", "pause_after"]

_LONGEST_PAUSE = 3600.0  # seconds that we choose ourselves
_LONGEST_ASKED = 86400.0  # seconds that a server may ask for
_GRACE = 0.3  # seconds in which a try that its deadline ended writes down what came of it
_WORTH = 0.5  # seconds that have to be left for another try


@dataclass(frozen=True)
class Try:
    """One try that failed; ``last``: no other one follows now."""

    item: str
    sink: str
    number: int
    error: ErrorInfo
    start: str
    seconds: float
    last: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one sink of one item. ``pause``: seconds until another try is due, if it is waiting."""

    item: Item
    entry: Entry
    status: Literal["sent", "waiting", "failed"]
    reason: str = ""
    receipt: Receipt | None = None
    tries: int = 0
    pause: float = 0.0

    @property
    def sink(self) -> str:
        """Its name."""
        return self.entry.name

    @property
    def where(self) -> str:
        """For people: what the server calls it, or where it would have gone."""
        return (self.receipt.url if self.receipt else "") or self.entry.url


def pause_after(tries: int, after: float | None = None, chance: Callable[[], float] = random.random) -> float:
    """Seconds until the next try: 1, 2, 4 ... an hour, less up to a half by chance, so that not all come at once.

    A server that asked for more (``Retry-After``) gets it, up to a day.
    """
    own = min(_LONGEST_PAUSE, 2.0 ** min(tries - 1, 20)) * (0.5 + chance() / 2)
    return max(own, min(after or 0.0, _LONGEST_ASKED))


class Sender:
    """Sends items of a spool. ``tried`` is told of each try that failed, from whichever thread."""

    def __init__(
        self, spool: Spool, registry: Registry, secrets: FoundSecrets, tried: Callable[[Try], None] = lambda one: None
    ) -> None:
        self._spool, self._registry, self._secrets, self._tried = spool, registry, secrets, tried

    def load(self, kinds: Iterable[str]) -> None:
        """Import their drivers here and now: in a thread what libraries warn of at that would be a test's warning."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for kind in sorted({*kinds}):
                with suppress(ConfigurationError, ImportError):  # told when something is sent
                    self._registry.get("sink", kind)

    def send(self, item: Item, deadline: Deadline, *, tries: int = 1, at_once: bool = False) -> list[Outcome]:
        """Send to all sinks that are due, each at most ``tries`` times until the deadline; ``at_once``: all that wait.

        Sinks go at the same time, so that one which hangs takes nothing from the others. What is still in progress at
        the deadline is left to itself, with the item locked. An item that another process has is waited for.
        """
        if item.place != "new" and not item.damage:
            return self.outcomes(item)
        lock = FolderLock.take(item.folder, deadline)
        if lock is None:
            return self.outcomes(item, "another process is sending it")
        if item.damage:
            with lock, suppress(OSError):
                self._spool.set_aside(item, item.damage)
            return []
        now = self._spool.now()
        due = [entry for entry, state in item.states() if state.status == "waiting" and (at_once or state.due(now))]
        job = _Job(len(due), lambda: self._end(item, lock))
        for entry in due:
            work = threading.Thread(
                target=job.run, args=(lambda entry=entry: self._again(item, entry, deadline, tries, job),),
                name=f"lava submit {entry.name}", daemon=True,
            )  # fmt: skip
            work.start()
        if not due:
            self._end(item, lock)
        patience = Deadline.after(deadline.remaining() + _GRACE)
        while not job.done.wait(patience.at_one_go()) and not patience.expired:
            pass
        return self.outcomes(item, "" if job.done.is_set() else "it did not answer in time", job.said)

    def outcomes(self, item: Item, otherwise: str = "", said: Mapping[str, str] | None = None) -> list[Outcome]:
        """How far all sinks of an item are by now; ``otherwise`` is why one waits that has no reason of its own."""
        item, now = self._spool_has(item), self._spool.now()
        return [_outcome(item, entry, now, (said or {}).get(entry.name, ""), otherwise) for entry in item.entries]

    # -- inside -------------------------------------------------------------------------------------------------

    def _end(self, item: Item, lock: FolderLock) -> None:
        with lock, suppress(OSError):  # a full disk: it is settled the next time
            self._spool.settle(item)

    def _again(self, item: Item, entry: Entry, deadline: Deadline, tries: int, job: _Job) -> None:
        """Try until it worked or there is no use; every outcome is written down."""
        for number in range(1, tries + 1):
            start, t0 = utc_now(), monotonic()
            before = item.state(entry)
            state, error = self._try(item, entry, before, deadline)
            more = state.status == "waiting" and number < tries and state.pause + _WORTH < deadline.remaining()
            try:
                item.write_state(entry, state)
            except OSError as full:
                job.said[entry.name] = f"what came of it cannot be written down ({full.strerror})"
            if error is None:
                return
            told = replace(describe(error), message=state.reason, evidence="", facts={})
            self._tried(Try(item.name, entry.name, state.tries, told, start, monotonic() - t0, not more))
            if not more:
                return
            threading.Event().wait(state.pause)

    def _try(self, item: Item, entry: Entry, before: State, deadline: Deadline) -> tuple[State, Exception | None]:
        tried = replace(before, tries=before.tries + 1, tried=self._spool.now(), pause=0.0)
        memory = _Memory(item, entry, tried)
        try:
            if damage := item.damaged(entry):
                raise SinkRefused(
                    f"{damage}: submit its run folder once more: pytest-lava submit {shlex.quote(item.run)}"
                )
            choice = made_from(entry.as_json, self._registry, self._secrets)
            memory.state = _by_options(memory.state, entry, choice.as_json["options"])
            parcel = Parcel(item.uuid, item.parcel(entry), dict(memory.state.progress), memory.remember)
            receipt = choice.sink.send(parcel, deadline)
        except Exception as error:  # a driver's own fault too: the results stay
            return self._failed(memory.state, error), error
        told = {"id": self._secrets.mask(receipt.id), "url": self._secrets.mask(receipt.url)}
        return replace(memory.state, status="sent", reason="", receipt=told), None

    def _failed(self, state: State, error: Exception) -> State:
        refused = isinstance(error, SinkRefused)
        said = str(error) if isinstance(error, LavaError) else f"pytest-lava failed: {type(error).__name__}: {error}"
        after = error.after if isinstance(error, SinkBusy) else None
        return replace(
            state,
            status="failed" if refused else "waiting",
            reason=self._secrets.mask(first_line(said)),
            pause=0.0 if refused else pause_after(state.tries, after),
        )

    def _spool_has(self, item: Item) -> Item:
        """The same item, wherever it is by now."""
        for place in ("new", "sent", "failed"):
            if (folder := self._spool.folder / place / item.name).is_dir():
                return item.at(folder)
        return item


def _by_options(state: State, entry: Entry, options: Mapping[str, Any]) -> State:
    """``state`` for a try with ``options``. What an earlier one came to on another server says nothing here."""
    if options == entry.by(state).options:
        return state
    return replace(state, progress={}, options=None if options == entry.options else options)


def _outcome(item: Item, entry: Entry, now: float, said: str, otherwise: str) -> Outcome:
    state = item.state(entry)
    found = Outcome(item, entry.by(state), "waiting", said or state.reason or otherwise, tries=state.tries)
    if state.status == "sent":
        receipt = Receipt(str(state.receipt.get("id", "")), str(state.receipt.get("url", "")))
        return replace(found, status="sent", reason=said, receipt=receipt)
    if state.status == "failed":
        return replace(found, status="failed")
    return replace(found, pause=max(0.0, state.tried + state.pause - now))


@dataclass
class _Memory:
    """What a sink remembers between its steps, written down as it says so."""

    item: Item
    entry: Entry
    state: State

    def remember(self, progress: Mapping[str, str]) -> None:
        """``OSError`` if it cannot be written: the sink then must not take its step."""
        self.state = replace(self.state, progress=dict(progress))
        self.item.write_state(self.entry, self.state)


@dataclass
class _Job:
    """Threads that work on one item; whoever ends last ends the job."""

    left: int
    end: Callable[[], None]
    said: dict[str, str] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if not self.left:
            self.done.set()

    def run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self.left -= 1
                last = self.left == 0
            if last:
                try:
                    self.end()
                finally:
                    self.done.set()

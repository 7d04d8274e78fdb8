"""The seam between what a run measured and where it is sent: ``Sink``, what it gets, and how it says that it failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError, NetworkError

__all__ = ["Parcel", "Receipt", "Results", "Secrets", "Sink", "SinkBusy", "SinkRefused"]


class SinkBusy(NetworkError):
    """The server could not be reached, did not answer, or said "later". Worth another try.

    ``after`` is the least number of seconds until then, where the server asked for one (``Retry-After``).
    """

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class SinkRefused(InfrastructureError):
    """The server will never take this: its reason, and what to change, in the first line. Another try is in vain."""

    retried = False


@dataclass(frozen=True)
class Results:
    """What one run measured. ``folder`` is the run folder: journal, ``bundle.json``, ``junit.xml``, logs, attachments.

    ``uuid`` is the run's; ``bundle`` the bundle's path, wherever the user wanted it.
    """

    uuid: str
    folder: Path
    bundle: Path


@dataclass(frozen=True)
class Parcel:
    """What one sink sends, in a folder of its own in the spool: the bytes never change between tries.

    ``progress`` is what earlier tries came to, in the sink's own words; ``remember`` writes it down durably, before a
    step that must not be done twice and after one that need not be.
    """

    uuid: str
    folder: Path
    progress: Mapping[str, str] = field(default_factory=dict)
    remember: Callable[[Mapping[str, str]], object] = lambda _: None


@dataclass(frozen=True)
class Receipt:
    """The server has all of it. ``id`` is its own name for that; ``url`` is for people to look at, if there is one."""

    id: str
    url: str = ""


class Secrets(Protocol):
    """Where tokens and passwords come from; what it gives is masked in whatever is written from then on."""

    def get(self, name: str, host: str) -> str:
        """The secret of the sink ``name``, or of ``host`` (netrc); empty if there is none."""

    def mask(self, text: str) -> str:
        """``text`` without any secret that was found so far."""


class Sink(Protocol):
    """One result server, made as ``Sink(name, Options, secrets)``; its ``Options`` hold no secret.

    ``Options`` has the field ``url``. ``--submit squad+https://USER:TOKEN@HOST/PATH?KEY=VALUE`` becomes
    ``url="https://HOST/PATH"`` and ``KEY="VALUE"``; the token goes to ``secrets``, and ``USER`` to the field ``user``
    where there is one.

    A sink is idempotent: however often a parcel is sent, and wherever a try broke off, the server has each result once.
    """

    name: str
    Options: type[BaseModel]

    def pack(self, results: Results, folder: Path) -> None:
        """Write what will be sent into ``folder``, which is empty. No network; called once for each run.

        Raises ``SinkRefused`` for results that this server could never take.
        """

    def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
        """Send all that was packed, check that it arrived, and say so.

        Raises ``SinkBusy``, ``SinkRefused``, or ``ConfigurationError`` for what a person has to set (a token).
        """

"""The seam between suites and who runs them: ``Suite``, what it is given, and the ``Case`` that it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pytest_lava.console.console import Console
from pytest_lava.console.shell import Shell
from pytest_lava.errors import LavaError

__all__ = ["RESULTS", "STDOUT", "Attachment", "Case", "Report", "Suite", "Surroundings"]

#: what a case may come to; ``unknown`` is for what was only measured
RESULTS = ("pass", "fail", "skip", "unknown")
#: the log that lines of cases count in, as LAVA named it
STDOUT = "stdout.log"


@dataclass(frozen=True)
class Attachment:
    """A file on this machine that belongs to a result, under the name that it had on the board."""

    name: str
    path: Path
    mime: str = "text/plain"


@dataclass(frozen=True)
class Case:
    """One result of a suite. Times are seconds of this machine's wall clock.

    ``line`` counts from 1 in the suite's log; ``low`` and ``high`` are the bounds that a measurement had to keep.
    ``error`` is what the board died of under it.
    """

    id: str
    result: str
    start: float
    stop: float
    message: str = ""
    measurement: float | None = None
    units: str = ""
    low: float | None = None
    high: float | None = None
    set_name: str = ""
    line: int | None = None
    output: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    #: a failure that is expected: its result is ``skip``
    xfail: bool = False
    error: LavaError | None = None


#: is called with each case as soon as it is known
Report = Callable[[Case], None]


def _untold(*_: object) -> None:
    """Takes what nobody wants to know."""


@dataclass(frozen=True)
class Surroundings:
    """What a suite runs in. ``folder`` is its own on this machine, for logs and what comes back from the board.

    ``environment`` is what LAVA's tests find there; ``local`` says that the board is this machine, where nothing may
    stay behind. ``tell`` takes a line for the event log; ``attach`` a file that came from the board, for the case of
    that id, or for the whole run if the id is empty. ``guard`` takes a command that cleans up on this machine if this
    process dies, and returns what revokes it. ``console`` is the board's line, for suites that read or type there;
    what came before ``since`` is not theirs. ``arch`` and ``features`` are those of its board file.

    ``revive`` takes what the board died of, under a case that was reported, and returns what the suite goes on in once
    the board is back; it raises that error if the board does not come back. None: it is left as it is.
    """

    shell: Shell
    folder: Path
    timeout: float
    environment: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    skip_install: bool = False
    local: bool = False
    tell: Callable[[str], object] = _untold
    attach: Callable[[str, Attachment], object] = _untold
    guard: Callable[[str], Callable[[], object]] = lambda _: _untold
    console: Console | None = None
    since: int = 0
    arch: str = ""
    features: tuple[str, ...] = ()
    revive: Callable[[LavaError], Surroundings] | None = None


class Suite(Protocol):
    """Something with a name that yields cases when it is run on a board."""

    name: str
    #: the file it comes from
    source: Path
    #: cases that must come; one that does not is a failure
    expected: tuple[str, ...]
    #: what it is made of, as a bundle tells (``testdef_metadata``)
    metadata: Mapping[str, str]

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """Run all of it, and report each case live.

        A failing case is no error. Raises a ``LavaError`` for what ended the suite before its end.
        """

"""What a bundle is made from, and what of it is told only once or only so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from pytest_lava.results.bundle.console import ConsoleLogs
from pytest_lava.results.bundle.files import DEFAULT_LIMIT, Room
from pytest_lava.results.bundle.parts import Bundle
from pytest_lava.results.bundle.schema import BundleFormat
from pytest_lava.results.bundle.target import TargetFacts, targets_of
from pytest_lava.results.record import Record
from pytest_lava.results.run_files import inside

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """Record, format and run folder; ``logs`` and ``room`` know how much they have given out."""

    record: Record
    form: BundleFormat
    folder: Path
    namespace: UUID
    targets: Mapping[str, TargetFacts]
    logs: ConsoleLogs
    room: Room
    #: files of the run folder that were looked for
    _paths: dict[str, Path | None] = field(default_factory=dict)
    #: targets of which a run has told in full
    _told: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, record: Record, form: BundleFormat, folder: Path, namespace: UUID) -> Source:
        """What a run wanted is in the first line of its journal, so that its bundle can be built again."""
        limit = record.head.get("attachment_limit")
        limit = limit if isinstance(limit, int) and limit >= 0 else DEFAULT_LIMIT
        room = Room(folder, limit=limit, url=str(record.head.get("public_url") or ""))
        return cls(record, form, folder, namespace, targets_of(record), ConsoleLogs(folder, limit), room)

    def path(self, name: object) -> Path | None:
        """The file ``name`` of the run folder, None if there is none: looked up once, as many cases have one log."""
        if (text := str(name)) not in self._paths:
            self._paths[text] = inside(self.folder, text)
        return self._paths[text]

    def contexts(self, target: str) -> Bundle:
        """Hardware and software of a target: in full, or if that were too much in all only the first time."""
        found = self.targets[target]
        full = target not in self._told
        self._told.add(target)
        return found.contexts if full else found.brief

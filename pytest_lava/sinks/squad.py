"""The sink ``squad``: testruns with tests, metrics, metadata, log and files on a SQUAD server.

One testrun for each target, whose job id ``RUN.TARGET`` its build takes only once. What is there already is looked at:
a testrun that is complete is not sent again, one that a broken request left half is removed and sent anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.results.journal import read
from pytest_lava.results.record import collect
from pytest_lava.sinks.api import Parcel, Receipt, Results, Secrets, SinkBusy, SinkRefused
from pytest_lava.sinks.http_client import Answer
from pytest_lava.sinks.placeholders import Template
from pytest_lava.sinks.secrets import variable
from pytest_lava.sinks.squad_api import Place, Row, SquadApi
from pytest_lava.sinks.squad_names import SLUG_PATTERN
from pytest_lava.sinks.squad_parcel import Packed, pack, packed
from pytest_lava.sinks.squad_testruns import Form, per_target

__all__ = ["SquadSink"]

#: how often a half testrun is removed and sent again in one try
_HEALS = 3
#: so many tests double ``half_after``: SQLite on a busy machine takes 4 ms for each
_DOUBLE = 4000


class SquadSink:
    """Implements :class:`pytest_lava.sinks.api.Sink` for ``kind = "squad"``."""

    class Options(BaseModel):
        """``url`` of the server, with ``group`` and ``project`` or ending in ``/GROUP/PROJECT``; templates for
        ``build``, ``environment``, ``job_url`` and further ``metadata``; ``most_tests``: of one testrun, a larger run
        becomes several; ``attachments``: MB of files of a testrun;
        ``half_after``: seconds after which a testrun that is not processed is a half one (twice that for 4000)."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        url: str
        group: str = ""
        project: str = ""
        build: Template = "{kernel}"
        environment: Template = "{device_type}"
        job_url: Template = ""
        metadata: dict[str, Template] = {}
        most_tests: int = Field(default=5000, ge=1)
        attachments: float = Field(default=32, ge=0)
        half_after: float = Field(default=120, ge=0)

        @property
        def place(self) -> Place:
            """The server and the project."""
            return _place(self.url, self.group, self.project)

        @model_validator(mode="after")
        def _checked(self) -> Self:
            _ = self.place
            return self

    def __init__(self, name: str, options: Options, secrets: Secrets) -> None:
        self.name = name
        self._options = options
        self._secrets = secrets
        self._place = options.place
        metadata = tuple(options.metadata.items())
        self._form = Form(options.build, options.environment, options.job_url, metadata, options.most_tests)

    def pack(self, results: Results, folder: Path) -> None:
        """Write the testruns of a run."""
        record = collect(read(results.folder))
        testruns = per_target(record, self._form, results.folder)
        pack(testruns, folder, room=int(self._options.attachments * 1e6))

    def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
        """Send each testrun that is not there yet."""
        api = self._api()
        progress = dict(parcel.progress)
        testruns = packed(parcel.folder)
        for one in testruns:
            if one.job_id not in progress:
                progress[one.job_id] = str(_Store(api, one, self._options.half_after, deadline).complete())
                parcel.remember(progress)
        ids = [progress[one.job_id] for one in testruns]
        return Receipt(", ".join(ids) or "nothing", self._link(testruns))

    def show(self, results: Results, folder: Path, deadline: Deadline, ended: Callable[[], bool]) -> int:
        """Show what a run has come to so far, in place of what was shown before; the number of results.

        ``folder`` is empty and ours. Nothing is changed any more once ``ended`` says so, as ``send`` has begun. Raises
        as ``send`` does.
        """
        record = collect(read(results.folder))
        pack(per_target(record, self._form, results.folder, live=True), folder, room=0)
        api, shown = self._api(), packed(folder)
        for one in shown:
            _Store(api, one, self._options.half_after, deadline).show(ended)
        return sum(one.tests for one in shown)

    def _api(self) -> SquadApi:
        host = urlsplit(self._place.url).hostname or ""
        token = self._secrets.get(self.name, host)
        if not token:
            raise ConfigurationError(
                f"SQUAD wants a token: set {variable(self.name)} to that of a user who may submit to "
                f"{self._place.full_name}"
            )
        return SquadApi(self.name, self._place, token, self._secrets)

    def _link(self, testruns: list[Packed]) -> str:
        builds = {one.build for one in testruns}
        end = f"build/{builds.pop()}/" if len(builds) == 1 else ""
        return f"{self._place.url}/{self._place.full_name}/{end}"


@dataclass(frozen=True)
class _Store:
    """Brings one testrun to the server, whatever is there already."""

    api: SquadApi
    testrun: Packed
    half_after: float
    deadline: Deadline

    def complete(self) -> int:
        """The id of the testrun once it is there as a whole."""
        broke = False
        # looked for first: an earlier try may have no known end, and a large body need not be sent in vain
        if (row := self._find()) and (done := self._settle(row, broke)):
            return done
        for _ in range(_HEALS):
            answer = self._submit()
            if answer.status == 201:
                return self.api.made(answer)
            if answer.status == 400 and answer.is_page:  # SQUAD's own are text
                raise SinkBusy(f"an answer of 400 came as a page, which SQUAD never does there{answer.said()}")
            if answer.status == 400 and not self.api.is_taken(answer):
                raise SinkRefused(f"SQUAD does not take the testrun {self.testrun.job_id}{answer.said()}")
            broke = broke or answer.status == 500
            row = self._find()
            if row is None:
                raise SinkBusy(f"SQUAD answered {answer.status} and has not stored the testrun{answer.said()}")
            if done := self._settle(row, broke):
                return done
        raise SinkBusy(f"SQUAD stored half of the testrun {_HEALS} times: look at the server's log")

    def show(self, ended: Callable[[], bool]) -> None:
        """Put the testrun in the place of an earlier one of the same run that still went on."""
        for _ in range(_HEALS):
            row = self._find()
            ours = row is None or self.api.is_live(row, self.deadline)
            if not ours or ended():  # a row that was seen before the end is none that ``complete`` has made
                return
            if row is not None:
                self.api.remove(row.id, self.deadline)
            if ended() or self._submit().status == 201:
                return

    def _settle(self, row: Row, broke: bool) -> int:
        """The id of a row that is what we want; 0 if it was not, and is removed. ``broke``: a request of ours did."""
        live = self.api.is_live(row, self.deadline)
        if row.complete and not live:
            return row.id
        patience = self.half_after * (1 + self.testrun.tests / _DOUBLE)
        if not live and not broke and row.age is not None and max(row.age, 0.0) < patience:
            raise SinkBusy("SQUAD is still at work on the testrun", after=min(5.0, patience - row.age))
        self.api.remove(row.id, self.deadline)
        return 0

    def _find(self) -> Row | None:
        return self.api.find(self.testrun.job_id, self.testrun.build, self.deadline)

    def _submit(self) -> Answer:
        one = self.testrun
        return self.api.submit(one.build, one.environment, one.uploads, self.deadline)


def _place(url: str, group: str, project: str) -> Place:
    """The server and its project. ``ValueError`` for what SQUAD could not mean."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("url has to be http(s)://HOST/GROUP/PROJECT, or that of the server beside group and project")
    path = parts.path.strip("/").split("/")
    if not group and not project and len(path) >= 2:
        path, group, project = path[:-2], path[-2], path[-1]
    if not group or not project:
        raise ValueError("which project? Let url end in /GROUP/PROJECT, or set group and project")
    for what, text, pattern in (("group", group, f"~?{SLUG_PATTERN}"), ("project", project, SLUG_PATTERN)):
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{what} has to be a name as in SQUAD's URLs, it is {text!r}: letters, digits and _ . -")
    server = urlunsplit((parts.scheme, parts.netloc, "/".join(["", *filter(None, path)]), "", ""))
    return Place(server, group, project)

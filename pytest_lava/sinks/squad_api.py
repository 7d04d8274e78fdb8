"""SQUAD's API as far as the sink needs it: submit a testrun, find it by its job id, remove one.

Source: ``squad/api/views.py``, ``squad/api/rest.py`` and ``squad/core/tasks/__init__.py`` of SQUAD 1.98. An answer of
201 means that all is processed. One of 500 may leave a testrun without tests behind, whose job id is then taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.sinks.api import Secrets, SinkBusy
from pytest_lava.sinks.http_client import Answer, HttpClient
from pytest_lava.sinks.multipart import Multipart, Upload
from pytest_lava.sinks.secrets import variable
from pytest_lava.sinks.squad_testruns import LIVE

__all__ = ["Place", "Row", "SquadApi"]

_DUPLICATE = "There is already a test run with job_id"


@dataclass(frozen=True)
class Place:
    """A project on a server. ``url`` is the server's."""

    url: str
    group: str
    project: str

    @property
    def full_name(self) -> str:
        """As the server calls it."""
        return f"{self.group}/{self.project}"


@dataclass(frozen=True)
class Row:
    """A testrun on the server. ``age`` is in seconds, by the server's own clock; None if it does not tell."""

    id: int
    complete: bool
    age: float | None


class SquadApi:
    """Speaks for the sink ``name`` with one project of a server."""

    def __init__(self, name: str, place: Place, token: str, secrets: Secrets) -> None:
        self._name, self._place = name, place
        self._client = HttpClient(secrets, {"Authorization": f"Token {token}"})

    def submit(self, build: str, environment: str, uploads: Sequence[Upload], deadline: Deadline) -> Answer:
        """POST one testrun; the answer has the status 201, 400 or 500. Raises as :meth:`HttpClient.request` does."""
        url = f"{self._place.url}/api/submit/{self._place.full_name}/{build}/{environment}"
        body = Multipart(uploads)
        try:
            return self._ask("POST", url, deadline, (201, 400, 500), body=body)
        finally:
            body.close()

    @staticmethod
    def made(answer: Answer) -> int:
        """The id of the testrun that was made. ``SinkBusy`` if this is not SQUAD's own answer."""
        text = answer.text.strip()
        if not text.isascii() or not text.isdigit():
            raise SinkBusy(f"the server answered 201, but names no testrun{answer.said()}")
        return int(text)

    @staticmethod
    def is_taken(answer: Answer) -> bool:
        """Whether the build has a testrun of this job id already."""
        return answer.status == 400 and answer.text.startswith(_DUPLICATE)

    def find(self, job_id: str, build: str, deadline: Deadline) -> Row | None:
        """The testrun of a job id in a build of this project, which the server's list does not know to tell apart."""
        wanted = {"job_id": job_id, "build__version": build}
        answer = self._ask("GET", f"{self._place.url}/api/testruns/", deadline, (200,), params=wanted)
        for row in _list(answer):
            if row.get("job_id") == job_id and self._is_ours(str(row.get("build")), build, deadline):
                complete = row.get("data_processed") is True and row.get("status_recorded") is True
                return Row(int(row["id"]), complete, _age(row.get("created_at"), answer.headers.get("date")))
        return None

    def is_live(self, row: Row, deadline: Deadline) -> bool:
        """Whether it shows a run that still went on."""
        url = f"{self._place.url}/api/testruns/{row.id}/metadata_file/"
        answer = self._ask("GET", url, deadline, (200, 404))
        found = answer.json() if answer.status == 200 and answer.body else {}
        return isinstance(found, dict) and found.get(LIVE) is True

    def remove(self, testrun: int, deadline: Deadline) -> None:
        """Remove a testrun, and all of it; that it is not there any more is as good."""
        self._ask("DELETE", f"{self._place.url}/api/testruns/{testrun}/", deadline, (204, 404))

    def _is_ours(self, link: str, version: str, deadline: Deadline) -> bool:
        build = self._linked("builds", link, deadline)
        project = self._linked("projects", str(build.get("project")), deadline)
        return build.get("version") == version and project.get("full_name") == self._place.full_name

    def _linked(self, kind: str, link: str, deadline: Deadline) -> dict[str, Any]:
        """What a link leads to. Only its number is used, as the host in it may be one that is known inside only."""
        number = re.search(rf"/{kind}/(\d+)/?$", link)
        if not number:
            return {}
        answer = self._ask("GET", f"{self._place.url}/api/{kind}/{number[1]}/", deadline, (200, 404))
        found = answer.json() if answer.status == 200 else {}
        return found if isinstance(found, dict) else {}

    def _ask(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        expect: Collection[int],
        *,
        body: Multipart | None = None,
        params: dict[str, str] | None = None,
    ) -> Answer:
        headers = {"Content-Type": body.content_type} if body else {}
        ours = {*range(200, 300), 401, 403} | ({404} if method == "POST" else set())
        answer = self._client.request(
            method, url, deadline, data=body, params=params, headers=headers, expect={*expect, *ours}
        )
        place, said = self._place, answer.said()
        if answer.status in (401, 403):
            raise ConfigurationError(
                f"SQUAD refuses the token for {place.full_name} on {place.url}: set {variable(self._name)} to the "
                f"token of a user who may submit there ({answer.status}){said}"
            )
        if answer.status == 404 and 404 not in expect:
            raise ConfigurationError(
                f"there is no project {place.full_name} on {place.url}: make it there, or correct group and project "
                f"of the sink {self._name}{said}"
            )
        if answer.status not in expect:  # of a gate of some hotel, or a proxy: this passes
            raise SinkBusy(f"{place.url} answered {answer.status}, which SQUAD never does there{said}")
        return answer


def _list(answer: Answer) -> list[dict[str, Any]]:
    found = answer.json()
    rows = found.get("results") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        raise SinkBusy(f"the server's list of testruns is none{answer.said()}")
    return [row for row in rows if isinstance(row, dict)]


def _age(created: object, now: str | None) -> float | None:
    try:
        begun = datetime.fromisoformat(str(created))
        at = parsedate_to_datetime(now or "")
    except ValueError:
        return None
    return (at - (begun if begun.tzinfo else begun.replace(tzinfo=UTC))).total_seconds()

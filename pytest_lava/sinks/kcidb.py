"""The sink ``kcidb``: the run as objects of the kernel's common report database (https://docs.kernelci.org/kcidb/).

``POST /submit`` of kcidb-restd only puts a submission into a queue; ``GET /status`` says when it was worked off. KCIDB
merges objects of one id, so a submission that comes twice does no harm. Source: kernelci/kcidb-ng, kcidb-restd-rs.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, field_validator

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, first_line
from pytest_lava.results.journal import read
from pytest_lava.results.record import collect
from pytest_lava.sinks.api import Parcel, Receipt, Results, Secrets, SinkBusy, SinkRefused
from pytest_lava.sinks.http_client import Answer, HttpClient
from pytest_lava.sinks.kcidb_objects import Naming, objects
from pytest_lava.sinks.placeholders import Template
from pytest_lava.sinks.secrets import variable

try:
    from jsonschema.exceptions import ValidationError
    from kcidb_io.schema import V5_3
except ImportError as missing:
    raise ImportError("objects of KCIDB are checked by kcidb-io", name="pytest-lava[kcidb]") from missing

__all__ = ["KcidbSink"]

_FILE = "submission.json"
#: how the submission of a parcel is remembered
_SUBMISSION = "submission"
#: seconds between looks at the status; it takes seconds to hours
_FIRST_LOOK, _LAST_LOOK = 0.1, 10.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class KcidbSink:
    """Implements :class:`pytest_lava.sinks.api.Sink` for ``kind = "kcidb"``."""

    class Options(BaseModel):
        """``url`` of kcidb-restd; ``origin``: the name of the CI system that the token belongs to; ``build``: id of the
        build under test, if KCIDB has it already; ``tree``: of the kernel; ``log_url``: where its logs can be read."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        url: str
        origin: str
        build: str = ""
        tree: str = ""
        log_url: Template = ""

        @field_validator("url")
        @classmethod
        def _url(cls, text: str) -> str:
            parts = urlsplit(text)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("url has to be that of kcidb-restd: https://HOST/")
            return text.rstrip("/").removesuffix("/submit").rstrip("/")

        @field_validator("origin")
        @classmethod
        def _origin(cls, text: str) -> str:
            if not re.fullmatch(r"[a-z0-9_]+", text):
                raise ValueError("an origin has small letters, digits and _ only, as KernelCI gave it to you")
            return text

        @field_validator("build")
        @classmethod
        def _build(cls, text: str) -> str:
            if text and not re.fullmatch(r"[a-z0-9_]+:[^\x00]*", text):
                raise ValueError("the id of a build is ORIGIN:ID, as KCIDB shows it")
            return text

    def __init__(self, name: str, options: Options, secrets: Secrets) -> None:
        self.name = name
        self._options = options
        self._secrets = secrets
        self._naming = Naming(options.origin, options.build, options.tree, options.log_url)
        self._shown: dict[str, str] = {}

    def pack(self, results: Results, folder: Path) -> None:
        """Write the run's objects, which kcidb-io has found valid."""
        self._write(objects(collect(read(results.folder)), self._naming), folder)

    def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
        """Submit, and wait until the submission is in the database."""
        client = self._client()
        submission = parcel.progress.get(_SUBMISSION, "")
        status = self._status(client, submission, deadline) if submission else "notfound"
        if status == "notfound":  # never sent; or it knows nothing of it any more
            submission = self._submit(client, parcel.folder, deadline)
            parcel.remember({_SUBMISSION: submission})
            status = "ready"
        pause = _FIRST_LOOK
        while status in ("ready", "inprogress"):
            if deadline.remaining() <= pause:
                raise SinkBusy(f"KCIDB has it as {submission}, and has not worked it off yet", after=_LAST_LOOK)
            threading.Event().wait(pause)
            pause = min(2 * pause, _LAST_LOOK)
            status = self._status(client, submission, deadline)
        if status != "processed":
            parcel.remember({})
            raise SinkBusy(f"KCIDB has lost the submission {submission} ({status}): it is sent again")
        return Receipt(submission)

    def show(self, results: Results, folder: Path, deadline: Deadline, ended: Callable[[], bool]) -> int:
        """Submit what has come since it was called last; the number of new tests. Raises as ``send`` does.

        An object that changes has the same id, so it is none too many.
        """
        found = objects(collect(read(results.folder)), self._naming, live=True)
        new = {kind: [one for one in several if self._is_new(one)] for kind, several in found.items()}
        if not any(new.values()) or ended():
            return 0
        self._write(new, folder)
        self._submit(self._client(), folder, deadline)
        self._shown |= {one["id"]: _print(one) for several in new.values() for one in several}
        return len(new["tests"])

    def _is_new(self, one: dict[str, Any]) -> bool:
        return self._shown.get(one["id"]) != _print(one)

    def _write(self, found: dict[str, list[dict[str, Any]]], folder: Path) -> None:
        version = {"major": V5_3.major, "minor": V5_3.minor}
        document = {"version": version, **{kind: several for kind, several in found.items() if several}}
        try:
            V5_3.validate(document)
        except ValidationError as error:
            where = "/".join(map(str, error.absolute_path))
            raise SinkRefused(f"KCIDB would not take {where}: {first_line(error.message)[:300]}") from None
        text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        (folder / _FILE).write_text(text, encoding="ascii")

    def _client(self) -> HttpClient:
        token = self._secrets.get(self.name, urlsplit(self._options.url).hostname or "")
        if not token:
            raise ConfigurationError(
                f"KCIDB wants a token: set {variable(self.name)} to the JWT of the origin {self._options.origin}"
            )
        return HttpClient(self._secrets, {"Authorization": f"Bearer {token}"}, self.name)

    def _submit(self, client: HttpClient, folder: Path, deadline: Deadline) -> str:
        with (folder / _FILE).open("rb") as data:
            headers = {"Content-Type": "application/json"}
            answer = self._ask(client, "POST", "submit", deadline, data=data, headers=headers)
        found = answer.json()
        submission = str(found.get("id")) if isinstance(found, dict) and found.get("status") == "ok" else ""
        if not _ID.fullmatch(submission):
            raise SinkBusy(f"the answer of {self._options.url} is none of KCIDB's{answer.said()}")
        return submission

    def _status(self, client: HttpClient, submission: str, deadline: Deadline) -> str:
        """inprogress, ready, processed, notfound. ``SinkRefused`` if it failed."""
        answer = self._ask(client, "GET", "status", deadline, params={"id": submission})
        if answer.status == 404:
            return "notfound"
        found = answer.json()
        status = str(found.get("status")) if isinstance(found, dict) else ""
        if status == "failed":
            raise SinkRefused(f"KCIDB could not work off the submission {submission}{answer.said()}")
        if status not in ("inprogress", "ready", "processed", "notfound"):
            raise SinkBusy(f"the answer of {self._options.url} is none of KCIDB's{answer.said()}")
        return status

    def _ask(self, client: HttpClient, method: str, path: str, deadline: Deadline, **more: Any) -> Answer:
        expect = {200, 401, 403} | ({404} if path == "status" else set())
        answer = client.request(method, f"{self._options.url}/{path}", deadline, expect=expect, **more)
        if answer.status in (401, 403):
            raise ConfigurationError(
                f"KCIDB refuses the token: set {variable(self.name)} to the JWT of the origin {self._options.origin} "
                f"({answer.status}){answer.said()}"
            )
        return answer


def _print(one: dict[str, Any]) -> str:
    """What changes if the object does."""
    return json.dumps(one, sort_keys=True)

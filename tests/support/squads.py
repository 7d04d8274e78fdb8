"""What a SQUAD server is to a test, the real one or ours: a URL and a token, and what it has, read through REST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

__all__ = ["SquadPlace", "Stored"]


@dataclass(frozen=True)
class Stored:
    """One testrun as its REST API shows it. Tests and metrics are pairs, so what is there twice shows."""

    id: int
    build: str
    environment: str
    job_id: str
    complete: bool
    tests: tuple[tuple[str, str], ...]
    metrics: tuple[tuple[str, float, str], ...]
    metadata: dict[str, Any]
    log: str
    attachments: tuple[str, ...]


@dataclass(frozen=True)
class SquadPlace:
    """A project on a running server, which there is ``group``/``project``."""

    url: str
    token: str
    group: str = "lab"
    project: str = "board"
    #: process id of the real one
    server: int = 0

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return urlsplit(self.url).port or 80

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request as the owner of the token."""
        url = path if path.startswith("http") else f"{self.url}/api/{path}"
        return requests.request(method, url, headers={"Authorization": f"Token {self.token}"}, timeout=300, **more)

    def read(self, path: str, **params: str) -> Any:
        """JSON of one page."""
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def every(self, path: str, **params: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        found, page = [], self.read(path, limit="1000", **params)
        while True:
            found += page["results"]
            if not page["next"]:
                return found
            page = self.read(page["next"])

    def testruns(self, run: str) -> list[Stored]:
        """All testruns on the server that belong to a run, in any build."""
        rows = self.every("testruns/", job_id__startswith=run)
        return [self.stored(row) for row in sorted(rows, key=lambda row: int(row["id"]))]

    def stored(self, row: dict[str, Any]) -> Stored:
        """One of the list, with all that hangs on it."""
        number = int(row["id"])
        names = [one["filename"] for one in row["attachments"]]
        return Stored(
            id=number,
            build=self.read(row["build"])["version"],
            environment=self.read(row["environment"])["slug"],
            job_id=row["job_id"],
            complete=row["data_processed"] and row["status_recorded"],
            tests=tuple(sorted((one["name"], one["status"]) for one in self.every(f"testruns/{number}/tests/"))),
            metrics=tuple(
                sorted(
                    (one["name"], float(one["result"]), one["unit"] or "")
                    for one in self.every(f"testruns/{number}/metrics/")
                )
            ),
            metadata=self.read(f"testruns/{number}/metadata_file/"),
            log=self.ask("GET", f"testruns/{number}/log_file/").content.decode(),
            attachments=tuple(sorted(names)),
        )

    def attachment(self, testrun: int, name: str) -> bytes:
        """The bytes of one."""
        answer = self.ask("GET", f"testruns/{testrun}/attachments/", params={"filename": name})
        assert answer.status_code == 200, answer.text[:300]
        return answer.content

"""A server that does what SQUAD 1.98 does with submissions, traps included; the contract tests hold it to the real one.

with squad_server() as (server, place):
    server.break_next(2)      # two submissions end with 500, and leave half a testrun behind
    place.testruns(run)       # what it has, through REST
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.squads import SquadPlace

__all__ = ["SquadServer", "squad_server"]

_SLUG = "[a-zA-Z0-9][a-zA-Z0-9_.-]*"
#: not anchored at the end, as theirs is not: what follows is cut off
_SUBMIT = re.compile(rf"/api/submit/(~?{_SLUG})/({_SLUG})/({_SLUG})/({_SLUG})")
_TOKEN = "f" * 40


@dataclass
class _TestRun:
    id: int
    build: tuple[str, str]  # project, version
    environment: str
    job_id: str
    created: str
    metadata: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    attachments: dict[str, bytes] = field(default_factory=dict)
    tests: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    processed: bool = False

    def process(self, read: dict[str, Any]) -> None:
        """All of it or nothing, as they have a transaction; names that are too long are left out without a word."""
        tests = [_test(name, value) for name, value in read.get("tests", {}).items()]
        metrics = [_metric(name, value) for name, value in read.get("metrics", {}).items()]
        self.tests = [test for test in tests if len(test["short_name"]) <= 256]
        self.metrics = [metric for metric in metrics if len(metric["short_name"]) <= 256]
        self.processed = True


class _Refused(Exception):
    """An answer that is no good."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(body)
        self.status, self.body = status, body


class SquadServer(http.server.ThreadingHTTPServer):
    """Its state; requests are worked on one after the other, as by one worker."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, projects: tuple[str, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.projects = list(projects)
        self.builds: list[tuple[str, str]] = []
        self.environments: list[str] = []
        self.rows: dict[int, _TestRun] = {}
        self.last = 0
        self.lock = threading.RLock()
        self.submissions = 0
        self._broken = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def break_next(self, count: int) -> None:
        """So many submissions store half of the testrun."""
        with self.lock:
            self._broken += count

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""

    # -- what it does --------------------------------------------------------------------------------------------

    def submit(self, path: str, token: str, form: dict[str, list[tuple[str, bytes]]]) -> tuple[int, object]:
        """``add_test_run`` of theirs, in its order."""
        try:
            project, version, environment = self._place(path, token)
            self.submissions += 1
            files = {name: form[name][0][1] for name in ("tests", "metrics", "metadata", "log") if name in form}
            for data in files.values():
                data.decode()
            build = self._known(self.builds, (project, version))
            self._known(self.environments, f"{project}/{environment}")
            read = {name: _read(name, files[name]) for name in ("metadata", "metrics", "tests") if name in files}
            job_id = self._job_id(read.get("metadata", {}), build)
            self.last += 1
            row = _TestRun(self.last, build, f"{project}/{environment}", job_id or f"made-{self.last}",
                           datetime.now(UTC).isoformat(), read.get("metadata", {}), files)  # fmt: skip
            row.attachments = dict(form.get("attachment", []))
            self.rows[row.id] = row
            if self._broken:
                self._broken -= 1
                raise AttributeError("as it was told")
            row.process(read)
        except _Refused as refused:
            return refused.status, refused.body
        except (AttributeError, UnicodeDecodeError):  # a test that is a number, a log that is no text, break_next
            return 500, "<h1>Server Error (500)</h1>"
        return 201, str(row.id)

    def _place(self, path: str, token: str) -> tuple[str, str, str]:
        found = _SUBMIT.match(path)
        if found is None:
            raise _Refused(404, "Not Found")
        group, project, version, environment = found.groups()
        if group not in {name.partition("/")[0] for name in self.projects}:
            raise _Refused(404, {"detail": "No Group matches the given query."})
        if f"{group}/{project}" not in self.projects:
            raise _Refused(404, {"detail": "No Project matches the given query."})
        if token != _TOKEN:
            raise _Refused(403, {"detail": "User needs permission to submit results."})
        return f"{group}/{project}", version, environment

    def _job_id(self, metadata: dict[str, Any], build: tuple[str, str]) -> str:
        job_id = str(metadata.get("job_id") or "")
        if "/" in job_id:
            raise _Refused(400, 'job_id cannot contain the "/" character')
        if job_id and any(row.job_id == job_id and row.build == build for row in self.rows.values()):
            raise _Refused(400, f"There is already a test run with job_id {job_id}")
        return job_id

    def rest(self, method: str, path: str, query: dict[str, str]) -> tuple[int, object]:
        """What of their REST API a client of submissions needs."""
        kind, number, part = [*path.removeprefix("/api/").strip("/").split("/"), "", ""][:3]
        if kind == "testruns" and not number:
            return 200, self._page(path, query, [self._shown(row) for row in self.rows.values() if _is(row, query)])
        known = {"testruns": self.rows, "builds": dict(enumerate(self.builds, 1)),
                 "projects": dict(enumerate(self.projects, 1)),
                 "environments": dict(enumerate(self.environments, 1))}.get(kind)  # fmt: skip
        if known is None or not number.isdigit() or int(number) not in known:
            return 404, {"detail": "Not found."}
        if kind == "testruns":
            return self._testrun(method, path, self.rows[int(number)], part, query)
        if kind == "builds":
            project, version = self.builds[int(number) - 1]
            return 200, {
                "id": int(number),
                "version": version,
                "project": self._link("projects", self.projects, project),
            }
        if kind == "projects":
            name = self.projects[int(number) - 1]
            return 200, {"id": int(number), "full_name": name, "slug": name.partition("/")[2]}
        return 200, {"id": int(number), "slug": self.environments[int(number) - 1].rpartition("/")[2]}

    def _testrun(self, method: str, path: str, row: _TestRun, part: str, query: dict[str, str]) -> tuple[int, object]:
        if method == "DELETE":
            del self.rows[row.id]
            return 204, ""
        if part in ("tests", "metrics"):
            return 200, self._page(path, query, getattr(row, part))
        if part in ("tests_file", "metrics_file", "metadata_file", "log_file"):
            return 200, row.files.get(part.removesuffix("_file"), b"")
        if part == "attachments":
            found = row.attachments.get(query.get("filename", ""))
            return (404, {"detail": "Not found."}) if found is None else (200, found)
        return 200, self._shown(row)

    def _shown(self, row: _TestRun) -> dict[str, Any]:
        return {
            "id": row.id,
            "build": self._link("builds", self.builds, row.build),
            "environment": self._link("environments", self.environments, row.environment),
            "job_id": row.job_id,
            "job_status": row.metadata.get("job_status"),
            "created_at": row.created,
            "data_processed": row.processed,
            "status_recorded": row.processed,
            "attachments": [{"filename": name, "length": len(data)} for name, data in row.attachments.items()],
        }

    def _page(self, path: str, query: dict[str, str], rows: list[Any]) -> dict[str, Any]:
        """Cursor-paged, without a count."""
        at, size = int(query.get("cursor", 0)), int(query.get("limit", 50))
        rest = "&".join(f"{name}={value}" for name, value in query.items() if name != "cursor")
        more = f"{self.url}{path}?{rest}&cursor={at + size}" if at + size < len(rows) else None
        return {"next": more, "previous": None, "results": rows[at : at + size]}

    def _known(self, known: list[Any], thing: Any) -> Any:
        if thing not in known:
            known.append(thing)
        return thing

    def _link(self, kind: str, known: list[Any], thing: Any) -> str:
        return f"{self.url}/api/{kind}/{known.index(thing) + 1}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SquadServer

    def do_POST(self) -> None:
        """Submit."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Auth-Token") or self.headers.get("Authorization", "").removeprefix("Token ")
        form = _form(self.headers.get("Content-Type", ""), body)
        if sum(len(files) for files in form.values()) > 100:
            return self._say(400, "<h1>Bad Request (400)</h1>")  # DATA_UPLOAD_MAX_NUMBER_FILES
        with self.server.lock:
            answer = self.server.submit(unquote(urlsplit(self.path).path), token, form)
        return self._say(*answer)

    def do_GET(self) -> None:
        """REST."""
        parts = urlsplit(self.path)
        if parts.path.startswith("/api/submit/"):
            return self._say(405, "")
        given = self.headers.get("Authorization", "")
        if given and given != f"Token {_TOKEN}":
            return self._say(403, {"detail": "Invalid token."})
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        with self.server.lock:
            answer = self.server.rest(self.command, parts.path, query)
        return self._say(*answer)

    do_DELETE = do_GET  # noqa: N815

    def _say(self, status: int, body: object) -> None:
        kind = "application/json" if isinstance(body, dict) else "text/html; charset=utf-8"
        data = body if isinstance(body, bytes) else (json.dumps(body) if isinstance(body, dict) else str(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if status != 204:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _form(kind: str, body: bytes) -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {}
    boundary = re.search(r"boundary=([^;]+)", kind)
    for part in body.split(b"--" + boundary[1].strip('"').encode())[1:-1] if boundary else []:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        names = dict(re.findall(r'(\w+)="([^"]*)"', head.decode()))
        found.setdefault(names["name"], []).append((names.get("filename", ""), data.removesuffix(b"\r\n")))
    return found


def _is(row: _TestRun, query: dict[str, str]) -> bool:
    """Their filters; one that they do not know is passed over."""
    return (
        query.get("job_id", row.job_id) == row.job_id
        and row.job_id.startswith(query.get("job_id__startswith", ""))
        and query.get("build__version", row.build[1]) == row.build[1]
    )


def _read(name: str, data: bytes) -> Any:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise _Refused(400, f"{name} is not valid JSON: {error}\n{data.decode()}") from None
    if not isinstance(found, dict):
        raise _Refused(400, f"{name} is not a object ({{}})")
    if name == "metrics" and not all(map(_is_metric, found.values())):
        raise _Refused(400, "a metric has no valid value")
    return found


def _is_metric(value: object) -> bool:
    value = value.get("value") if isinstance(value, dict) else value
    values = value if isinstance(value, list) else [value]
    return all(type(one) in (int, float) for one in values)


def _parsed(name: str) -> tuple[str, str]:
    """``parse_name`` of theirs."""
    parts = name.split("/")
    at = len(parts) - 1
    if parts[-1].endswith("]"):
        for part in reversed(parts):
            if "[" in part:
                at = parts.index(part)
    return "/".join(parts[:at]) or "/", "/".join(parts[at:])


def _named(name: str) -> dict[str, str]:
    suite, short = _parsed(name)
    return {"name": short if suite == "/" else f"{suite}/{short}", "short_name": short}


def _test(name: str, value: Any) -> dict[str, Any]:
    log = value.get("log") if isinstance(value, dict) else None
    result = value.get("result") if isinstance(value, dict) else value
    status = "skip" if result is None else {"pass": "pass", "fail": "fail"}.get(result.lower(), "skip")
    return {**_named(name), "status": status, "log": log}


def _metric(name: str, value: Any) -> dict[str, Any]:
    unit = value.get("unit") if isinstance(value, dict) else None
    value = value.get("value") if isinstance(value, dict) else value
    values = value if isinstance(value, list) else [float(value)]
    return {**_named(name), "result": sum(values) / len(values), "measurement_list": values, "unit": unit}


@contextmanager
def squad_server(*projects: str) -> Iterator[tuple[SquadServer, SquadPlace]]:
    """The server in threads, ended with the block, and its first project; ``lab/board`` and ``lab/other`` are there."""
    server = SquadServer(("lab/board", "lab/other", *projects))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="squad", daemon=True)
    thread.start()
    try:
        yield server, SquadPlace(server.url, _TOKEN)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

"""What kcidb-restd does with submissions (kernelci/kcidb-ng): a queue that is worked off later, objects merged by id.

with kcidb_server() as server:
    server.url, server.token
    server.objects["tests"]        # by id, as the database would have them
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kcidb_io.schema import LATEST

__all__ = ["KcidbServer", "kcidb_server"]

_KEY = b"not a secret"
_KINDS = ("checkouts", "builds", "tests", "issues", "incidents")


@dataclass
class _Submission:
    data: bytes
    looks: int
    status: str = "ready"


class KcidbServer(http.server.ThreadingHTTPServer):
    """Its state. ``looks``: how often a submission is not worked off yet when its status is asked for."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.RLock()
        self.looks = 1
        self.submissions: dict[str, _Submission] = {}
        self.objects: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _KINDS}
        #: objects that came again and were not the same
        self.changed: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def token(self) -> str:
        """A JWT (RFC 7519) for the origin ``lab``."""
        return make_token({"origin": "lab", "exp": int(time.time()) + 3600}, _KEY)

    def forget(self) -> None:
        """It lost its queue."""
        with self.lock:
            self.submissions.clear()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""

    def submit(self, data: bytes) -> tuple[int, dict[str, str]]:
        """Whatever is JSON goes into the queue; nothing else is looked at."""
        try:
            json.loads(data)
        except ValueError as error:
            return 400, {"id": "0", "status": "error", "message": f"invalid JSON: {error}"}
        name = secrets.token_hex(16)
        self.submissions[name] = _Submission(data, self.looks)
        return 200, {"id": name, "status": "ok", "message": "submission received"}

    def status(self, name: str) -> tuple[int, dict[str, str]]:
        """The state of one; each look brings the queue forward."""
        if not name.isalnum():
            return 400, {"id": name, "status": "error", "message": "invalid id"}
        found = self.submissions.get(name)
        if found is None:
            return 404, {"id": name, "status": "notfound", "message": "not found"}
        if found.status in ("ready", "inprogress"):
            found.looks -= 1
            found.status = "inprogress"
            if found.looks < 0:
                found.status = self._ingest(found.data)
        return 200, {"id": name, "status": found.status, "message": ""}

    def drain(self) -> None:
        """Work off what is in the queue, as happens whoever asks."""
        with self.lock:
            for one in self.submissions.values():
                if one.status in ("ready", "inprogress"):
                    one.status = self._ingest(one.data)

    def _ingest(self, data: bytes) -> str:
        found = json.loads(data)
        if not LATEST.is_valid(found):
            return "failed"
        for kind in _KINDS:
            for one in found.get(kind, []):
                known = self.objects[kind].get(one["id"])
                if known is not None and known != one:
                    self.changed.append(one["id"])
                self.objects[kind][one["id"]] = {**(known or {}), **one}
        return "processed"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KcidbServer

    def do_POST(self) -> None:
        """``/submit``."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if urlsplit(self.path).path != "/submit":
            return self._say(404, {})
        return self._answer(lambda: self.server.submit(body))

    def do_GET(self) -> None:
        """``/status``, ``/authtest``."""
        parts = urlsplit(self.path)
        if parts.path == "/authtest":
            return self._answer(lambda: (200, {"status": "ok"}))
        if parts.path != "/status":
            return self._say(404, {})
        name = parse_qs(parts.query).get("id", [""])[0]
        return self._answer(lambda: self.server.status(name))

    def _answer(self, work: Any) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not _is_valid(given):
            return self._say(401, {"id": "0", "status": "error", "message": "Invalid JWT"})
        with self.server.lock:
            status, body = work()
        return self._say(status, body)

    def _say(self, status: int, body: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def make_token(claims: dict[str, Any], key: bytes) -> str:
    """A JWT, HS256."""
    parts = [_encoded(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(parts)
    return f"{signed}.{_encoded(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def _is_valid(token: str) -> bool:
    signed, _, signature = token.rpartition(".")
    if signed.count(".") != 1 or not hmac.compare_digest(
        signature, _encoded(hmac.digest(_KEY, signed.encode(), hashlib.sha256))
    ):
        return False
    payload = signed.partition(".")[2]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return bool(claims["exp"] > time.time())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextmanager
def kcidb_server() -> Iterator[KcidbServer]:
    """The server in threads, ended with the block."""
    server = KcidbServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="kcidb", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

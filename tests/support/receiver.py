"""A web server that takes bundles by POST and honours ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header).

The same key with the same body gets the first answer again, with another body 422; a signature must be right where
there is a secret. What it stored is also in a folder, as a real server's would be on its disk.
"""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Receiver", "receiver"]


class Receiver(http.server.ThreadingHTTPServer):
    """``stored`` is what it has, by key; ``posts`` counts requests that it understood."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, secret: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.secret = secret
        self.posts = 0
        self.created = 0
        #: what it says instead of taking it: status and body, and where a redirection leads
        self.says: tuple[int, bytes] | tuple[int, bytes, str] | None = None
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.server_address[1]

    def url(self, path: str = "/bundles") -> str:
        """Of a place on it."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def stored(self) -> dict[str, bytes]:
        """Bodies by their keys."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        server, headers = self.server, {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:  # half a request is none
            self.close_connection = True
            return None
        key = headers.get("idempotency-key", "")
        with server.lock:
            server.posts += 1
            server.headers.append(headers)
            if server.says:
                return self._answer(*server.says)
            if not key or "/" in key:
                return self._answer(400, b"an Idempotency-Key is needed")
            mac = "sha256=" + hmac.new(server.secret.encode(), body, hashlib.sha256).hexdigest()
            if server.secret and headers.get("x-hub-signature-256") != mac:
                return self._answer(401, b"the signature is wrong")
            path = server.folder / key
            if not path.exists():
                path.write_bytes(body)
                server.created += 1
            elif path.read_bytes() != body:
                return self._answer(422, b"this key was used for another body")
        return self._answer(201, json.dumps({"id": f"bundle-{key[:8]}"}).encode(), f"/bundles/{key}")

    def _answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 201 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at what it has."""


@contextmanager
def receiver(folder: Path, secret: str = "") -> Iterator[Receiver]:
    """A server in a thread, ended with the block; what it stored stays in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Receiver(folder, secret)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

"""A web server on loopback with validators and ranges (RFC 9110), which can be told to go wrong."""

from __future__ import annotations

import email.utils
import hashlib
import http.server
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

__all__ = ["WebServer", "web_server"]


class WebServer(http.server.ThreadingHTTPServer):
    """Serves a folder. ``cut`` holds after how many bytes of a body the connection is reset, one number a request;
    ``statuses`` the answers of the next requests (0: as it should be), ``redirections`` where a path leads."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.folder = folder
        self.cut: list[int] = []
        self.statuses: list[int] = []
        self.redirections: dict[str, str] = {}
        self.ranges = self.validators = True
        self.claims_more = 0  # bytes that Content-Length promises too much
        self.users: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.lock = threading.Lock()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            status = server.statuses.pop(0) if server.statuses else 302 if self.path in server.redirections else 0
            cut = server.cut.pop(0) if server.cut else -1
        path = server.folder / unquote(self.path).lstrip("/")
        if self.path.startswith("http://"):  # we are a proxy
            path = server.folder / self.path.split("/", 3)[3]
        if status:
            return self._empty(status)
        if server.users and self.headers.get("Authorization", "") not in server.users:
            return self._empty(401)
        if not path.is_file():
            return self._empty(404)
        data = path.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        modified = email.utils.formatdate(path.stat().st_mtime, usegmt=True)
        asked = self.headers.get("If-None-Match")  # then the time does not count: RFC 9110, 13.1.3
        known = asked == etag if asked else self.headers.get("If-Modified-Since") == modified
        if server.validators and known:
            return self._empty(304)
        begin = self._begin(data, (etag, modified))
        if begin is not None and begin >= len(data):
            return self._empty(416)
        self.send_response(206 if begin is not None else 200)
        if server.validators:
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", modified)
        if begin is not None:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        body = data[begin or 0 :]
        self.send_header("Content-Length", str(len(body) + server.claims_more))
        self.end_headers()
        self._send(body, cut)
        return None

    def _begin(self, data: bytes, current: tuple[str, str]) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not match or not self.server.ranges or (condition and condition not in current):
            return None
        return int(match[1])

    def _send(self, body: bytes, cut: int) -> None:
        part = body if cut < 0 else body[:cut]
        with self.server.lock:  # before: who has the last byte may look at once
            self.server.sent += len(part)
        self.wfile.write(part)
        if cut >= 0:  # a reset, not an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        if cut >= 0 or self.server.claims_more:
            self.close_connection = True

    def _empty(self, status: int) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.redirections[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at ``requests``."""


@contextmanager
def web_server(folder: Path, port: int = 0) -> Iterator[WebServer]:
    """A server in a thread, ended with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = WebServer(folder, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

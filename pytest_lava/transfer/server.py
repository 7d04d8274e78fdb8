"""A small HTTP server for exactly one file and as long as it takes, at a path that nobody can guess."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError
from pytest_lava.transfer.api import Contents

__all__ = ["FileServer", "serving"]

_CHUNK = 1 << 18
_SLOW = 30.0  # seconds for a request, and for each piece of a file


class FileServer:
    """What it serves, and how far that has come; ``begin`` is how much the other end has already."""

    def __init__(
        self, size: int, begin: int, *, contents: Contents | None = None, write: Callable[[bytes], object] | None = None
    ) -> None:
        self.path = "/" + secrets.token_urlsafe(24)
        self.port = 0
        self.size = size
        #: bytes that are through
        self.at = begin
        #: what went wrong here
        self.error: Exception | None = None
        self._contents = contents
        self._write = write
        self._bell = threading.Condition()

    @property
    def done(self) -> bool:
        """Whether all is through."""
        return self.at >= self.size

    def await_more(self, seen: int, deadline: Deadline) -> bool:
        """Whether it comes further than ``seen`` by then. Raises what went wrong with the file here."""
        with self._bell:
            while self.at == seen and self.error is None and not deadline.expired:
                self._bell.wait(deadline.at_one_go())
            if self.error is not None:
                raise self.error
            return self.at > seen

    # -- for the handler ----------------------------------------------------------------------------------------

    def rest(self) -> Iterator[bytes]:
        """What is to be sent."""
        assert self._contents is not None
        while not self.done and (chunk := self._contents.read(self.at, min(_CHUNK, self.size - self.at))):
            yield chunk
            self._moved(len(chunk))

    @property
    def gives(self) -> bool:
        """Whether the file goes from here to the board."""
        return self._contents is not None

    def take(self, chunk: bytes) -> None:
        """What came."""
        assert self._write is not None
        try:
            self._write(chunk)
        except Exception as error:
            with self._bell:
                self.error = error
                self._bell.notify_all()
            raise
        self._moved(len(chunk))

    def _moved(self, size: int) -> None:
        with self._bell:
            self.at += size
            self._bell.notify_all()


@contextmanager
def serving(served: FileServer, address: str) -> Iterator[None]:
    """Serve at ``address`` of this machine (empty: at all that it has)."""

    class Handler(_Handler):
        file = served

    try:
        server = _Server((address, 0), Handler)
    except OSError as error:
        raise InfrastructureError(f"cannot serve a file at {address or 'this machine'}: {error.strerror}") from error
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is told by the board's side."""


class _Handler(BaseHTTPRequestHandler):
    file: FileServer
    timeout = _SLOW

    def do_GET(self) -> None:
        """The rest of the file; without headers if a bare line asked (HTTP/0.9), as for nc."""
        if self._refused(self.file.gives):
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(self.file.size - self.file.at))
        self.end_headers()
        for chunk in self.file.rest():
            self.wfile.write(chunk)

    def do_PUT(self) -> None:
        """The rest of the file, or all of it: then what is here already is skipped."""
        file = self.file
        if self._refused(not file.gives):
            return
        length = int(self.headers.get("Content-Length") or -1)
        skip = {file.size - file.at: 0, file.size: file.at}.get(length)
        if skip is None:
            self.send_error(400)
            return
        while length > 0 and (chunk := self.rfile.read(min(_CHUNK, length))):
            length -= len(chunk)
            if useful := chunk[skip:]:
                file.take(useful)
            skip -= len(chunk) - len(useful)
        if length:
            return  # cut short
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT  # noqa: N815

    def _refused(self, right_way: bool) -> bool:
        right = secrets.compare_digest(self.path.encode(), self.file.path.encode()) and right_way
        if not right:
            self.send_error(404)
        return not right

    def log_message(self, *_: Any) -> None:
        """The run's own event log tells of transfers."""

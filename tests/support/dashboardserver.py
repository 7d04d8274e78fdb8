"""A dashboard on loopback as lava-dashboard 0.29 behaves, with its traps: XML-RPC, streams and rights, an importer.

``put`` keeps any text and answers with its SHA-1, also if it cannot be imported; only ``deserialize`` and ``bundles``
tell. The same content, and a test run with a uuid that is there already, are refused on the whole server.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.parsers.expat import ExpatError

from support.dashboard_importer import Database, ImportFailed

__all__ = ["DashboardServer", "dashboard_server"]

_STREAM = re.compile(r"/(anonymous)/(?:([\w.-]+)/)?|/(public|private)/(personal|team)/([\w.-]+)/(?:([\w.-]+)/)?")


@dataclass
class Stored:
    """A bundle: row and file, kept also if the import failed."""

    content: str
    filename: str
    stream: str
    user: str
    imported: bool = False
    when: datetime = field(default_factory=lambda: datetime.now(UTC))


class DashboardServer(http.server.ThreadingHTTPServer):
    """``users`` and their tokens, ``teams`` and who is in them; ``lacks`` methods that an older server does not have.

    ``dies_in_import`` counts puts that keep a bundle and import nothing, as of a server that is restarted; ``locked``
    counts calls that the database is too busy for; ``mangles`` changes what is stored.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *, legacy: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.legacy = legacy
        self.users: dict[str, str] = {"lab": "s3cr3t-t0ken"}
        self.teams: dict[str, set[str]] = {"kernel": {"lab"}}
        self.streams: dict[str, tuple[str, str]] = {}
        self.bundles: dict[str, Stored] = {}
        self.database = Database()
        self.lacks: set[str] = set()
        self.dies_in_import = self.locked = 0
        self.mangles = False
        self.calls: list[str] = []
        self.lock = threading.RLock()
        for pathname in ("/anonymous/lab/", "/private/personal/lab/", "/public/team/kernel/nightly/"):
            self.streams[pathname] = _owner(pathname)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def url(self, user: str = "", token: str = "") -> str:
        """Its endpoint."""
        who = f"{user}:{token}@" if user else ""
        return f"http://{who}127.0.0.1:{self.port}{'/dashboard/xml-rpc/' if self.legacy else '/RPC2/'}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""

    # -- methods ------------------------------------------------------------------------------------------------

    def version(self, user: str) -> str:
        return "0.29.0.final.0"

    def put(self, user: str, content: str, content_filename: str, pathname: str) -> str:
        self._stream(user, pathname)
        if not self._may_upload(user, pathname):
            raise xmlrpc.client.Fault(403, "You cannot upload to this stream")
        self._locked()
        try:
            data = content.encode("ascii")
        except UnicodeEncodeError as error:
            raise xmlrpc.client.Fault(409, str(error)) from None
        if len(content_filename) > 256:
            raise xmlrpc.client.Fault(409, "value too long for type character varying(256)")
        if self.mangles:
            data = data.replace(b"\n", b" ")
        sha1 = hashlib.sha1(data).hexdigest()
        if sha1 in self.bundles:
            raise xmlrpc.client.Fault(409, "UNIQUE constraint failed: dashboard_app_bundle.content_sha1")
        self.bundles[sha1] = bundle = Stored(data.decode("ascii"), content_filename, pathname, user)
        if self.dies_in_import:
            self.dies_in_import -= 1
            return sha1
        try:
            self.database.load(bundle.content)
            bundle.imported = True
        except ImportFailed:
            pass  # kept with the bundle, where nobody looks
        return sha1

    def put_ex(self, user: str, content: str, content_filename: str, pathname: str) -> str:
        sha1 = self.put(user, content, content_filename, pathname)
        return f"http://127.0.0.1:{self.port}/dashboard/permalink/bundle/{sha1}/"

    def get(self, user: str, content_sha1: str) -> dict[str, str]:
        bundle = self._bundle(user, content_sha1)
        return {"content": bundle.content, "content_filename": bundle.filename}

    def deserialize(self, user: str, content_sha1: str) -> bool:
        bundle = self._bundle(user, content_sha1)
        if bundle.imported:
            return False
        self._locked()
        try:
            self.database.load(bundle.content)
        except ImportFailed as error:
            raise xmlrpc.client.Fault(409, str(error)) from None
        bundle.imported = True
        return True

    def bundles_(self, user: str, pathname: str) -> list[dict[str, object]]:
        self._stream(user, pathname)
        return [
            {
                "uploaded_by": bundle.user, "uploaded_on": bundle.when, "content_filename": bundle.filename,
                "content_sha1": sha1, "content_size": len(bundle.content), "is_deserialized": bundle.imported,
            }
            for sha1, bundle in self.bundles.items()
            if bundle.stream == pathname
        ]  # fmt: skip

    def streams_(self, user: str) -> list[dict[str, object]]:
        return [
            {
                "pathname": pathname, "name": "", "user": owner if kind == "personal" else "",
                "group": owner if kind == "team" else "", "bundle_count": len(self.bundles_(user, pathname)),
            }
            for pathname, (kind, owner) in self.streams.items()
            if self._may_see(user, pathname)
        ]  # fmt: skip

    def make_stream(self, user: str, pathname: str, name: str) -> str:
        if not _STREAM.fullmatch(pathname):
            raise xmlrpc.client.Fault(403, "Malformed pathname")
        if not user and not pathname.startswith("/anonymous/"):
            raise xmlrpc.client.Fault(403, "Only anonymous streams can be constructed (you are not signed in)")
        if not self._may_upload(user, pathname):
            raise xmlrpc.client.Fault(403, "Only user owned streams, or of your groups, can be constructed")
        if pathname in self.streams:
            raise xmlrpc.client.Fault(409, "Stream with the specified pathname already exists")
        self.streams[pathname] = _owner(pathname)
        return pathname

    # -- rights -------------------------------------------------------------------------------------------------

    def _may_upload(self, user: str, pathname: str) -> bool:
        kind, owner = _owner(pathname)
        return kind == "anonymous" or (kind == "personal" and owner == user) or user in self.teams.get(owner, ())

    def _may_see(self, user: str, pathname: str) -> bool:
        return not pathname.startswith("/private/") or self._may_upload(user, pathname)

    def _stream(self, user: str, pathname: str) -> None:
        if pathname not in self.streams or not self._may_see(user, pathname):
            raise xmlrpc.client.Fault(404, "Bundle stream not found")

    def _bundle(self, user: str, sha1: str) -> Stored:
        found = self.bundles.get(sha1)
        if found is None or not self._may_see(user, found.stream):
            raise xmlrpc.client.Fault(404, "Bundle not found")
        return found

    def _locked(self) -> None:
        if self.locked:
            self.locked -= 1
            raise xmlrpc.client.Fault(409, "database is locked")

    def method(self, name: str) -> Callable[..., object] | None:
        """What is called by this name."""
        known = {
            "version": self.version, "put": self.put, "put_ex": self.put_ex, "get": self.get, "streams": self.streams_,
            "deserialize": self.deserialize, "bundles": self.bundles_, "make_stream": self.make_stream,
        }  # fmt: skip
        if not self.legacy:
            if not name.startswith("dashboard."):
                return None
            name = name.removeprefix("dashboard.")
        return None if name in self.lacks else known.get(name)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DashboardServer

    def do_GET(self) -> None:
        self._say(302, b"", Location="/api/help/")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != ("/dashboard/xml-rpc/" if self.server.legacy else "/RPC2/"):
            return self._say(404, b"<h1>Not Found</h1>")
        if not body:
            return self.do_GET()
        user = self._user()
        if user is None:
            return None
        with self.server.lock:
            answer = self._call(user, body)
        return self._say(200, answer, **{"Content-Type": "application/xml; charset=utf-8"})

    def _call(self, user: str, body: bytes) -> bytes:
        try:
            params, name = xmlrpc.client.loads(body, use_builtin_types=True)
            self.server.calls.append(str(name))
            method = self.server.method(str(name))
            if method is None:
                raise xmlrpc.client.Fault(-32601, f"No such method: {name!r}")
            answer: Any = (method(user, *params),)
        except xmlrpc.client.Fault as fault:
            answer = fault
        except ExpatError as error:
            answer = xmlrpc.client.Fault(-32700, f"parse error; not well formed: {error}")
        except TypeError as error:
            answer = xmlrpc.client.Fault(-32602, f"invalid method parameters: {error}")
        return xmlrpc.client.dumps(answer, methodresponse=True, allow_none=True).encode()

    def _user(self) -> str | None:
        """Who calls; empty for nobody, None if that was answered already."""
        given = self.headers.get("Authorization")
        if given is None:
            return ""
        try:
            kind, _, encoded = given.partition(" ")
            user, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            kind = ""
        if kind != "Basic":
            self._say(400, b"Unsupported or corrupt header")
            return None
        if not user or self.server.users.get(user) != token:
            realm = 'Basic realm="XML-RPC Authentication token"'
            self._say(
                401, f"Invalid token: {token} in {given}".encode(), **{"WWW-Authenticate": realm}
            )  # some echo what they got
            return None
        return user

    def _say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _owner(pathname: str) -> tuple[str, str]:
    """Kind and owner of a stream."""
    parts = pathname.strip("/").split("/")
    return ("anonymous", "") if parts[0] == "anonymous" else (parts[1], parts[2])


@contextmanager
def dashboard_server(*, legacy: bool = False) -> Iterator[DashboardServer]:
    """A dashboard in a thread, ended with the block. ``legacy``: the endpoint of before ``RPC2/``."""
    server = DashboardServer(legacy=legacy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

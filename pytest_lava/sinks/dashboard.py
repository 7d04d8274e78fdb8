"""The sink ``dashboard``: a bundle to a Linaro/LAVA dashboard over XML-RPC, and proof that it was imported.

``put`` takes any text, keeps it and answers with its SHA-1; whether the results in it were imported is only known by
``deserialize``. Content is unique on a server by that SHA-1, so sending the same bytes again does no harm, while other
bytes with the same run uuids are refused. Methods and codes: lava-dashboard 0.29, ``dashboard_app/xmlrpc.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, LavaError
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import dump_bundle
from pytest_lava.results.bundle.schema import DEFAULT_VERSION, bundle_format, validate
from pytest_lava.results.journal import read
from pytest_lava.results.run_files import write_atomically
from pytest_lava.results.text import ascii_only
from pytest_lava.sinks.api import Parcel, Receipt, Results, Secrets, SinkBusy, SinkRefused
from pytest_lava.sinks.dashboard_numbers import fit_numbers
from pytest_lava.sinks.http_client import HttpClient
from pytest_lava.sinks.secrets import variable
from pytest_lava.sinks.xmlrpc import UNKNOWN_METHOD, Fault, XmlRpc

__all__ = ["DashboardSink", "endpoint"]

_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
#: AUTH_FAILED, AUTH_BLOCKED
_TOKEN = (100, 101, 401)
#: internal errors, of the method and of the XML-RPC layer
_PASSING = (500, -32500, -32603)
#: 409 is whatever was said, and these are first words of a database that is busy (SQLite, PostgreSQL); further on they
#: may be part of results that are quoted
_LOCKED = re.compile(
    r"database (table )?is locked|deadlock detected|could not serialize access|could not connect to server|"
    r"server closed the connection|canceling statement due to|"
    r"(FATAL: +)?(sorry, )?(too many clients|remaining connection)"
)
_LINK = re.compile(r"https?://[!-~]+")
_STREAM = re.compile(r"/anonymous/([^/\s]+/)?|/(public|private)/(personal|team)/[^/\s]+/([^/\s]+/)?")
_CONTENT, _NAME = "bundle.json", "name"
_NAME_LIMIT = 256


class DashboardSink:
    """Implements :class:`pytest_lava.sinks.api.Sink` for ``kind = "dashboard"``."""

    class Options(BaseModel):
        """``url`` of the XML-RPC endpoint, ``stream`` (its pathname there), ``user``; ``version`` of the bundle;
        ``create_stream``: make the stream if it is not there."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        url: str
        stream: str
        user: str = ""
        version: str = DEFAULT_VERSION
        create_stream: bool = Field(default=False)

        @field_validator("url")
        @classmethod
        def _url(cls, text: str) -> str:
            parts = urlsplit(text)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("give a URL such as https://HOST/RPC2/")
            if "@" in parts.netloc:
                raise ValueError("a URL in a file holds no user and no token: set user, and give the token apart")
            return text

        @field_validator("stream")
        @classmethod
        def _stream(cls, text: str) -> str:
            if not _STREAM.fullmatch(text):
                raise ValueError(
                    "a stream is /anonymous/NAME/, /public/personal/USER/NAME/, /public/team/GROUP/NAME/, or the same "
                    "with /private; the slashes at both ends belong to it"
                )
            return text

        @field_validator("version")
        @classmethod
        def _version(cls, text: str) -> str:
            try:
                return bundle_format(text).version
            except ConfigurationError as error:
                raise ValueError(str(error)) from None

    def __init__(self, name: str, options: Options, secrets: Secrets) -> None:
        self.name = name
        self._options = options
        self._secrets = secrets

    def pack(self, results: Results, folder: Path) -> None:
        """The run's bundle as it is, or made again from the journal if this dashboard wants another version.

        Raises ``SinkRefused`` if there is none that could be sent, ``InfrastructureError`` if it cannot be written.
        """
        try:
            data = self._bundle(results)
        except (ConfigurationError, OSError) as error:
            raise SinkRefused(f"there is no bundle for {self.name}: {error}") from error
        write_atomically(folder / _CONTENT, data)
        name = ascii_only(f"{results.folder.name or results.uuid}.json")[-_NAME_LIMIT:]
        write_atomically(folder / _NAME, name.encode("ascii"))

    def _bundle(self, results: Results) -> bytes:
        wanted = bundle_format(self._options.version)
        data = results.bundle.read_bytes()
        try:
            document = json.loads(data)
        except ValueError as error:
            raise ConfigurationError(f"{results.bundle} is no JSON: {error}") from error
        if not isinstance(document, dict) or document.get("format") != wanted.name:
            document = build_bundle(read(results.folder), version=wanted.version, folder=results.folder)
            data = dump_bundle(document).encode("ascii")
        if fit_numbers(document):
            data = dump_bundle(document).encode("ascii")
        validate(document, source=str(results.bundle))
        if not data.isascii() or b"\r" in data:  # XML would change the one, and the dashboard refuses the other
            data = dump_bundle(document).encode("ascii")
        return data

    def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
        """Put the bundle, and see that its results were imported."""
        upload = _Upload.of(parcel.folder)
        server = self._server()
        try:
            link = self._put(server, upload, deadline)
            if link:
                parcel.remember({**parcel.progress, "url": link})
            else:
                self._of_this_stream(server, upload, deadline)
            self._imported(server, upload, deadline)
        except Fault as fault:
            raise self._failure(fault) from None
        return Receipt(upload.sha1, link or parcel.progress.get("url") or _permalink(self._options.url, upload.sha1))

    # -- the steps ----------------------------------------------------------------------------------------------

    def _put(self, server: XmlRpc, upload: _Upload, deadline: Deadline) -> str:
        """Where the server shows the bundle; empty if it has had it before."""
        try:
            return self._put_into_stream(server, upload, deadline)
        except Fault as fault:
            if fault.code != _CONFLICT:
                raise
            if not self._has(server, upload, deadline):
                raise  # so the conflict is about something else
            return ""

    def _has(self, server: XmlRpc, upload: _Upload, deadline: Deadline) -> bool:
        """Whether the server has the bundle, in whatever stream."""
        try:
            server.call("deserialize", upload.sha1, deadline=deadline)
        except Fault as fault:
            if fault.code == UNKNOWN_METHOD:
                return upload.sha1 in self._stored(server, deadline)
            if fault.code != _NOT_FOUND:
                raise self._not_imported(fault) from None
            return False
        return True

    def _put_into_stream(self, server: XmlRpc, upload: _Upload, deadline: Deadline) -> str:
        try:
            return self._put_once(server, upload, deadline)
        except Fault as fault:
            if fault.code != _NOT_FOUND or not self._options.create_stream:
                raise
        self._make_stream(server, deadline)
        return self._put_once(server, upload, deadline)

    def _put_once(self, server: XmlRpc, upload: _Upload, deadline: Deadline) -> str:
        what = (upload.content, upload.name, self._options.stream)
        try:
            answer = str(server.call("put_ex", *what, deadline=deadline))
        except Fault as fault:
            if fault.code != UNKNOWN_METHOD:  # put_ex is of 2011-08
                raise
            server.call("put", *what, deadline=deadline)
            return _permalink(self._options.url, upload.sha1)
        return answer if _LINK.fullmatch(answer) else _permalink(self._options.url, upload.sha1)

    def _make_stream(self, server: XmlRpc, deadline: Deadline) -> None:
        stream = self._options.stream
        try:
            server.call("make_stream", stream, stream.rstrip("/").rpartition("/")[2], deadline=deadline)
        except Fault as fault:
            if fault.code != _CONFLICT:  # somebody made it meanwhile, or it is there and not ours: put will tell
                raise SinkRefused(
                    f"the stream {stream} cannot be made on {self._host}: make it there, or name another one; "
                    f"the dashboard says: {self._said(fault)}"
                ) from None

    def _of_this_stream(self, server: XmlRpc, upload: _Upload, deadline: Deadline) -> None:
        """Content is unique on the whole server; ours may be there because of another sink, or of another stream."""
        if upload.sha1 not in self._stored(server, deadline):
            raise SinkRefused(
                f"{self._host} has this bundle already, but not in the stream {self._options.stream}: "
                "a dashboard takes each only once; look for its results in the other stream"
            )

    def _imported(self, server: XmlRpc, upload: _Upload, deadline: Deadline) -> None:
        try:
            server.call("deserialize", upload.sha1, deadline=deadline)  # True: now, False: before
        except Fault as fault:
            found: bool | None = None
            if fault.code == UNKNOWN_METHOD:
                found = self._stored(server, deadline).get(upload.sha1)
            elif fault.code != _NOT_FOUND:
                raise self._not_imported(fault) from None
            if found is None:
                raise SinkBusy(f"{self._host} does not have the bundle that it has just taken") from None
            if not found:
                raise SinkRefused(
                    f"{self._host} took the bundle, but did not import it, and does not say why"
                ) from None

    def _stored(self, server: XmlRpc, deadline: Deadline) -> dict[str, bool]:
        """The bundles in our stream by SHA-1, and whether each was imported."""
        found = server.call("bundles", self._options.stream, deadline=deadline)
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        return {str(row.get("content_sha1")): bool(row.get("is_deserialized")) for row in rows}

    # -- what the server says -----------------------------------------------------------------------------------

    def _not_imported(self, fault: Fault) -> LavaError:
        if fault.code != _CONFLICT or _LOCKED.match(fault.text.strip()):
            return self._failure(fault)
        if "already exists" in fault.text and "UUID" in fault.text:
            return SinkRefused(
                f"{self._host} has results of this run already, from another bundle: they cannot be replaced; "
                f"it says: {self._said(fault)}"
            )
        return SinkRefused(f"{self._host} took the bundle, but could not import it; it says: {self._said(fault)}")

    def _failure(self, fault: Fault) -> LavaError:
        host, stream, said = self._host, self._options.stream, self._said(fault)
        if fault.code in _PASSING or (fault.code == _CONFLICT and _LOCKED.match(fault.text.strip())):
            return SinkBusy(f"{host} could not do it now; it says: {said}")
        if fault.code == _NOT_FOUND:
            return SinkRefused(
                f"{host} has no stream {stream} that {self._who} may see: correct the name or the token, or set "
                f"create_stream = true; it says: {said}"
            )
        if fault.code == _FORBIDDEN:
            return SinkRefused(
                f"{self._who} may not upload to {stream} on {host}: use another stream or user; it says: {said}"
            )
        if fault.code in _TOKEN:
            return SinkRefused(f"{host} does not know the token of {self._who}: set the right one; it says: {said}")
        return SinkRefused(f"{host} will not take the bundle; it says: {said}")

    def _said(self, fault: Fault) -> str:
        return self._secrets.mask(f"{' '.join(fault.text.split())[:400]} (fault {fault.code})")

    # -- who we are ---------------------------------------------------------------------------------------------

    @property
    def _host(self) -> str:
        return urlsplit(self._options.url).netloc

    @property
    def _who(self) -> str:
        auth = self._auth()
        return f"the user {auth[0]}" if auth else "nobody (no user is set)"

    def _server(self) -> XmlRpc:
        url, prefix = endpoint(self._options.url)
        return XmlRpc(HttpClient(self._secrets, name=self.name), url, auth=self._auth(), prefix=prefix)

    def _auth(self) -> tuple[str, str] | None:
        user = self._options.user
        if user:
            token = self._secrets.get(self.name, urlsplit(self._options.url).hostname or "")
            if not token:
                raise ConfigurationError(
                    f"there is no token for the user {user} of {self.name}: set {variable(self.name)}"
                )
            return user, token
        # without a host: a password of netrc belongs to a user that we do not know
        user, colon, token = self._secrets.get(self.name, "").partition(":")
        if user and not colon:
            raise ConfigurationError(
                f"whose token is {variable(self.name)}? Make it USER:TOKEN, or set user of {self.name}"
            )
        return (user, token) if user else None


@dataclass(frozen=True)
class _Upload:
    """What is sent: always the same bytes, named by their SHA-1 as the server does."""

    content: str
    name: str
    sha1: str

    @classmethod
    def of(cls, folder: Path) -> _Upload:
        data = (folder / _CONTENT).read_bytes()
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return cls(data.decode("ascii"), (folder / _NAME).read_text("ascii"), sha1)


def endpoint(url: str) -> tuple[str, str]:
    """The URL to post to, and what stands before each method's name there: legacy ``xml-rpc/`` has nothing.

    >>> endpoint("http://h/RPC2"), endpoint("http://h"), endpoint("http://h/dashboard")
    (('http://h/RPC2/', 'dashboard.'), ('http://h/RPC2/', 'dashboard.'), ('http://h/dashboard/xml-rpc/', ''))
    """
    url = url.rstrip("/") + ("/" if urlsplit(url).path.strip("/") else "/RPC2/")
    if url.endswith("dashboard/"):
        url += "xml-rpc/"
    return url, "" if url.endswith("xml-rpc/") else "dashboard."


def _permalink(url: str, sha1: str) -> str:
    """Where a dashboard of the usual layout shows a bundle."""
    root = re.sub(r"(RPC2|dashboard/xml-rpc|xml-rpc)/$", "", endpoint(url)[0])
    return f"{root}dashboard/permalink/bundle/{sha1}/"

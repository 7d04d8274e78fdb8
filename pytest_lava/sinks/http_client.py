"""HTTP as all sinks speak it: one request, one answer, within a deadline; what failed is said and classified.

There is no retry here, as only a sink knows whether sending twice is harmless; the spool tries again. Redirects are
not followed: a POST would become a GET, and a token would go to another host. Proxies and CA files are those of the
environment, which requests honours. HTTP: RFC 9110; ``Retry-After`` is section 10.2.3.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectTimeout, RequestException, SSLError, Timeout
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import Secrets, SinkBusy, SinkRefused
from pytest_lava.sinks.secrets import variable

__all__ = ["Answer", "HttpClient", "retry_after"]

_CONNECT, _SILENCE = 10.0, 180.0  # seconds; a SQUAD server takes 40 s for 10,000 tests
_LEAST = 0.1  # seconds that are given to a step that has to be tried at all
_SUCCESS = range(200, 300)
_PASSING = {408, 425, 429}
_MOVED = {301, 308}  # for good; a gate on the way (a hotel's login page) says 302, 303 or 307
_ANSWER = 64 << 20  # bytes of an answer, more than any server has a reason for
_EXCERPT = 400  # characters of what a server said
_PAGE = re.compile(rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html)\b")
_WHY = {
    401: "the server does not know the token: set the right one{variable}",
    403: "the server refuses the user of the token: it needs the right to submit",
    404: "there is no such place on the server: correct the URL",
    405: "the server takes nothing there: correct the URL",
    413: "it is too large for the server: raise the limit there, or send less",
}


@dataclass(frozen=True)
class Answer:
    """What a server said. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str = ""
    #: hides secrets, before anything is cut off in the middle of one
    hide: Callable[[str], str] = str

    @property
    def is_page(self) -> bool:
        """Whether it is HTML, for people: of a server that speaks to programs it is hardly the server's own."""
        return "html" in self.headers.get("content-type", "") or bool(_PAGE.match(self.body))

    @property
    def text(self) -> str:
        """The body, as far as it is UTF-8."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. A page of some proxy in its place is passing: ``SinkBusy``."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise SinkBusy(f"the server answered {self.status} with something that is no JSON{self.said()}") from None

    def said(self) -> str:
        """Its own words as the end of a sentence, short and without markup; empty if there are none."""
        text = re.sub(r"(?is)<(script|style|head)\b.*?</\1>|<[^>]*>", " ", self.hide(self.text))
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return f"; it says: {text[:_EXCERPT]}{'...' if len(text) > _EXCERPT else ''}" if text else ""


class HttpClient:
    """Speaks with one server. ``headers`` go with each request; messages are masked by ``secrets``.

    ``name`` is the sink's, to say where its token is set.
    """

    def __init__(self, secrets: Secrets, headers: Mapping[str, str] | None = None, name: str = "") -> None:
        self._secrets = secrets
        self._variable = f" ({variable(name)})" if name else ""
        self._headers = {"User-Agent": "pytest-lava", **(headers or {})}

    def request(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        *,
        data: Any = None,
        files: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        expect: Collection[int] = _SUCCESS,
    ) -> Answer:
        """One request; ``data``, ``files`` and ``params`` as requests has them. Any status in ``expect`` is returned.

        ``SinkBusy`` if the server cannot be reached, breaks off, is silent, or says 408, 425, 429 or 5xx, and for what
        is the network's own answer: a proxy that wants a password, a redirection that a login page may be behind.
        ``SinkRefused`` for any other status.
        """
        if deadline.expired:
            raise SinkBusy(f"{_plain_url(url)} was not asked any more: there was no time left")
        asked = {"data": data, "files": files, "params": params, "auth": auth or _no_auth}
        asked["headers"] = {**self._headers, **(headers or {})}
        try:
            answer = _exchange(method, url, deadline, asked)
        except _TooLong:
            raise SinkBusy(f"{_plain_url(url)} did not answer in time") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise SinkRefused(self._secrets.mask(f"{_plain_url(url)}: correct the URL or the token: {error}")) from None
        except (RequestException, HTTPError, OSError) as error:
            # from None: what stands behind may hold the URL as it was given
            raise SinkBusy(self._secrets.mask(f"cannot reach {_plain_url(url)}: {_reason(error)}")) from None
        answer = replace(answer, hide=self._secrets.mask)
        if answer.status in expect:
            return answer
        raise self.failure(url, answer)

    def failure(self, url: str, answer: Answer) -> SinkBusy | SinkRefused:
        """What an answer with a status that is no good means; for a sink that looked at it first."""
        where, status = _plain_url(url), answer.status
        named = f"{status} {answer.reason}".rstrip()
        if status in _PASSING or status >= 500:
            text = f"{where} answered {named}{answer.said()}"
            return SinkBusy(self._secrets.mask(text), after=retry_after(answer.headers))
        if status == 407:
            text = f"the proxy before {where} wants a user and a password: put them into the proxy's URL ({named})"
            return SinkBusy(self._secrets.mask(text))
        if 300 <= status < 400:
            return self._led_away(url, answer, named)
        why = _WHY.get(status, "the server will not take it").format(variable=self._variable)
        return SinkRefused(self._secrets.mask(f"{where}: {why} ({named}){answer.said()}"))

    def _led_away(self, url: str, answer: Answer, named: str) -> SinkBusy | SinkRefused:
        """A redirection: only what a host says of itself, and for good, is the server's own word."""
        place = answer.headers.get("location", "")
        try:
            leads, same = (
                _plain_url(urljoin(url, place)),
                urlsplit(urljoin(url, place)).hostname == urlsplit(url).hostname,
            )
        except ValueError:
            leads, same = "a place that is no URL", False
        text = f"{_plain_url(url)} leads to {leads if place else 'elsewhere'} ({named}): give that URL"
        if answer.status in _MOVED and place and same:
            return SinkRefused(self._secrets.mask(f"{text}, if it is right"))
        return SinkBusy(
            self._secrets.mask(f"{text}, if it is the server's; if it is a page of the network here, log in there")
        )


def _exchange(method: str, url: str, deadline: Deadline, asked: Mapping[str, Any]) -> Answer:
    left = max(_LEAST, deadline.remaining())
    limits = min(_CONNECT, left), min(_SILENCE, left)
    with _Session() as session, _bounded(session, deadline) as over:
        try:
            response = session.request(method, url, timeout=limits, allow_redirects=False, stream=True, **asked)
            with response:
                body = response.raw.read(_ANSWER, decode_content=True)
        except (RequestException, HTTPError, OSError) as error:
            if over.is_set() or (isinstance(error, Timeout) and not isinstance(error, ConnectTimeout)):
                raise _TooLong from None
            raise
        if over.is_set():  # a stream that is cut looks like one that has ended
            raise _TooLong
    return Answer(
        response.status_code,
        {name.lower(): value for name, value in response.headers.items()},
        body,
        response.reason or "",
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of ``Retry-After``, which is a number of them or a date; None if there is none that can be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


class _TooLong(Exception):
    """The deadline is over."""


@dataclass
class _Sockets:
    """Copies of the descriptors of all connections of one request, by which another thread can end them."""

    copies: list[socket.socket] = field(default_factory=list)

    def made(self, connection: socket.socket) -> socket.socket:
        self.copies.append(connection.dup())  # TLS takes the first one over
        return connection

    def end(self) -> None:
        for copy in self.copies:
            with suppress(OSError):
                copy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for copy in self.copies:
            copy.close()


@contextmanager
def _bounded(session: requests.Session, deadline: Deadline) -> Iterator[threading.Event]:
    """End whatever the session does at the deadline; the event says that this happened.

    A time-out of a socket is one of each read, so a server that sends a byte now and then is waited for for ever.
    """
    sockets, over = _Sockets(), threading.Event()
    adapter = _Adapter(sockets.made)
    session.mount("http://", adapter)
    session.mount("https://", adapter)

    def end() -> None:
        over.set()
        sockets.end()

    timer = threading.Timer(deadline.remaining(), end)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()
        timer.join()
        sockets.close()


class _Session(requests.Session):
    """Without redirections: requests works out where one leads also if it is not to follow, and stumbles over some."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Adapter(HTTPAdapter):
    """requests' own, whose connections are told of as they are made."""

    def __init__(self, made: Callable[[socket.socket], socket.socket]) -> None:
        self._pools = _pools(made)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(made: Callable[[socket.socket], socket.socket]) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return made(super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return made(super()._new_conn())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without one requests would look into netrc by itself, and overwrite a header of ours."""
    return request


def _plain_url(url: str) -> str:
    """Without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or url


def _reason(error: BaseException) -> str:
    """The innermost reason, without the classes that are wrapped around it."""
    if isinstance(error, ConnectTimeout):
        return "it cannot be connected to in time"
    if "IncompleteRead" in str(error):
        return "the answer broke off"
    kind = "TLS failed: " if isinstance(error, SSLError) else ""
    for _ in range(6):
        inner = getattr(error, "reason", None)
        inner = inner if isinstance(inner, BaseException) else (error.args[-1] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error) or type(error).__name__
    text = re.sub(r"^\w+\(host=[^)]*\): |\[Errno -?\d+\] |<[^<>]* object at 0x[0-9a-f]+>:? ?", "", text)
    text = text.removeprefix("Failed to establish a new connection: ")
    return kind + " ".join(text.split())

"""A file behind an http URL as a stream: asked for only if it changed, gone on with after a reset, kept while it comes.

What has come is also in a part file, so that a later run goes on where a killed one was. Proxies and netrc are those of
the environment, which requests honours. HTTP: RFC 9110, sections 8.8 (validators), 13 (conditions), 14 (ranges).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TypeVar

import requests
from requests.exceptions import InvalidSchema, InvalidURL, RequestException, SSLError, Timeout, TooManyRedirects
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from pytest_lava.arguments import without_secret
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import FetchFailed, NetworkError
from pytest_lava.events import utc_now
from pytest_lava.images.tries import FailedTry, TellFailedTry

__all__ = ["BrokenOff", "Validators", "Wire", "get_text"]

T = TypeVar("T")

_CONNECT, _SILENCE = 10.0, 60.0  # seconds
_TRIES = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0  # seconds between two tries, doubled each time
_TEXT = 1 << 20  # bytes of a file of checksums
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_WHY = {
    401: "the server wants a user and a password: put them into ~/.netrc",
    403: "the server refuses it: check the URL and the rights of the user in ~/.netrc",
    404: "there is no such file on the server: correct the URL",
    407: "the proxy wants a user and a password: put them into the proxy's URL",
    410: "the file is gone from the server: correct the URL",
}

#: is told of each failure that is tried again
Report = Callable[[str], None]


class BrokenOff(NetworkError):
    """A download broke off, and the server cannot go on in the middle: it can only begin anew."""


@dataclass(frozen=True)
class Validators:
    """What tells a server whether we have its newest: the ETag and Last-Modified headers, as it sent them."""

    etag: str = ""
    modified: str = ""

    @property
    def for_range(self) -> str:
        """For If-Range; a weak ETag does not promise the same bytes (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class Wire:
    """One download. :meth:`open`, then :meth:`read` until it gives nothing, then :meth:`done` or :meth:`close`.

    ``NetworkError`` for what may pass, after some tries, ``BrokenOff`` among them; ``FetchFailed`` for what the
    submitter has to correct; ``OSError`` if the part file cannot be written.
    """

    def __init__(
        self,
        url: str,
        part: Path,
        deadline: Deadline,
        report: Report = lambda why: None,
        failed: TellFailedTry = lambda one: None,
    ) -> None:
        self._url, self._part, self._deadline, self._report = url, part, deadline, report
        self._shown = without_secret(url)
        self._failed, self._failures = failed, 0
        self._session = requests.Session()
        self._response: requests.Response | None = None
        self._file: IO[bytes] | None = None
        self._old = 0  # bytes of the part file that are still to be read
        self._end = 0  # bytes of the content that are on disk
        self._tries = 0
        self._stopped = threading.Event()
        #: bytes that came over the network
        self.received = 0
        #: bytes that are still to come, as far as the server says so
        self.coming = 0
        self.validators = Validators()
        self._digests = {"sha256": hashlib.sha256()}

    def open(self, known: Validators | None = None, also: str = "sha256") -> bool:
        """Ask for it; False if it is as ``known``. ``also`` is a second checksum to compute."""
        self._digests.setdefault(also, hashlib.new(also, usedforsecurity=False))
        headers = {}
        if known is not None:
            if known.etag:
                headers["If-None-Match"] = known.etag
            if known.modified:
                headers["If-Modified-Since"] = known.modified
        before = self._before() if not headers else None
        return self._again(lambda: self._begin(headers, before))

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        assert self._file is not None
        if self._old:
            data = self._file.read(min(size, self._old))
            self._old -= len(data)
            if self._old == 0 or not data:
                self._old = 0
                self._file.seek(self._end)
        else:
            data = self._again(lambda: self._receive(size))
        for digest in self._digests.values():
            digest.update(data)
        return data

    def digest(self, algorithm: str) -> str:
        """The checksum of all that was read."""
        return self._digests[algorithm].hexdigest()

    def done(self) -> None:
        """All is read and kept elsewhere: the part file goes."""
        self.close()
        self._part.unlink(missing_ok=True)
        _facts_of(self._part).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave what came for another time. May be called from another thread, to end a :meth:`read`."""
        self._stopped.set()
        if self._response is not None:
            with suppress(ValueError, RuntimeError, OSError):  # there is no socket any more
                self._response.raw.shutdown()  # else who closes it waits for the one who reads, that is for the server
            with suppress(AttributeError):  # the one who reads, woken by that, closes it at this very moment
                self._response.close()
        if self._file is not None:
            self._file.close()
        self._session.close()

    # -- inside -------------------------------------------------------------------------------------------------

    def _before(self) -> Validators | None:
        """What an earlier run left, if it can be gone on with."""
        try:
            facts = json.loads(_facts_of(self._part).read_bytes())
            self._end = self._part.stat().st_size
            found = Validators(facts["etag"], facts["modified"])
        except (OSError, ValueError, KeyError, TypeError):
            self._end = 0
            return None
        return found if self._end and found.for_range else None

    def _begin(self, headers: Mapping[str, str], before: Validators | None) -> bool:
        wanted = dict(headers)
        if before is not None:
            wanted |= {"Range": f"bytes={self._end}-", "If-Range": before.for_range}
        response = self._get(wanted)
        if response.status_code == 304:
            return False
        goes_on = response.status_code == 206 and before is not None and _begins_at(response) == self._end
        if before is not None and response.status_code == 416:
            return self._begin(headers, None)  # the part is as long as the whole, or longer
        self._part.parent.mkdir(parents=True, exist_ok=True)
        if self._file is not None:
            self._file.close()
        self._file = self._part.open("r+b" if goes_on else "w+b", buffering=0)
        self._old = self._end if goes_on else 0
        self._end = self._old
        length = response.headers.get("Content-Length", "")
        self.coming = int(length) if length.isdecimal() else 0
        self.validators = _validators(response)
        _facts_of(self._part).write_text(json.dumps(asdict(self.validators)))
        return True

    def _receive(self, size: int) -> bytes:
        """What comes next from the network, which is asked again from here on if it broke."""
        if self._response is None:
            self._resume()
        response, file = self._response, self._file
        assert response is not None
        assert file is not None
        try:
            data: bytes = response.raw.read1(size, decode_content=False)
        except (HTTPError, OSError):
            self._response = None
            response.close()
            raise
        if data:
            self._tries = 0  # it moves
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            self._end += len(data)
            self.received += len(data)
        return data

    def _resume(self) -> None:
        validator = self.validators.for_range
        if not validator:
            raise BrokenOff(f"{self._shown} broke off, and its server cannot go on in the middle")
        response = self._get({"Range": f"bytes={self._end}-", "If-Range": validator})
        if response.status_code != 206 or _begins_at(response) != self._end:
            response.close()
            self._response = None
            raise BrokenOff(f"{self._shown} broke off, and its server did not go on in the middle")

    def _get(self, headers: Mapping[str, str]) -> requests.Response:
        limits = min(_CONNECT, self._deadline.remaining()), min(_SILENCE, max(1.0, self._deadline.remaining()))
        response = self._session.get(
            self._url, headers={"Accept-Encoding": "identity", **headers}, stream=True, timeout=limits
        )
        self._response = response
        status = response.status_code
        if status in (200, 206, 304, 416):
            return response
        response.close()
        if status in _PASSING:
            raise _Passing(f"the server answered {status} {response.reason}")
        why = _WHY.get(status, f"the server answered {status} {response.reason}: correct the URL")
        raise FetchFailed(f"cannot fetch {self._shown}: {why}")

    def _again(self, step: Callable[[], T]) -> T:
        """Do it, and again if the network fails, with pauses in between."""
        while True:
            start, t0 = utc_now(), monotonic()
            try:
                return step()
            except InvalidSchema as error:  # of a redirection
                raise FetchFailed(f"cannot fetch {self._shown}: it leads to what is not fetched, {error}") from error
            except (SSLError, InvalidURL, TooManyRedirects) as error:
                raise FetchFailed(f"cannot fetch {self._shown}: {error}") from error
            except (RequestException, HTTPError, ConnectionError, TimeoutError, _Passing) as error:
                why = _plain(error, monotonic() - t0)
            self._tries += 1
            self._failures += 1
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self._tries - 1))
            last = self._stopped.is_set() or self._tries >= _TRIES or self._deadline.remaining() <= pause
            if not last or self._failures > 1:
                of = self._failures - self._tries + _TRIES
                told = f"{why} (at byte {self._end})"
                self._failed(FailedTry(self._shown, self._failures, of, told, start, monotonic() - t0, last))
            if last:
                count = f"{self._tries} {'try' if self._tries == 1 else 'tries'}"
                raise NetworkError(f"cannot fetch {self._shown}: {why} ({count})")
            self._report(f"fetching {self._shown} failed at byte {self._end}: {why}; it is tried again")
            self._stopped.wait(pause)


class _Passing(Exception):
    """A status that may be another one soon."""


def get_text(url: str, deadline: Deadline) -> str:
    """A small text file. Errors as those of :class:`Wire`."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        wire = Wire(url, Path(folder) / "text", deadline)
        try:
            wire.open()
            text = b""
            while data := wire.read(_TEXT):
                text += data
                if len(text) > _TEXT:
                    raise FetchFailed(f"{without_secret(url)} is too long for a file of checksums: correct sums=")
        finally:
            wire.close()
    return text.decode(errors="replace")


def _facts_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _validators(response: requests.Response) -> Validators:
    return Validators(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _begins_at(response: requests.Response) -> int:
    """Of a partial answer: ``Content-Range: bytes 1000-1999/2000``."""
    word = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(word) if word.isdigit() else -1


def _plain(error: BaseException, seconds: float) -> str:
    """The innermost reason, without the classes that are wrapped around it; ``seconds`` were waited."""
    for _ in range(6):
        inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, (Timeout, HTTPTimeout)) and not isinstance(error, NewConnectionError):  # refused is none
        return f"no answer within {seconds:.0f} s"
    text = str(error) or type(error).__name__
    return text.rsplit(": ", 1)[-1] if "object at 0x" in text else text

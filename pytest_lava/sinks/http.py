"""The bundle by POST to any web server that takes JSON: once for its key, signed by a shared secret.

``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header) is the run's uuid: a server that honours it stores a
bundle once, however often it comes. ``X-Hub-Signature-256: sha256=HEX`` is the HMAC-SHA256 of the body, as GitHub signs
its web hooks, so that libraries which check it exist for every server.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urljoin, urlsplit

from pydantic import AfterValidator, Field, model_validator

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.sinks.api import Parcel, Receipt, Results, Secrets, SinkBusy
from pytest_lava.sinks.http_client import Answer, HttpClient
from pytest_lava.sinks.secrets import variable

__all__ = ["HttpSink"]

_BUNDLE = "bundle.json"
_CONFLICTS = 5  # tries that a server may call too early, before it is believed that it means something else
_PIECE = 1 << 20


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write http://HOST/PATH or https://HOST/PATH")
    return text


class HttpSink:
    """A web server that takes the bundle."""

    class Options(Strict):
        """Keys of ``[sinks.NAME]`` with ``kind = "http"``."""

        url: Annotated[str, AfterValidator(_http_url)] = Field(description="where the bundle is posted to")
        auth: Literal["signature", "bearer", "basic", "none"] = Field(
            default="signature", description="what the secret is used for, if there is one"
        )
        user: str = Field(default="", description='the user of auth = "basic", which one implies')
        html: bool = Field(default=False, description="an answer in HTML is the server's own, and no page before it")

        @model_validator(mode="after")
        def _user_and_auth(self) -> Self:
            if self.user and self.auth != "basic":
                if "auth" in self.model_fields_set:
                    raise ValueError('a user is for auth = "basic" only')
                return self.model_copy(update={"auth": "basic"})
            return self

    def __init__(self, name: str, options: Options, secrets: Secrets) -> None:
        self.name = name
        self._options = options
        self._secrets = secrets
        self._client = HttpClient(secrets, name=name)

    def pack(self, results: Results, folder: Path) -> None:
        """A copy of the bundle."""
        shutil.copyfile(results.bundle, folder / _BUNDLE)

    def send(self, parcel: Parcel, deadline: Deadline) -> Receipt:
        """Post it; any 2xx is a receipt, unless it is a page for people."""
        url, path = self._options.url, parcel.folder / _BUNDLE
        secret = self._secrets.get(self.name, urlsplit(url).hostname or "")
        headers = {"Content-Type": "application/json", "Idempotency-Key": parcel.uuid}
        auth = self._authorise(headers, secret, path)
        with path.open("rb") as body:
            answer = self._client.request(
                "POST", url, deadline, data=body, headers=headers, auth=auth, expect={*range(200, 300), 409}
            )
        if answer.status == 409:
            raise self._conflict(parcel, answer)
        if answer.is_page and not self._options.html:
            raise SinkBusy(
                self._secrets.mask(
                    f"{url} answered with a page in HTML, which may be another one's than the server's{answer.said()}; "
                    "set html = true if it is right"
                )
            )
        place = answer.headers.get("location", "")
        return Receipt(_id_of(answer) or parcel.uuid, urljoin(url, place) if place else "")

    def _authorise(self, headers: dict[str, str], secret: str, path: Path) -> tuple[str, str] | None:
        auth = self._options.auth
        if auth in ("basic", "bearer") and not secret:
            raise ConfigurationError(f"the sink {self.name!r} has no secret: set {variable(self.name)}")
        if auth == "basic":
            return self._options.user, secret
        if auth == "bearer":
            headers["Authorization"] = f"Bearer {secret}"
        elif auth == "signature" and secret:
            headers["X-Hub-Signature-256"] = f"sha256={_signature(secret, path)}"
        return None

    def _conflict(self, parcel: Parcel, answer: Answer) -> Exception:
        """The draft: an earlier request with this key is in progress. Others say it of what they will not have."""
        count = int(parcel.progress.get("conflicts", "0")) + 1
        parcel.remember({**parcel.progress, "conflicts": str(count)})
        if count > _CONFLICTS:
            return self._client.failure(self._options.url, answer)
        text = f"{self._options.url} is still busy with an earlier try (409){answer.said()}"
        return SinkBusy(self._secrets.mask(text))


def _signature(secret: str, path: Path) -> str:
    mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            mac.update(piece)
    return mac.hexdigest()


def _id_of(answer: Answer) -> str:
    """The server's own name for what it got, if it tells one."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return ""
    return str(found["id"])[:200] if isinstance(found, dict) and "id" in found else ""

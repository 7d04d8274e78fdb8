"""The dashboard sink and a dashboard, seen from the caller's side and read back over XML-RPC.

Runs against the server of tests/support, and against a real one too where ``LAVA_TEST_DASHBOARD`` is its endpoint with
user and token (``http://USER:TOKEN@HOST/RPC2/``): streams are made below ``/anonymous/``, and bundles stay there.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.dashboardserver import dashboard_server
from support.finishedrun import finished_run

from pytest_lava.deadline import Deadline
from pytest_lava.results.run_files import write_atomically
from pytest_lava.sinks.api import Parcel, Receipt, Results, SinkRefused
from pytest_lava.sinks.dashboard import DashboardSink
from pytest_lava.sinks.secrets import FoundSecrets

REAL = os.environ.get("LAVA_TEST_DASHBOARD", "")


class Dashboard:
    """An endpoint, spoken to by our sink and by Python's own client."""

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        self.user, self.token = parts.username or "", parts.password or ""
        self.url = url.replace(f"{parts.username}:{parts.password}@", "")
        self.rpc = xmlrpc.client.ServerProxy(url, use_builtin_types=True).dashboard
        self.stream = f"/anonymous/pytest-lava-{uuid.uuid4().hex[:12]}/"
        self.folder = folder

    def sink(self, **more: object) -> DashboardSink:
        environ = {"PYTEST_LAVA_TOKEN_DASH": self.token}
        options = DashboardSink.Options.model_validate(
            {"url": self.url, "user": self.user, "stream": self.stream, "create_stream": True, **more}
        )
        return DashboardSink("dash", options, FoundSecrets(environ, home=self.folder, keyring=False))

    def pack(self, results: Results, **more: object) -> Path:
        parcel = self.folder / uuid.uuid4().hex
        parcel.mkdir()
        self.sink(**more).pack(results, parcel)
        return parcel

    def send(self, parcel: Path, **more: object) -> Receipt:
        return self.sink(**more).send(Parcel("u", parcel), Deadline.after(60))

    def stored(self) -> list[dict[str, object]]:
        return list(self.rpc.bundles(self.stream))  # type: ignore[call-overload]


@pytest.fixture(params=["fake", *(["real"] if REAL else [])])
def dashboard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dashboard]:
    if request.param == "real":
        yield Dashboard(REAL, tmp_path)
        return
    with dashboard_server() as server:
        yield Dashboard(server.url("lab", server.users["lab"]), tmp_path)


def test_a_bundle_arrives_byte_for_byte_and_is_imported(dashboard: Dashboard) -> None:
    results = finished_run(dashboard.folder / "20261124-024925-q1")
    receipt = dashboard.send(dashboard.pack(results))
    content = results.bundle.read_bytes()
    assert receipt.id == hashlib.sha1(content).hexdigest()
    assert receipt.id in receipt.url
    (row,) = dashboard.stored()
    assert (row["content_sha1"], row["content_size"], row["is_deserialized"]) == (receipt.id, len(content), True)
    assert dashboard.rpc.get(receipt.id) == {
        "content": content.decode("ascii"), "content_filename": "20261124-024925-q1.json",
    }  # fmt: skip


def test_sending_again_changes_nothing(dashboard: Dashboard) -> None:
    parcel = dashboard.pack(finished_run(dashboard.folder / "run"))
    first = dashboard.send(parcel)
    again = dashboard.send(parcel)
    assert again.id == first.id
    assert len(dashboard.stored()) == 1


def test_a_run_with_another_bundle_is_not_there_twice(dashboard: Dashboard) -> None:
    results = finished_run(dashboard.folder / "run")
    dashboard.send(dashboard.pack(results))
    text = json.dumps(json.loads(results.bundle.read_bytes()))  # the same, in other bytes
    write_atomically(results.bundle, text.encode("ascii"))
    other = dashboard.pack(results)
    for _ in range(2):  # put keeps it, so the second time it is there already
        with pytest.raises(SinkRefused, match=r"has results of this run already.*UUID .* already exists"):
            dashboard.send(other)


def test_what_a_dashboard_does_not_import_is_refused_with_its_reason(dashboard: Dashboard) -> None:
    results = finished_run(dashboard.folder / "run")
    parcel = dashboard.pack(results, version="1.7")
    with pytest.raises(SinkRefused, match="could not import it; it says: Unrecognized or missing document format"):
        dashboard.send(parcel, version="1.7")
    assert [row["is_deserialized"] for row in dashboard.stored()] == [False]


def test_a_stream_that_is_not_there(dashboard: Dashboard) -> None:
    parcel = dashboard.pack(finished_run(dashboard.folder / "run"))
    with pytest.raises(SinkRefused, match=rf"no stream {dashboard.stream} .*Bundle stream not found \(fault 404\)"):
        dashboard.send(parcel, create_stream=False)
    dashboard.send(parcel)
    assert dashboard.stream in [stream["pathname"] for stream in dashboard.rpc.streams()]  # type: ignore[union-attr]


def test_a_stream_of_somebody_else(dashboard: Dashboard) -> None:
    parcel = dashboard.pack(finished_run(dashboard.folder / "run"))
    with pytest.raises(SinkRefused, match=r"cannot be made on .*: make it there, or name another one"):
        dashboard.send(parcel, stream="/private/personal/nobody-of-this-name/")


def test_the_same_bundle_in_another_stream(dashboard: Dashboard) -> None:
    parcel = dashboard.pack(finished_run(dashboard.folder / "run"))
    dashboard.send(parcel)
    other = f"/anonymous/pytest-lava-{uuid.uuid4().hex[:12]}/"
    dashboard.rpc.make_stream(other, "other")
    with pytest.raises(SinkRefused, match="has this bundle already, but not in the stream"):
        dashboard.send(parcel, stream=other)
    assert dashboard.rpc.bundles(other) == []

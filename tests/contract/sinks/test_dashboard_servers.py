"""The dashboard sink at servers of other kinds: older ones, broken ones, with rights, and with a wrong token."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from support.dashboardserver import DashboardServer, dashboard_server
from support.finishedrun import finished_run
from support.sending import send_until_done

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.results.bundle.building import build_bundle
from pytest_lava.results.bundle.encoding import dump_bundle
from pytest_lava.sinks.api import Parcel, Receipt, SinkBusy, SinkRefused
from pytest_lava.sinks.dashboard import DashboardSink
from pytest_lava.sinks.secrets import FoundSecrets


def sink(server: DashboardServer, home: Path, token: str = "", **more: Any) -> DashboardSink:
    options = DashboardSink.Options.model_validate({"url": server.url(), "stream": "/anonymous/lab/", **more})
    return DashboardSink("dash", options, FoundSecrets({"PYTEST_LAVA_TOKEN_DASH": token}, home=home, keyring=False))


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    """A packed run."""
    with dashboard_server() as server:
        folder = tmp_path / "parcel"
        folder.mkdir()
        sink(server, tmp_path).pack(finished_run(tmp_path / "run"), folder)
    return folder


def send(one: DashboardSink, parcel: Path) -> Receipt:
    return one.send(Parcel("u", parcel), Deadline.after(20))


@pytest.mark.parametrize(
    "lacks, calls",
    [
        ({"put_ex"}, ["put_ex", "put", "deserialize"]),
        ({"deserialize"}, ["put_ex", "deserialize", "bundles"]),
        ({"put_ex", "deserialize"}, ["put_ex", "put", "deserialize", "bundles"]),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_older_servers(tmp_path: Path, parcel: Path, legacy: bool, lacks: set[str], calls: list[str]) -> None:
    with dashboard_server(legacy=legacy) as server:
        server.lacks = lacks
        receipt = send(sink(server, tmp_path), parcel)
        assert [name.removeprefix("dashboard.") for name in server.calls] == calls
        assert list(server.bundles) == [receipt.id]
        assert receipt.url == f"http://127.0.0.1:{server.port}/dashboard/permalink/bundle/{receipt.id}/"
        assert len(server.database.results) == 6
        assert send(sink(server, tmp_path), parcel) == receipt
        assert len(server.database.results) == 6


@pytest.mark.parametrize("lacks", [set(), {"deserialize"}], ids=["deserialize", "bundles"])
def test_garbage_that_put_takes_is_not_taken_for_success(tmp_path: Path, parcel: Path, lacks: set[str]) -> None:
    (parcel / "bundle.json").write_text('{"format": "Dashboard Bundle Format 1.5", "test_runs": [{}]}\n')
    with dashboard_server() as server:
        server.lacks = lacks
        for _ in range(2):
            with pytest.raises(SinkRefused, match=r"(could not import it; it says: Object lacks|did not import it)"):
                send(sink(server, tmp_path), parcel)
        assert server.database.results == []


def test_a_server_that_died_between_storing_and_importing_is_asked_to_import(tmp_path: Path, parcel: Path) -> None:
    with dashboard_server() as server:
        server.dies_in_import = 1
        send(sink(server, tmp_path), parcel)
        assert server.calls == ["dashboard.put_ex", "dashboard.deserialize"]
        assert [one.imported for one in server.bundles.values()] == [True]


def test_a_busy_database_is_passing(tmp_path: Path, parcel: Path) -> None:
    with dashboard_server() as server:
        server.locked = 1
        with pytest.raises(SinkBusy, match=r"could not do it now; it says: database is locked \(fault 409\)"):
            send(sink(server, tmp_path), parcel)
        server.dies_in_import = 1
        send_until_done(sink(server, tmp_path), parcel, "u", tries=2)
        assert len(server.database.results) == 6


def test_words_of_a_busy_database_in_a_result_are_no_busy_database(tmp_path: Path, parcel: Path) -> None:
    text = '{"format": "Dashboard Bundle Format 1.5", "test_runs": [], "database is locked": "deadlock detected"}'
    (parcel / "bundle.json").write_text(text)
    with dashboard_server() as server, pytest.raises(SinkRefused, match=r"could not import it.*database is locked"):
        send(sink(server, tmp_path), parcel)


def test_a_server_that_stores_something_else_is_found_out(tmp_path: Path, parcel: Path) -> None:
    with dashboard_server() as server:
        server.mangles = True
        with pytest.raises(SinkBusy, match="does not have the bundle that it has just taken"):
            send(sink(server, tmp_path), parcel)
        with pytest.raises(SinkRefused, match="UNIQUE constraint failed"):  # what it made of it is there already
            send(sink(server, tmp_path), parcel)


@pytest.mark.parametrize(
    "who, stream, says",
    [
        (":", "/private/personal/lab/", r"no stream .* that nobody \(no user is set\) may see: correct the name"),
        (":", "/public/team/kernel/nightly/", r"nobody \(no user is set\) may not upload to .*fault 403"),
        ("mallory:guess", "/private/personal/lab/", r"no stream .* that the user mallory may see"),
        ("lab:wrong token", "/anonymous/lab/", "does not know the token"),
        (":lab:wrong token", "/anonymous/lab/", "does not know the token"),
    ],
)
def test_rights(tmp_path: Path, parcel: Path, who: str, stream: str, says: str) -> None:
    user, _, token = who.partition(":")
    with dashboard_server() as server:
        server.users["mallory"] = "guess"
        with pytest.raises(SinkRefused, match=says) as caught:
            send(sink(server, tmp_path, token, user=user, stream=stream), parcel)
        said = str(caught.value)  # the server echoes the token, and the header it came in
        assert "wrong token" not in said
        assert b64encode(b"lab:wrong token").decode()[4:-4] not in said
        assert server.bundles == {}


@pytest.mark.parametrize("stream", ["/private/personal/lab/", "/public/team/kernel/nightly/", "/anonymous/lab/"])
@pytest.mark.parametrize("user", ["lab", ""])
def test_with_a_token(tmp_path: Path, parcel: Path, user: str, stream: str) -> None:
    with dashboard_server() as server:
        secret = server.users["lab"] if user else f"lab:{server.users['lab']}"
        send(sink(server, tmp_path, secret, user=user, stream=stream), parcel)
        assert [(one.user, one.stream) for one in server.bundles.values()] == [("lab", stream)]


def test_a_token_of_netrc_is_for_the_user_that_is_set(tmp_path: Path, parcel: Path) -> None:
    with dashboard_server() as server:
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login lab password {server.users['lab']}\n")
        send(sink(server, tmp_path), parcel)  # nobody asked to be somebody
        assert [one.user for one in server.bundles.values()] == [""]
        server.bundles.clear()
        server.database.runs.clear()
        send(sink(server, tmp_path, user="lab"), parcel)
        assert [one.user for one in server.bundles.values()] == ["lab"]


def test_what_a_person_has_to_set(tmp_path: Path, parcel: Path) -> None:
    with dashboard_server() as server:
        with pytest.raises(ConfigurationError, match="no token for the user lab of dash: set PYTEST_LAVA_TOKEN_DASH"):
            send(sink(server, tmp_path, user="lab"), parcel)
        with pytest.raises(ConfigurationError, match="whose token is PYTEST_LAVA_TOKEN_DASH"):
            send(sink(server, tmp_path, "only-a-token"), parcel)
        assert server.calls == []


def test_an_endpoint_that_is_none(tmp_path: Path, parcel: Path) -> None:
    with dashboard_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        with pytest.raises(SinkRefused, match="there is no such place on the server: correct the URL"):
            send(sink(server, tmp_path, url=f"{base}/lava-server/RPC2/"), parcel)
        server.lacks = {"put_ex", "put"}
        with pytest.raises(SinkRefused, match="No such method"):
            send(sink(server, tmp_path), parcel)


def test_the_version_is_the_one_that_the_dashboard_wants(tmp_path: Path) -> None:
    results = finished_run(tmp_path / "run", version="1.7")
    with dashboard_server() as server:
        for number, version in enumerate(("1.5", "1.3", "1.7")):
            folder = tmp_path / str(number)
            folder.mkdir()
            sink(server, tmp_path, version=version).pack(results, folder)
            assert f'"Dashboard Bundle Format {version}"' in (folder / "bundle.json").read_text("ascii")
        assert (folder / "bundle.json").read_bytes() == results.bundle.read_bytes()
        receipt = send(sink(server, tmp_path), tmp_path / "0")
        content = server.bundles[receipt.id].content.encode()
        assert hashlib.sha1(content).hexdigest() == receipt.id
        assert len(server.database.results) == 6


def test_results_that_cannot_be_sent_are_said_when_they_are_packed(tmp_path: Path) -> None:
    results = finished_run(tmp_path / "run")
    results.bundle.write_text("{")
    with dashboard_server() as server:
        with pytest.raises(SinkRefused, match=r"there is no bundle for dash: .*bundle\.json is no JSON"):
            sink(server, tmp_path).pack(results, tmp_path)
        results.bundle.unlink()
        with pytest.raises(SinkRefused, match="there is no bundle for dash"):
            sink(server, tmp_path).pack(results, tmp_path)


def test_characters_beyond_ascii_and_large_output(tmp_path: Path) -> None:
    results = finished_run(tmp_path / "run", tests=40, output="größer \x1b[31m& <b>]]></b>\r\n" * 2000)
    with dashboard_server() as server:
        folder = tmp_path / "parcel"
        folder.mkdir()
        sink(server, tmp_path).pack(results, folder)
        receipt = send(sink(server, tmp_path), folder)
        assert server.bundles[receipt.id].content.encode("ascii") == results.bundle.read_bytes()
        assert len(server.database.results) == 42


@pytest.mark.parametrize(
    "key, value, says",
    [
        ("url", "ftp://h/RPC2/", "give a URL such as"),
        ("url", "https://lab:secret@h/RPC2/", "holds no user and no token"),
        ("stream", "/anonymous/x", "the slashes at both ends"),
        ("stream", "/public/x/", "a stream is"),
        ("version", "1.4", "there is no bundle format"),
        ("strem", "x", "Extra inputs"),
    ],
)
def test_options_are_checked(key: str, value: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DashboardSink.Options.model_validate({"url": "http://h/RPC2/", "stream": "/anonymous/x/", key: value})


def test_the_importer_and_our_schema_agree_on_what_is_written(tmp_path: Path) -> None:
    results = finished_run(tmp_path / "run", tests=12)
    with dashboard_server() as server:
        for version in ("1.3", "1.5"):
            server.database.runs.clear()
            document = build_bundle(_lines(results.folder), version=version, folder=results.folder)
            server.database.load(dump_bundle(document))
    assert {row.result for row in server.database.results} == {"pass", "fail", "skip"}


def _lines(folder: Path) -> list[dict[str, Any]]:
    from pytest_lava.results.journal import read

    return read(folder)

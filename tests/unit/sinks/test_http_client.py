"""What the HTTP client of all sinks makes of servers that go wrong, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from support.faultserver import FAULTS, FaultProxy, certificate_for, fault_proxy
from support.receiver import Receiver, receiver

from pytest_lava.deadline import Deadline
from pytest_lava.sinks.api import SinkBusy, SinkRefused
from pytest_lava.sinks.http_client import HttpClient, retry_after
from pytest_lava.sinks.secrets import FoundSecrets

SECRET = "tok/en+42 ü"
KEY = {"Idempotency-Key": "k"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Receiver]:
    with receiver(tmp_path / "server") as server:
        yield server


@pytest.fixture
def client() -> HttpClient:
    return HttpClient(FoundSecrets({"PYTEST_LAVA_TOKEN_QA": SECRET}, keyring=False))


BUSY = {
    "refuse": "Connection refused", "reset before": "", "reset after": "", "half request": "", "lost answer": "",
    "half answer": "", "500": "500 Internal Server Error", "500 after": "it broke in the middle",
    "502": "502 Bad Gateway nginx", "503": "maintenance", "429": "slower", "hang": "did not answer in time",
    "hang after": "did not answer in time", "drip": "did not answer in time", "tls": "",
    "login page": "leads to http://gate.hotel.example/login (302 Found): give that URL, if it is the server's",
    "proxy login": "put them into the proxy's URL (407 Proxy Authentication Required)",
}  # fmt: skip


@pytest.mark.parametrize("fault", BUSY)
def test_what_passes_is_busy(server: Receiver, client: HttpClient, fault: str) -> None:
    with fault_proxy(server.address, fault) as proxy:
        _wait_for(proxy, fault)
        limit = 0.6 if fault in ("hang", "hang after", "drip") else 5.0  # the others answer, a busy machine late
        begin = time.monotonic()
        with pytest.raises(SinkBusy) as caught:
            client.request("POST", proxy.url(), Deadline.after(limit), data=b"x" * 300_000, headers=KEY)
        took = time.monotonic() - begin
    assert BUSY[fault] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert took < limit + 2.4, f"{fault}: a deadline of {limit} s, and it took {took:.1f} s"
    assert caught.value.after == (0.0 if fault in ("503", "429") else None)


def test_all_faults_have_a_test() -> None:
    assert {*BUSY, "good", "wrong type", "untold type"} == {*FAULTS}  # a page is for a sink to judge


def _wait_for(proxy: FaultProxy, fault: str) -> None:
    if fault == "refuse":  # the port is closed a moment after it was made
        until = time.monotonic() + 5
        while not proxy.met:
            assert time.monotonic() < until


@pytest.mark.parametrize(
    "status, words",
    [
        (400, "will not take it"),
        (401, "PYTEST_LAVA_TOKEN_QA"),
        (403, "right to submit"),
        (404, "correct the URL"),
        (413, "too large"),
    ],
)
def test_what_a_server_will_never_take_is_refused(server: Receiver, status: int, words: str) -> None:
    server.says = status, b"<html><style>x{}</style><p>No   such\nthing</p>"
    with pytest.raises(SinkRefused) as caught:
        HttpClient(FoundSecrets({}, keyring=False), name="qa").request(
            "POST", server.url("/a?token=hidden"), Deadline.after(5), data=b""
        )
    assert words in str(caught.value)
    assert str(caught.value).endswith("it says: No such thing")
    assert "hidden" not in str(caught.value)


def test_a_status_that_is_expected_is_an_answer(server: Receiver, client: HttpClient) -> None:
    server.says = 409, b'{"why": "known"}'
    answer = client.request("POST", server.url(), Deadline.after(5), data=b"", expect={201, 409})
    assert (answer.status, answer.json()) == (409, {"why": "known"})


@pytest.mark.parametrize(
    "says, error, words",
    [
        ((302, b"", ""), SinkBusy, "leads to elsewhere"),
        ((302, b"", "/login?back=1"), SinkBusy, r"leads to http://127.0.0.1:\d+/login \(302.*log in there"),
        ((301, b"", "/new"), SinkRefused, r"leads to http://127.0.0.1:\d+/new \(301 .*give that URL, if it is right"),
        ((308, b"", "https://127.0.0.1/new"), SinkRefused, "leads to https://127.0.0.1/new"),
        ((301, b"", "http://gate.example/"), SinkBusy, "leads to http://gate.example/"),
        ((301, b"", "http://["), SinkBusy, "leads to a place that is no URL"),
    ],
)
def test_no_redirect_is_followed(
    server: Receiver, client: HttpClient, says: tuple[int, bytes, str], error: type[Exception], words: str
) -> None:
    """requests would make a GET of it, and take the token along. A login page of the network is not the server's no."""
    server.says = says
    with pytest.raises(error, match=words):
        client.request("POST", server.url(), Deadline.after(5), data=b"")
    assert server.posts == 1


@pytest.mark.parametrize("status", [400, 500])
def test_a_secret_that_comes_back_is_hidden(server: Receiver, client: HttpClient, status: int) -> None:
    """Also where it would be cut off in its middle."""
    for padding in (0, 380, 390, 395, 399):
        server.says = status, b"p" * padding + f"Bearer {SECRET} tok%2Fen%2B42%20%C3%BC".encode()
        with pytest.raises((SinkBusy, SinkRefused)) as caught:
            client.request("POST", server.url(), Deadline.after(5), data=b"")
        assert "tok" not in str(caught.value).replace("the token", "")


def test_the_netrc_of_the_user_does_not_replace_our_header(
    server: Receiver, client: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client.request("POST", server.url(), Deadline.after(5), data=b"", headers={**KEY, "Authorization": "Bearer x"})
    assert server.headers[0]["authorization"] == "Bearer x"


def test_a_proxy_of_the_environment_is_used(
    server: Receiver, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_proxy(server.address) as proxy:  # a forward proxy gets the whole URL, which our server does not mind
        monkeypatch.setenv("http_proxy", proxy.url("/"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        answer = client.request("POST", "http://sink.invalid/x", Deadline.after(5), data=b"1", headers=KEY)
    assert answer.status == 201
    assert proxy.met == ["good"]


def test_certificates_are_checked(
    server: Receiver, client: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not trusted may be tomorrow: nothing is given up for it."""
    certificate = certificate_for(tmp_path)
    with fault_proxy(server.address, certificate=certificate) as proxy:
        with pytest.raises(SinkBusy, match=r"TLS failed: .*(?i:certificate)"):
            client.request("POST", proxy.url(), Deadline.after(5), data=b"", headers=KEY)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        assert client.request("POST", proxy.url(), Deadline.after(5), data=b"", headers=KEY).status == 201
        proxy.plan("tls", "reset before", "drip")
        for _ in range(3):
            with pytest.raises(SinkBusy):
                client.request("POST", proxy.url(), Deadline.after(0.6), data=b"", headers=KEY)


def test_retry_after() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert retry_after({"retry-after": "17"}) == 17.0
    assert 85 < (retry_after({"retry-after": soon}) or 0) <= 90
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    for nonsense in ({}, {"retry-after": ""}, {"retry-after": "soon"}, {"retry-after": "-3"}):
        assert retry_after(nonsense) is None

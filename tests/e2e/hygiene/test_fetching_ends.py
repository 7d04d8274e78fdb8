"""A download that never ends: an interrupt ends the run at once, a killed run is gone on with, no board is held."""

from __future__ import annotations

import http.server
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lava_desk import Desk, until

from pytest_lava.images.cache import cache_dir

pytestmark = [pytest.mark.e2e, pytest.mark.emulated]


class Stalling(http.server.ThreadingHTTPServer):
    """Sends half of a file and then nothing, until it is ``released``."""

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = data
        self.released = threading.Event()
        self.half_sent = threading.Event()
        self.ranges: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/initrd"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Stalling

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.ranges.append(wanted)
        begin = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        data = self.server.data
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", '"one"')
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if not self.server.released.is_set():
            self.wfile.write(data[begin : len(data) // 2])
            self.server.half_sent.set()
            self.server.released.wait(30)
            begin = max(begin, len(data) // 2)
        self.wfile.write(data[begin:])

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at ``ranges``."""


@pytest.fixture
def server() -> Iterator[Stalling]:
    (initrd,) = (cache_dir() / "debian-x86_64").glob("initrd-*.img")
    server = Stalling(initrd.read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fetching(desk: Desk, server: Stalling) -> tuple[str, ...]:
    """Options of a run that waits for that server; its board would have a lock."""
    desk.env["no_proxy"] = "127.0.0.1"
    desk.write("boards/locked.toml", 'extends = "qemu-x86_64"\nemulated = false\nlocks = ["shelf"]\n')
    desk.write("test_it.py", "def test_it(shell): shell.check('true')\n")
    return ("--board=locked", f"--initrd={server.url}", f"--lava-cache={desk.folder / 'cache'}", "test_it.py")


def held(desk: Desk) -> list[Path]:
    return list(desk.locks.glob("*.lock"))


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 2), (signal.SIGTERM, 128 + signal.SIGTERM)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupt_ends_it(
    desk: Desk, server: Stalling, fetching: tuple[str, ...], number: int, status: int
) -> None:
    session = desk.start("-p", "no:hypothesispytest", *fetching)  # its summary imports for seconds
    until(server.half_sent.is_set, 30, "half of the file")
    session.reach("fetch begins")
    assert held(desk) == []
    sent = session.signal(number, group=True)
    assert session.wait() == status
    assert time.time() - sent < 6  # the server would take 30 s
    desk.assert_clean()
    assert "Traceback" not in session.output


def test_a_killed_run_is_gone_on_with(desk: Desk, server: Stalling, fetching: tuple[str, ...]) -> None:
    session = desk.start(*fetching)
    until(server.half_sent.is_set, 30, "half of the file")
    half, parts = len(server.data) // 2, desk.folder / "cache" / "urls"
    until(lambda: [part.stat().st_size for part in parts.glob("*.part")] == [half], 10, "half of the file on disk")
    session.process.kill()
    session.wait()
    desk.assert_clean()
    server.released.set()
    status, session = desk.run(*fetching, run="again")
    assert status == 0, session.output
    assert server.ranges == ["", f"bytes={len(server.data) // 2}-"]
    assert list((desk.folder / "cache" / "urls").glob("*.part")) == []


def test_a_cache_that_goes_with_the_run_goes_with_a_killed_one(
    desk: Desk, server: Stalling, fetching: tuple[str, ...]
) -> None:
    board, initrd, _, test = fetching
    session = desk.start(board, initrd, "--no-cache", test)
    until(server.half_sent.is_set, 30, "half of the file")
    assert (desk.folder / "run" / "cache").is_dir()
    session.process.kill()
    session.wait()
    desk.assert_clean()
    until(lambda: not (desk.folder / "run" / "cache").exists(), 3, "end of the cache")

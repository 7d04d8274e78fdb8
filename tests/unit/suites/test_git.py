"""Git on this machine: a network that fails is the lab's fault and tried again, a missing repository is the job's."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_lava.errors import FetchFailed, NetworkError
from pytest_lava.suites.git import git


class Line:
    """A TCP line to the real ``git daemon``, which it starts for each connection; the first ``broken`` are reset."""

    def __init__(self, folder: Path, broken: int) -> None:
        self._folder, self._broken, self.met = folder, broken, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"git://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.met += 1
            with connection:
                if self.met > self._broken:
                    serve = ["git", "daemon", "--inetd", "--export-all", f"--base-path={self._folder}"]
                    subprocess.run(serve, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL, check=False)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, format: str, *words: object) -> None:
        """Tell nothing."""


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A folder with the repository ``tests.git``."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / "tests.git")], check=True)
    commit = ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "--allow-empty", "-m", "one"]
    subprocess.run(["git", "-C", str(tmp_path / "tests.git"), *commit], check=True)
    return tmp_path


@pytest.fixture
def line(origin: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    found = Line(origin, request.param)
    yield found
    found.close()


def clone(url: str, folder: Path) -> None:
    git("clone", "-q", "--", url, str(folder / "here"), url=url, folder=folder, what="a repository of the job")


@pytest.mark.parametrize("line", [1], indirect=True)
def test_a_line_that_breaks_once_is_tried_again(line: Line, tmp_path: Path) -> None:
    clone(f"{line.url}/tests.git", tmp_path)
    assert line.met == 2
    assert (tmp_path / "here/.git/HEAD").exists()


@pytest.mark.parametrize("line", [99], indirect=True)
def test_one_that_always_breaks_is_the_labs_fault(line: Line, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"^a repository of the job cannot be cloned: git://127.*/tests.git: "):
        clone(f"{line.url}/tests.git", tmp_path)
    assert line.met == 3


@pytest.mark.parametrize("line", [0], indirect=True)
def test_a_repository_that_is_not_there_is_the_jobs_fault_at_once(line: Line, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="repository not exported"):
        clone(f"{line.url}/others.git", tmp_path)
    assert line.met == 1


def test_a_plain_web_server_gives_all_or_nothing(origin: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--bare", str(origin / "tests.git"), str(origin / "plain.git")], check=True)
    subprocess.run(["git", "-C", str(origin / "plain.git"), "update-server-info"], check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(origin)))
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/plain.git"
    try:
        git("clone", "-q", "--depth=1", "--", url, str(tmp_path / "here"), url=url, folder=tmp_path, what="it")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (tmp_path / "here/.git/HEAD").exists()


def test_passwords_are_not_told(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed) as told:
        clone("nowhere://me:secret@127.0.0.1/tests.git", tmp_path)
    assert "secret" not in str(told.value)

"""A board's packages through a real apt-cacher-ng: what was fetched once does not come from its origin again."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

import pytest
from support.face import Face
from support.volumes import run
from support.webserver import WebServer, web_server

pytestmark = pytest.mark.emulated

PAYLOAD = random.Random(7).randbytes(300_000)
TESTS = f"""
    def test_apt(shell):
        assert shell.check("echo $http_proxy").stdout.startswith("http://10.0.2.2:")
        shell.check("echo 'deb [trusted=yes] http://packages.lab.example/ ./' >/etc/apt/sources.list")
        shell.check("rm -rf /etc/apt/sources.list.d; ! [ -e /usr/share/hello/payload ]")
        shell.check("apt-get -q update --error-on=any", timeout=100)
        shell.check("apt-get -q -y install hello", timeout=100)
        shell.check("echo '{hashlib.md5(PAYLOAD).hexdigest()}  /usr/share/hello/payload' | md5sum -c")
"""


def free_port() -> int:
    """One that apt-cacher-ng can use: it takes those from 32768 on for negative numbers."""
    for port in random.Random().sample(range(20000, 32000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[WebServer]:
    """A repository of one package."""
    with web_server(tmp_path / "www", free_port()) as server:
        root = tmp_path / "hello"
        (root / "DEBIAN").mkdir(parents=True)
        (root / "usr/share/hello").mkdir(parents=True)
        (root / "usr/share/hello/payload").write_bytes(PAYLOAD)
        (root / "DEBIAN/control").write_text(
            "Package: hello\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: hello\n"
        )
        run("dpkg-deb", "--root-owner-group", "-b", root, server.folder / "hello_1.0_all.deb")
        listed = subprocess.run(
            ["dpkg-scanpackages", "--multiversion", "."], cwd=server.folder, capture_output=True, check=True
        )
        packed = gzip.compress(listed.stdout, mtime=0)
        (server.folder / "Packages.gz").write_bytes(packed)
        sums = f" {hashlib.sha256(packed).hexdigest()} {len(packed)} Packages.gz\n"
        sums += f" {hashlib.sha256(listed.stdout).hexdigest()} {len(listed.stdout)} Packages\n"
        (server.folder / "Release").write_text(f"Date: {formatdate(usegmt=True)}\nSHA256:\n{sums}")
        yield server


@pytest.fixture
def cacher(tmp_path: Path, origin: WebServer) -> Iterator[str]:
    """apt-cacher-ng at a free port, with settings and a cache of its own; the origin is there under another name."""
    program = shutil.which("apt-cacher-ng", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "run `scripts/setup-host test`: apt-cacher-ng is missing"
    for name in ("conf", "cache", "log"):
        (tmp_path / name).mkdir()
    port = free_port()
    (tmp_path / "conf/acng.conf").write_text(
        f"CacheDir: {tmp_path}/cache\nLogDir: {tmp_path}/log\nSocketPath: {tmp_path}/socket\nPidFile: {tmp_path}/pid\n"
        f"SupportDir: /usr/lib/apt-cacher-ng\nPort: {port}\nBindAddress: 127.0.0.1\nForeGround: 1\nAllowUserPorts: 0\n"
        f"Remap-lab: http://packages.lab.example/ ; {origin.url('')}\n"
    )
    with (tmp_path / "log/said").open("wb") as said:
        daemon = subprocess.Popen([program, "-c", str(tmp_path / "conf")], stdout=said, stderr=said)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert daemon.poll() is None, (tmp_path / "log/said").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        daemon.terminate()
        daemon.wait(30)


def test_the_second_time_nothing_comes_from_the_origin(face: Face, origin: WebServer, cacher: str) -> None:
    """The second board begins as the first one did, in its state after boot; that run may use no network itself."""
    face.write(test_it=TESTS)
    face.snapshots = True
    own = f"--lava-cache={face.path / 'cache'}"
    arguments = ("--board=qemu-x86_64-debian", own, f"--package-proxy={cacher}", "test_it.py")
    face.run(*arguments, passed=1)
    fetched, first = origin.sent, [path for path, _ in origin.requests]
    assert fetched > len(PAYLOAD)
    assert sum(path.endswith("/hello_1.0_all.deb") for path in first) == 1
    face.run(*arguments, "--offline", passed=1)
    assert face.journal("resume")
    again = [path for path, _ in origin.requests[len(first) :]]
    assert not [path for path in again if path.endswith(".deb")]
    # of an index it asks for the last byte, and gets that if nothing has changed
    assert origin.sent - fetched <= len(again), origin.requests[len(first) :]

"""Faults of this machine and of the network: a full disk, downloads that break off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matrix import nothing_is_left
from support.face import QUICK, Face
from support.webserver import WebServer, web_server

from pytest_lava.results.journal import read

TESTS = """
    def test_before(shell): shell.check("true")
    def test_fills(shell): shell.run("head -c 2000000 /dev/zero | tr '\\\\0' x")
    def test_after(shell): shell.check("true")
"""
#: a run folder with 300 kB of room; what is in it is copied out at the end
SMALL = """
mkdir runs && mount -t tmpfs -o size=300k small runs || exit 99
"$@" --lava-dir=runs/run
status=$?
cp -r runs/run out
exit $status
"""


@pytest.mark.parametrize("options", [(), ("-p", "no:html")], ids=["html", "plain"])
def test_full_disk_of_this_machine(face: Face, options: tuple[str, ...]) -> None:
    face.write(test_it=TESTS)
    command = [sys.executable, "-m", "pytest", *QUICK, "--board=localhost", "--no-snapshot", *options, "test_it.py"]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SMALL, "sh", *command],
        cwd=face.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 69, told
    assert "No space left on device" in told
    assert "free some space" in told or "make room there" in told
    assert "INTERNALERROR" not in told
    assert "Traceback" not in told
    outcomes = {line["nodeid"]: line for line in read(face.path / "out") if line["kind"] == "outcome"}
    assert outcomes["test_it.py::test_before[localhost]"]["outcome"] == "passed"
    nothing_is_left(face)


@pytest.fixture
def server(tmp_path: Path) -> WebServer:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "data.img").write_bytes(os.urandom(1 << 20))
    with web_server(folder) as found:
        yield found


EATS = "extends = 'localhost'\n[deploy]\nmethod = 'command'\ncommands = ['cmp {image} %s']\n"


def test_fetch_reset_twice_then_good(face: Face, server: WebServer, tmp_path: Path) -> None:
    server.cut = [100_000, 200_000]
    face.board("b", EATS % (server.folder / "data.img"))
    face.write(test_it="def test_it(shell): shell.check('true')")
    result = face.run(
        "--board=b", f"--image={server.url('data.img')}", f"--lava-cache={tmp_path / 'cache'}", "test_it.py"
    )
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    tried = face.journal("attempt")
    assert [(line["phase"], line["what"], line["error"]["type"], line["number"]) for line in tried] == [
        ("fetch", server.url("data.img"), "NetworkError", 1),
        ("fetch", server.url("data.img"), "NetworkError", 2),
    ]
    result.stdout.fnmatch_lines([f"retried  fetch of {server.url('data.img')} worked on attempt 3 of *"])
    assert "worked on attempt 3" in (face.latest / "bundle.json").read_text()
    nothing_is_left(face)


def test_fetch_that_is_refused(face: Face, server: WebServer, tmp_path: Path) -> None:
    face.board("b", EATS % "x")
    face.write(test_it="def test_it(shell): shell.check('true')")
    result = face.run(
        "--board=b", f"--image={server.url('other.img')}", f"--lava-cache={tmp_path / 'cache'}", "test_it.py"
    )
    result.assert_outcomes(failed=1, skipped=1)
    assert result.ret == 1
    case = face.results()["lava"]["deploy"]
    assert (case["result"], case["attributes"]["error.class"], case["attributes"]["error.blame"]) == (
        "fail", "FetchFailed", "job",
    )  # fmt: skip
    nothing_is_left(face)


def test_network_that_stays_down_in_deploy(face: Face, tmp_path: Path) -> None:
    face.board("b", EATS % "x")
    face.write(test_it="def test_it(shell): shell.check('true')")
    result = face.run(
        "--board=b", "--image=http://127.0.0.1:9/data.img", f"--lava-cache={tmp_path / 'cache'}", "test_it.py"
    )
    result.assert_outcomes(errors=1, skipped=1)
    assert result.ret == 69
    case = face.results()["lava"]["deploy"]
    assert (case["result"], case["attributes"]["error.class"]) == ("unknown", "NetworkError")
    assert [line["last"] for line in face.journal("attempt")] == [False] * 4 + [True]
    result.stdout.fnmatch_lines(["retried  fetch of http://127.0.0.1:9/data.img failed 5 times: *"])
    nothing_is_left(face)


def test_fetch_that_breaks_off_until_nobody_tries_on(face: Face, server: WebServer, tmp_path: Path) -> None:
    """A server that cannot go on in the middle: each time it is fetched anew, and in the end nothing worked."""
    server.cut, server.ranges = [1000] * 20, False
    face.board("b", EATS % "x")
    face.write(test_it="def test_it(shell): shell.check('true')")
    result = face.run(
        "--board=b", f"--image={server.url('data.img')}", f"--lava-cache={tmp_path / 'cache'}", "test_it.py"
    )
    result.assert_outcomes(errors=1, skipped=1)
    assert result.ret == 69
    (line,) = (line for line in result.outlines if line.startswith("retried"))
    assert re.match(rf"retried  fetch of {re.escape(server.url('data.img'))} failed \d+ times: ", line), line
    nothing_is_left(face)

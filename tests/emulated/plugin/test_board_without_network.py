"""A board without any network: a result and a file of 1 MB come over its serial line into the bundle."""

from __future__ import annotations

import base64
import hashlib

import pytest
from support.face import Face

pytestmark = pytest.mark.emulated

SIZE = 1 << 20
TEST = f"""
    import hashlib, pytest
    def test_there_is_no_network(shell):
        assert shell.check("ls /sys/class/net").stdout.split() in ([], ["lo"])
    def test_a_file(shell, record_file, record_property):
        shell.check("head -c {SIZE} /dev/urandom >/tmp/trace.dat")
        there = shell.check("sha256sum </tmp/trace.dat").stdout.split()[0]
        path = record_file("/tmp/trace.dat")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == there
        record_property("sha256", there)
    @pytest.mark.collect_files("/proc/version", "/sys/kernel/notes")
    def test_that_fails(shell):
        assert shell.check("cat /proc/version").stdout == ""
"""


@pytest.mark.parametrize("board", ["qemu-x86_64"])
def test_files_come_over_the_serial_line(face: Face, board: str) -> None:
    face.snapshots = True
    face.board("alone", f'extends = "{board}"\n[power]\nnetwork = ["-nic", "none"]\n')
    face.write(test_it=TEST)
    result = face.run("--board=alone", "test_it.py")
    result.assert_outcomes(passed=2, failed=1)
    found = face.results()["test-it.py"]
    (trace,) = [one for one in found["test_a_file"]["attachments"] if one["pathname"] == "trace.dat"]
    content = base64.b64decode(trace["content"])
    assert (len(content), trace["mime_type"]) == (SIZE, "application/octet-stream")
    assert hashlib.sha256(content).hexdigest() == found["test_a_file"]["attributes"]["sha256"]
    (local,) = face.latest.glob("files/*/trace.dat")
    assert local.read_bytes() == content
    assert found["test_that_fails"]["result"] == "fail"
    files = {one["pathname"]: base64.b64decode(one["content"]) for one in found["test_that_fails"]["attachments"]}
    assert files["version"].startswith(b"Linux version ")
    assert b"GNU\0" in files["notes"]
    assert (face.latest / "console.log").stat().st_size > SIZE  # that is where it came along

"""One crash after the other in one run: each verdict is right, and neither memory nor descriptors grow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from matrix import nothing_is_left
from support.face import QUICK, Face

pytestmark = pytest.mark.emulated

SOAK = bool(os.environ.get("LAVA_SOAK"))
COUNT = 200 if SOAK else 6
SETTLED = 20 if SOAK else 3  # crashes until all is imported and cached
GROWTH = 5 << 10  # KB, for all crashes after those
TESTS = """
    import pytest

    @pytest.mark.parametrize("n", range(COUNT))
    def test_crash(shell, n):
        assert shell.run(f"echo {n}").stdout == f"{n}\\n"
        shell.run(f"echo 'this is crash {n}.' >/dev/kmsg; echo c >/proc/sysrq-trigger")

    def test_after(shell, board):
        assert board.boot_id == COUNT + 1
"""
#: the process as it is when a test is over and reported
CONFTEST = """
    import json, os, pathlib

    def pytest_runtest_logfinish():
        status = pathlib.Path("/proc/self/status").read_text()
        rss = int(status.partition("VmRSS:")[2].split()[0])
        with open("samples", "a") as file:
            print(json.dumps({"rss": rss, "fds": len(os.listdir("/proc/self/fd"))}), file=file)
"""


def test_crashes_in_a_row(face: Face, record_property: Callable[[str, object], None]) -> None:
    face.write(test_it=TESTS.replace("COUNT", str(COUNT)), conftest=CONFTEST)
    result = face.pytester.runpytest_subprocess(*QUICK, "--board=qemu-arm64", "test_it.py", timeout=60 + 8 * COUNT)
    result.assert_outcomes(failed=COUNT, passed=1)
    assert result.ret == 1
    face.check_bundle()
    failed = [line for line in face.journal() if line["outcome"] == "failed"]
    assert len(failed) == COUNT
    for number, line in enumerate(failed):
        facts = line["error"]
        assert (facts["type"], facts["blame"], line["nodeid"].endswith(f"-{number}]")) == ("KernelCrash", "job", True)
        assert "end Kernel panic - not syncing: sysrq triggered crash" in facts["evidence"]
    by = [line["by"] for line in face.journal("recovery")]
    assert by == ["snapshot"] * COUNT
    samples = [json.loads(line) for line in (face.path / "samples").read_text().splitlines()][:COUNT]
    grown = samples[-1]["rss"] - samples[SETTLED - 1]["rss"]
    record_property("grown_kb", grown)
    record_property("samples", samples)
    print(f"RSS after {SETTLED} crashes {samples[SETTLED - 1]['rss']} KB, {grown} KB more after {COUNT}; {samples[-1]}")
    assert grown <= GROWTH
    assert samples[-1]["fds"] <= samples[SETTLED - 1]["fds"]
    nothing_is_left(face)

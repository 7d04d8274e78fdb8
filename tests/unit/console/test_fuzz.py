"""Arbitrary bytes in arbitrary chunks, through everything that reads a console: never an error that is not one of ours,
never memory that grows with what came."""

from __future__ import annotations

import re
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pexpect
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.lines import Peer, soon
from support.torture import count

from pytest_lava.console.answers import Answers, Refused
from pytest_lava.console.asking import Asking
from pytest_lava.console.console import Console
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.console.watch import FindingKind
from pytest_lava.deadline import Deadline
from pytest_lava.errors import LavaError

FRAME = "ab12f"
#: what stands in real output, so that noise gets deep into the parsers
WORDS = [
    f"\n~{FRAME};0;1.00;2.00;3;-;0;-;~\n".encode(),
    f"\n~{FRAME};3;1.0".encode(),
    f"~{FRAME};0.\n".encode(),
    f"~{FRAME}!c.\n".encode(),
    f"\n@{FRAME}+0,3,0+\n".encode(),
    f"\n@{FRAME}-0@{FRAME}-0\n".encode(),
    b"[    1.234567] usb 1-1: new\r\n",
    b"[   12.345678] Kernel panic - not syncing: x\r\n",
    b"[   12.345678] Call trace:\r\n",
    b"---[ end Kernel panic",
    b"WARNING: CPU: 0 PID: 1 at x.c:1\r\n",
    b"U-Boot 2023.01\r\n",
    b"\x1b[6n\x1b[?2004h",
    b"\r\r\n",
    b"out",
    "ü".encode()[:1],
]
CHUNKS = st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(WORDS)), max_size=25)
fuzz = settings(max_examples=count(1000), deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def said(chunks: list[bytes]) -> Iterator[Console]:
    """A console whose line says this chunk by chunk, and then ends."""
    with tempfile.TemporaryDirectory() as folder:
        console = Console(Path(folder) / "console.log")
        console.arm(*FindingKind)
        peer = Peer(console)

        def talk() -> None:
            said, limit = 0, soon()
            for chunk in chunks:
                peer.says(chunk)
                said += len(chunk)
                while console.end < said and not limit.expired:
                    time.sleep(0.0001)
            peer.close()

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            yield console
            talking.join()
            console.expect([re.compile(b"\\Z")], deadline=soon(), watched=False)  # what came can be read
        finally:
            talking.join()
            console.close()
        assert console.log.read_bytes() == b"".join(chunks)


@fuzz
@given(CHUNKS, st.sampled_from([b"out", b"\\d+", b"(?:x|[^y]){3}", b"$", b"~"]))
def test_expect(chunks: list[bytes], pattern: bytes) -> None:
    with said(chunks) as console, suppress(LavaError):
        found = console.expect([re.compile(pattern)], deadline=soon(), watched=False)
        assert 0 <= found.start <= found.end <= console.end


@fuzz
@given(CHUNKS)
def test_pexpect(chunks: list[bytes]) -> None:
    with said(chunks) as console, suppress(LavaError, pexpect.EOF):
        console.arm()
        spawn = ConsoleSpawn(console, timeout=5)
        spawn.skip_to(0)
        spawn.expect("no such thing|out[0-9]")


@fuzz
@given(CHUNKS)
def test_answers_of_the_agent(chunks: list[bytes]) -> None:
    with said(chunks) as console, suppress(LavaError, Refused):
        console.arm()
        answer = Answers(console, Asking(console)).receive(FRAME, 0, 1 << 20, Deadline.after(0.3))
        assert len(b"".join(answer.streams)) == sum(answer.header.sizes)


@fuzz
@given(CHUNKS)
def test_answers_between_markers(chunks: list[bytes]) -> None:
    with said(chunks) as console, suppress(LavaError):
        console.arm()
        MarkerShell(console)._receive(FRAME, 0, 1 << 20, Deadline.after(0.3))


@fuzz
@given(CHUNKS, st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900), st.binary(max_size=60)), max_size=4))
def test_findings_and_their_traces(chunks: list[bytes], proofs: list[tuple[int, int, bytes]]) -> None:
    with said(chunks) as console:
        console.doubt()
        while console.attached:
            time.sleep(0.0001)
        for begin, length, output in proofs:
            for incident in console.incidents():
                assert 0 <= incident.start < incident.end <= console.end
                assert incident.message in incident.trace or not incident.trace.isprintable()
            before = len(console.findings())
            console.proven(begin, begin + length, output, exact=length % 2 == 0)
            assert len(console.findings()) <= before
        if (finding := console.finding) is not None:
            assert finding.message in str(console.crash(finding))


@fuzz
@given(CHUNKS)
def test_doubt_about_arbitrary_words(chunks: list[bytes]) -> None:
    with said(chunks) as console, suppress(LavaError):
        console.doubt(sign=b"out")
        console.wait(lambda: None, Deadline.after(0.02), what="nothing")


@pytest.mark.parametrize("armed", [True, False], ids=["expect", "pexpect"])
@pytest.mark.parametrize(
    "line", [b"x" * 65536, b"y\n" * 32768, b"[    1.000000] Kernel panic - not " * 2048, b"\x1b[6n" * 16384]
)
def test_memory_is_flat_whatever_comes(tmp_path: Path, line: bytes, armed: bool) -> None:
    console = Console(tmp_path / "console.log")
    peer = Peer(console)
    talking = threading.Thread(target=lambda: [peer.says(line) for _ in range(320)] and peer.says(b"over\n"))
    tracemalloc.start()
    try:
        if armed:
            console.arm(*FindingKind)
            talking.start()
            console.expect([re.compile(b"over")], deadline=soon(60), watched=False)
        else:
            spawn = ConsoleSpawn(console, timeout=60)
            talking.start()
            spawn.expect_exact("over")
        assert console.end == 320 * len(line) + 5
        assert tracemalloc.get_traced_memory()[1] < 16e6  # of 20 MB that came
    finally:
        tracemalloc.stop()
        talking.join()
        peer.close()
        console.close()

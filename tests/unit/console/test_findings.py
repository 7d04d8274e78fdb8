"""What becomes of findings: proven output drops them, doubt is settled, traces keep them together."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lines import Peer, soon

from pytest_lava.console.console import Console
from pytest_lava.console.findings import Findings
from pytest_lava.console.kernel_records import excise, excise_surely
from pytest_lava.console.watch import FindingKind, Watch
from pytest_lava.deadline import Deadline
from pytest_lava.errors import KernelCrash, Timeout

WARN = b"[   99.000000] WARNING: CPU: 0 PID: 7 at mm/slub.c:1 here"
PANIC = b"[  100.000000] Kernel panic - not syncing: test"
END = b"[  100.100000] ---[ end Kernel panic - not syncing: test ]---\r\n"


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    console = Console(tmp_path / "console.log")
    console.arm(FindingKind.FATAL, FindingKind.BOOT)
    yield console
    console.close()


@pytest.fixture
def peer(console: Console) -> Iterator[Peer]:
    peer = Peer(console)
    yield peer
    peer.close()


def heard(console: Console, peer: Peer, *said: bytes) -> tuple[int, int]:
    """Let the board say this; its range in the log."""
    begin = console.end
    peer.says(b"".join(said))
    end = begin + len(b"".join(said))
    console.wait(lambda: console.end >= end or None, soon(), what="words", watched=False)
    return begin, end


# -- proof ------------------------------------------------------------------------------------------------------------


def test_what_programs_wrote_is_no_finding(console: Console, peer: Peer) -> None:
    text = WARN + b"\n" + PANIC + b"\nU-Boot 2023.01\n"
    begin, end = heard(console, peer, b"~head\n", text, b"~end\n")
    assert len(console.findings()) == 3
    console.proven(begin, end, text)
    assert console.findings() == []
    assert console.finding is None


def test_records_between_are_the_kernel_s(console: Console, peer: Peer) -> None:
    begin, end = heard(console, peer, b"~head\nsome out", WARN, b"\r\nput\n~end\n")
    console.proven(begin, end, b"some output\n")
    (found,) = console.findings()
    assert (found.record, found.doubtful) == (WARN, False)


def test_however_often_a_board_died_its_next_death_is_seen(console: Console, peer: Peer) -> None:
    """Findings are kept for the results, some thousand of them; those before a power cycle end no wait any more."""
    for board in range(12):
        lines = [b"[    1.000000] Kernel panic - not syncing: %d of %d\r\n" % (death, board) for death in range(90)]
        heard(console, peer, *lines)
        assert console.finding is not None, board
        assert console.finding.record.endswith(b": 0 of %d" % board)
        console.mark_boundary()
        assert console.finding is None
    assert len(console.findings()) == 1000


def test_of_many_deaths_in_a_row_the_first_counts(console: Console, peer: Peer) -> None:
    heard(console, peer, *(b"[    1.000000] Kernel panic - not syncing: number %d\r\n" % n for n in range(1500)))
    assert console.finding is not None
    assert console.finding.record.endswith(b"number 0")
    assert len(console.findings()) == 100


@pytest.mark.parametrize("own", [1, 2])
def test_kernel_s_own_words_beside_a_copy_of_them(console: Console, peer: Peer, own: int) -> None:
    begin, end = heard(console, peer, (WARN + b"\r\n") * own, b"~head\n", WARN, b"\n~end\n")
    console.proven(begin, end, WARN + b"\n")
    assert [found.offset for found in console.findings()] == [begin + number * (len(WARN) + 2) for number in range(own)]


def test_copy_that_a_record_tore(console: Console, peer: Peer) -> None:
    record = b"[   99.500000] usb 1-1: new\r\n"
    text = b"[    1.000000] Out of memory: Killed process 7"
    begin, end = heard(console, peer, text, record, b" (sh)\n")
    assert [found.name for found in console.findings()] == ["oom"]
    console.proven(begin, end, text + b" (sh)\n")
    assert console.findings() == []


def test_damaged_answer_is_judged_by_what_the_right_one_holds(console: Console, peer: Peer) -> None:
    begin, end = heard(console, peer, WARN.replace(b"here", b"hfre"), b"\n", PANIC, b"\n", WARN, b"\n")
    console.proven(begin, end, WARN + b"\n", exact=False)
    assert console.findings() == []


def test_outside_of_the_range_only_the_end_of_the_kernel_is_over(console: Console, peer: Peer) -> None:
    heard(console, peer, WARN, b"\r\n", PANIC, b"\r\n")
    begin, end = heard(console, peer, b"~head\n~end\n")
    heard(console, peer, PANIC.replace(b"100.", b"101."), b"\r\n")
    console.proven(begin, end, b"")
    assert [found.name for found in console.findings()] == ["warning", "panic"]
    assert console.finding is not None
    assert console.finding.offset == end


def test_history_survives_a_power_cycle_and_waits_do_not_care(console: Console, peer: Peer) -> None:
    heard(console, peer, PANIC, b"\r\n")
    console.mark_boundary()
    assert console.finding is None
    assert [found.name for found in console.findings()] == ["panic"]
    heard(console, peer, b"fine\n")
    console.kernel_lives()
    assert [found.name for found in console.findings()] == ["panic"]


def test_complaints_end_no_wait(console: Console, peer: Peer) -> None:
    heard(console, peer, WARN, b"\r\n[  1.000000] BUG: soft lockup - CPU#0 stuck for 22s!\r\n")
    threading.Timer(0.2, lambda: peer.says(b"# ")).start()
    console.expect([re.compile(b"# ")], deadline=soon())
    assert console.finding is None


def test_complaints_that_were_asked_for(console: Console, peer: Peer) -> None:
    begin, _ = heard(console, peer, b"[  1.000000] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:\r\n")
    heard(console, peer, PANIC, b"\r\n")
    console.dismiss_findings(begin, complaints_only=True)
    assert [found.name for found in console.findings()] == ["panic"]


def test_answer_behind_a_record_about_a_panic(console: Console, peer: Peer) -> None:
    """Somebody wrote it to /dev/kmsg: no trace follows, but the answer."""
    threading.Thread(target=lambda: (peer.says(PANIC + b"\r\n"), time.sleep(0.1), peer.says(b"# "))).start()
    console.expect([re.compile(b"# ")], deadline=soon())


def test_what_a_wait_has_not_looked_at_does_not_end_it(console: Console, peer: Peer) -> None:
    """The head of an answer and a panic in its output may come in one piece while the waiter looks elsewhere."""
    looks = 0

    def check() -> bool | None:
        nonlocal looks
        looks += 1
        found = b"~head" in console.read(0) or None
        if looks == 1:
            heard(console, peer, b"~head\n", PANIC, b"\n", END)
        return found

    assert console.wait(check, soon(), what="head")


# -- doubt ------------------------------------------------------------------------------------------------------------


def wait(console: Console, seconds: float) -> float:
    """How long a wait for nothing took until the kernel was held for dead."""
    start = time.monotonic()
    with pytest.raises(KernelCrash, match="not syncing: test"):
        console.wait(lambda: None, Deadline.after(seconds), what="nothing")
    return time.monotonic() - start


def goes_on(console: Console, seconds: float) -> None:
    with pytest.raises(Timeout):
        console.wait(lambda: None, Deadline.after(seconds), what="nothing")
    assert console.finding is None


def test_no_answer_to_a_probe(console: Console, peer: Peer) -> None:
    console.doubt(lambda: lambda: False)
    heard(console, peer, PANIC, b"\r\n", END)
    assert console.finding is not None
    assert console.finding.doubtful
    assert 0.9 < wait(console, 5) < 1.2


def test_answer_to_a_probe(console: Console, peer: Peer) -> None:
    asked: list[float] = []

    def probe() -> object:
        asked.append(time.monotonic())
        return lambda: time.monotonic() - asked[0] > 0.5

    console.doubt(probe)  # type: ignore[arg-type]
    heard(console, peer, PANIC, b"\r\n", END)
    goes_on(console, 1.5)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "later",
    [b"lava-1234# ", b"more of the program\r\n", b"x" * 5000],
    ids=["prompt", "output-after-a-pause", "much-output"],
)
def test_programs_that_go_on(console: Console, peer: Peer, later: bytes) -> None:
    console.doubt(sign=b"lava-1234# ")
    heard(console, peer, PANIC, b"\r\n", END)
    threading.Timer(0.5, lambda: peer.says(later)).start()
    goes_on(console, 2)


@pytest.mark.parametrize("later", [b"", b"rest of a buffer\r\n", b"[  100.200000] more words\r\n"])
def test_silence_behind_a_panic(console: Console, peer: Peer, later: bytes) -> None:
    console.doubt(sign=b"lava-1234# ")
    heard(console, peer, PANIC, b"\r\n", END, later)
    assert 0.9 < wait(console, 5) < 1.3


def test_reset_is_no_sign_of_life(console: Console, peer: Peer) -> None:
    console.doubt(sign=b"lava-1234# ")
    heard(console, peer, PANIC, b"\r\n", END)
    threading.Timer(0.6, lambda: peer.says(b"\r\nU-Boot 2023.01\r\nDRAM: 512 MiB\r\n")).start()
    assert wait(console, 5) < 2


def test_lines_that_a_kernel_with_carriage_returns_did_not_write(console: Console, peer: Peer) -> None:
    heard(console, peer, b"[    0.000000] Linux boots\r\n")
    console.doubt(lambda: lambda: False, raw=True)
    heard(console, peer, PANIC, b"\n", WARN, b"\n", WARN, b"\r\n")
    (found,) = console.findings()
    assert (found.name, found.doubtful) == ("warning", True)


# -- whatever the chunks ----------------------------------------------------------------------------------------------

PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [WARN, PANIC, b"\r\n", b"\n", b"\r", b"U-Boot 2023.01", b"[    1.000000] ", b"BUG: ", b"x" * 5000, b"Linux"]
        ),
        st.binary(max_size=20),
    ),
    max_size=30,
).map(b"".join)


def watch_of(data: bytes, sizes: list[int]) -> list[object]:
    findings, at = Findings(Watch()), 0
    findings.armed = frozenset(FindingKind)
    for size in [*sizes, len(data)]:
        findings.feed(data[at : at + size], at, None)
        at = min(len(data), at + size)
    return list(findings.between(0, None))


@given(data=PIECES, sizes=st.lists(st.integers(1, 6000), max_size=40))
def test_chunks_never_change_what_is_found(data: bytes, sizes: list[int]) -> None:
    data += b"\n"
    found = watch_of(data, sizes)
    assert found == watch_of(data, [])
    for one in found:
        assert data[one.offset :].startswith(one.record)  # type: ignore[attr-defined]


@given(
    output=st.lists(st.sampled_from([WARN + b"\n", b"out\n", b"put", PANIC + b"\n", b"\0\xff"]), max_size=8).map(
        b"".join
    ),
    places=st.lists(st.integers(0, 400), max_size=5),
)
def test_kernel_s_records_are_found_in_any_output(output: bytes, places: list[int]) -> None:
    """Put between any two bytes, they are excised, found and not taken for output, nor output for theirs."""
    line = output
    for number, place in enumerate(sorted(places, reverse=True)):
        at = min(place, len(output))
        line = line[:at] + b"[  200.%06d] BUG: workqueue lockup - pool cpus=%d\r\n" % (number, number) + line[at:]
    assert excise_surely(line) == output
    findings = Findings(Watch())
    findings.armed = frozenset({FindingKind.FATAL})
    findings.feed(line + b"\n", 0, None)
    findings.prove(0, len(line), [output], exact=True)
    assert sorted(one.name for one in findings.between(0, None)) == ["workqueue-lockup"] * len(places)


@given(st.binary(max_size=300), st.lists(st.sampled_from([WARN, PANIC, b"[ 1.0", b"] x\r\n", b"\n"]), max_size=5))
def test_excision_never_fails_and_never_grows(data: bytes, parts: list[bytes]) -> None:
    for part in parts:
        data = data[: len(data) // 2] + part + data[len(data) // 2 :]
    for clean in (excise(data), excise_surely(data)):
        assert len(clean) <= len(data)

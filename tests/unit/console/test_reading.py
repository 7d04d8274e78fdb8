"""How the reader lets bytes gather, and that nobody waits for it."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.lines import FaultLine, Peer, soon

from pytest_lava.console.console import Console
from pytest_lava.console.process import open_process
from pytest_lava.console.reading import Gather, LineReader

UART = 8 / 11_520  # seconds for 8 bytes at 115200 baud


def rests(gather: Gather, seconds: float, *, began: float = 100.0) -> list[tuple[float, int]]:
    """When a UART's pieces are read for so long, and how long the reader rests each time."""
    found, now, pending = [], began, 8.0
    while now < began + seconds:
        rest = gather.milliseconds(int(pending), now)
        found.append((now - began, rest))
        step = max(UART, rest / 1000)
        now, pending = now + step, step * 11_520
    return found


def test_short_answer_is_never_held_up() -> None:
    assert all(rest == 0 for _, rest in rests(Gather(), 0.015))


def test_rest_is_a_share_of_the_time_that_the_answer_has_taken() -> None:
    found = rests(Gather(), 2)
    assert all(rest / 1000 <= Gather.SHARE * since for since, rest in found)
    assert found[-1][1] == Gather.LONGEST * 1000
    assert len(found) < 500  # reads; without rests it would be 2880


def test_what_comes_after_typing_is_a_new_answer() -> None:
    gather = Gather()
    rests(gather, 2)
    gather.typed = True
    assert gather.milliseconds(8, 102.001) == 0
    assert gather.milliseconds(8, 102.010) == 0


def test_silence_ends_an_answer() -> None:
    gather = Gather()
    rests(gather, 2)
    assert gather.milliseconds(8, 103) == 0


def test_fast_line_is_read_without_rests() -> None:
    gather = Gather()
    assert [gather.milliseconds(4096, 100 + at * 0.0005) for at in range(5000)] == [0] * 5000


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(1, 65536), st.booleans()), max_size=100))
def test_whatever_the_line_does_rests_are_short(reads: list[tuple[float, int, bool]]) -> None:
    gather, now = Gather(), 100.0
    for step, size, typed in reads:
        now += step
        gather.typed = gather.typed or typed
        assert 0 <= gather.milliseconds(size, now) <= 16


def test_many_one_byte_reads_are_no_slower_than_the_line(tmp_path: Path) -> None:
    """A transport that gives one byte a read whatever there is: with a rest for each, 20 KB would take minutes."""
    console = Console(tmp_path / "console.log")
    console.attach(FaultLine(open_process("sh -c 'head -c 20000 /dev/zero; echo over; sleep 60'")[0], single=True))
    assert console.expect([re.compile(b"over")], deadline=soon()).start == 20_000
    console.close()


def test_flood_behind_small_pieces_is_not_kept_back() -> None:
    """After a rest all there is is read together: of an endless line that must be a bounded part."""
    line = open_process("sh -c 'for i in $(seq 300); do echo drip; sleep 0.002; done; head -c 100000000 /dev/zero'")[0]
    reader, sizes = LineReader(line), [0]
    for data in reader.chunks():
        sizes.append(len(data))
        if sum(sizes) > 20_000_000:
            break
    assert max(sizes) <= 2 * 65536
    reader.close()
    line.close()


def test_closing_does_not_wait_for_a_rest(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    peer = Peer(console)
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.001):
            peer.says(b"drip ")

    dripping = threading.Thread(target=drip)
    dripping.start()
    console.expect([re.compile(b"(?:drip ){300}")], deadline=soon())
    began = time.monotonic()
    console.detach()
    assert time.monotonic() - began < 0.1
    stop.set()
    dripping.join()
    peer.close()
    console.close()


def test_who_knows_how_much_must_come_is_not_woken_before(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log")
    peer = Peer(console)
    looks: list[int] = []

    def look() -> bool | None:
        looks.append(console.end)
        return console.end >= 1000 or None

    def talk() -> None:
        for at in range(0, 1000, 10):
            peer.says(b"0123456789")
            limit = soon()
            while console.end < at + 10 and not limit.expired:
                time.sleep(0.0005)

    talking = threading.Thread(target=talk)
    talking.start()
    assert console.wait(look, soon(), what="all of it", grown_to=1000)
    talking.join()
    assert len(looks) <= 3  # at 100 pieces
    peer.close()
    console.close()

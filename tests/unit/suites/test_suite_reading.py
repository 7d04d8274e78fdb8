"""The reader: live what is whole, at the end the rest, and nothing twice or in the wrong place."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping

import pytest

from pytest_lava.suites.api import Case
from pytest_lava.suites.definition import Pattern
from pytest_lava.suites.reading import Reader

FIXUP = {"PASS": "pass", "FAIL": "fail", "SKIP": "skip", "UNKNOWN": "unknown"}


class Heard:
    """A reader, and the cases it reported."""

    def __init__(self, pattern: Pattern | None = None) -> None:
        self.cases: list[Case] = []
        self._time = 0.0
        self.reader = Reader(self.cases.append, FIXUP, pattern, self.clock)
        self.reader.begin()

    def clock(self) -> float:
        self._time += 1
        return self._time

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(case.set_name, case.id, case.result) for case in self.cases]

    def feed(self, *lines: str) -> Heard:
        for line in lines:
            self.reader.feed(line.encode() + b"\n")
        return self


def case(name: str, result: str = "pass") -> str:
    return f"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID={name} RESULT={result}>"


def sealed(text: str, sets: int = 0) -> str:
    return f"{text}#{len(text) - 2}.{sets}"


def test_cases_come_live_and_once() -> None:
    lines = [case("a"), "text", case("b", "fail"), case("a")]
    heard = Heard().feed(*lines)
    assert heard.told == [("", "a", "pass"), ("", "b", "fail"), ("", "a", "pass")]
    heard.reader.finish("\n".join(lines).encode())
    assert len(heard.cases) == 3
    assert heard.reader.remarks == []


def test_in_any_pieces() -> None:
    text = "".join(f"{case(f'c{number}')}\r\n" for number in range(20)).encode()
    for size in (1, 2, 3, 7, 50, 1000):
        heard = Heard()
        for at in range(0, len(text), size):
            heard.reader.feed(text[at : at + size])
        assert [one.id for one in heard.cases] == [f"c{number}" for number in range(20)]


def test_sets() -> None:
    heard = Heard().feed(
        "<LAVA_SIGNAL_TESTSET START net>", case("a"), "<LAVA_SIGNAL_TESTSET STOP>", case("b"),
        "<LAVA_SIGNAL_TESTSET START disk>", case("c"),
    )  # fmt: skip
    assert heard.told == [("net", "a", "pass"), ("", "b", "pass"), ("disk", "c", "pass")]


def test_times_and_output_of_a_case() -> None:
    heard = Heard().feed("before", "<LAVA_SIGNAL_STARTTC a>", "one", "two", "<LAVA_SIGNAL_ENDTC a>", case("a", "fail"))
    (told,) = heard.cases
    assert told.output == "one\ntwo"
    assert told.line == 6
    assert told.start < told.stop


def test_what_was_lost_live_comes_at_the_end() -> None:
    exact = [case("a"), case("b"), case("c")]
    heard = Heard().feed(case("a"), "<LAVA_SIGNAL_TESTCASE TEST_CA", case("c"))
    assert [one.id for one in heard.cases] == ["a", "c"]
    heard.reader.finish("\n".join(exact).encode())
    assert [one.id for one in heard.cases] == ["a", "c", "b"]


def test_a_lost_set_puts_no_case_into_another() -> None:
    exact = [
        sealed("<LAVA_SIGNAL_TESTSET START net>"), sealed(case("a"), 1), sealed("<LAVA_SIGNAL_TESTSET STOP>", 1),
        sealed(case("b"), 2),
    ]  # fmt: skip
    heard = Heard().feed(exact[0].replace("net", "nt"), *exact[1:])
    assert heard.told == [("", "b", "pass")]
    heard.reader.finish("\n".join(exact).encode())
    assert sorted(heard.told) == [("", "b", "pass"), ("net", "a", "pass")]


def test_without_an_end_what_waited_is_told_without_its_set() -> None:
    heard = Heard().feed(sealed(case("a", "fail"), 1))
    assert heard.told == []
    heard.reader.abandon()
    assert heard.told == [("", "a", "fail")]
    assert heard.reader.remarks == ["the sets of the last 1 cases are not known"]


def test_the_case_in_progress_fails_with_what_ended_it() -> None:
    set_, begin = "<LAVA_SIGNAL_TESTSET START s>", "<LAVA_SIGNAL_STARTTC a>"
    for lines, told in (
        ([set_, begin, "half of it"], [("s", "a", "fail")]),
        ([set_, begin, "<LAVA_SIGNAL_ENDTC a>"], []),
        ([begin, case("a")], [("", "a", "pass")]),
        (
            [begin, "<LAVA_SIGNAL_ENDTC a>", case("a"), "<LAVA_SIGNAL_STARTTC b>"],
            [("", "a", "pass"), ("", "b", "fail")],
        ),
    ):
        heard = Heard().feed(*lines)
        heard.reader.cut("the board died")
        assert heard.told == told, lines
    assert heard.cases[-1].message == "it began, and gave no result: the board died"


def test_signals_through_the_kernel_log_count_once() -> None:
    record = "[   12.345678] <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=k RESULT=pass>\r"
    heard = Heard().feed(record, "text", record)
    heard.reader.finish(f"text\n{record}\n".encode())
    assert heard.told == [("", "k", "pass")]


def test_a_pattern() -> None:
    pattern = Pattern(
        re.compile(r"(?P<test_case_id>\S+): (?P<result>OK|BAD)( (?P<measurement>\S+))?"), {"OK": "pass", "BAD": "fail"}
    )
    lines = ["+ x: OK", "fs/ext4: OK 12", "two words: BAD", "other: BAD", "none: MAYBE"]
    heard = Heard(pattern).feed(*lines)
    heard.reader.finish("\n".join(lines).encode())
    assert heard.told == [("", "fs/ext4", "pass"), ("", "words", "fail"), ("", "other", "fail")]
    assert heard.cases[0].measurement == 12


def test_what_a_person_should_know() -> None:
    lines = [case("a", "great"), "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=b RES"]
    heard = Heard().feed(*lines)
    heard.reader.finish("\n".join(lines).encode())
    assert heard.told == []
    assert [re.sub(":.*", "", one) for one in heard.reader.remarks] == [
        "a signal that is no result", "this is no whole signal, so it is no result",
    ]  # fmt: skip


def test_raise_event_and_end() -> None:
    heard = Heard().feed(
        "<LAVA_SIGNAL_TESTEVENT half>", "<LAVA_SIGNAL_TESTRAISE no disk>", "<LAVA_SIGNAL_ENDRUN 0_x y>"
    )
    assert (heard.reader.events, heard.reader.raised, heard.reader.ended) == (["half"], "no disk", True)


def noisy(text: bytes, records: Iterable[bytes], draw: random.Random) -> bytes:
    """Kernel records between any two bytes of what a program writes."""
    places = sorted(draw.randrange(len(text)) for _ in records)
    pieces, last = [], 0
    for place, record in zip(places, records, strict=True):
        pieces += [text[last:place], record]
        last = place
    return b"".join([*pieces, text[last:]])


def expected(count: int) -> Mapping[tuple[str, str], str]:
    return {(f"set{number // 50}", f"case-{number}"): ("pass", "fail", "skip")[number % 3] for number in range(count)}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("stamped", [True, False])
def test_under_a_kernel_that_talks_nothing_is_wrong_or_lost(seed: int, stamped: bool) -> None:
    """As many records as cases, also from a kernel that tells no time, whose lines cannot be told from a program's."""
    draw, count = random.Random(seed), 1000
    lines: list[str] = []
    for number in range(count):
        if number % 50 == 0:
            lines.append(sealed(f"<LAVA_SIGNAL_TESTSET START set{number // 50}>", number // 50))
        told = case(f"case-{number}", ("pass", "fail", "skip")[number % 3])
        lines.append(sealed(told, number // 50 + 1))
    exact = "".join(f"{line}\n" for line in lines).encode()
    stamp = "[%5d.%06d] " if stamped else "%.0d%.0d"
    records = [
        (stamp % (at, at) if stamped else "").encode() + f"usb 1-{at}: device <x> RESULT=fail not\r\n".encode()
        for at in range(count)
    ]
    mixed = noisy(exact.replace(b"\n", b"\r\n"), records, draw)
    heard = Heard()
    at = 0
    while at < len(mixed):
        size = draw.randrange(1, 200)
        heard.reader.feed(mixed[at : at + size])
        at += size
    live = len(heard.cases)
    assert all(expected(count)[one.set_name, one.id] == one.result for one in heard.cases)
    heard.reader.finish(exact)
    assert {(one.set_name, one.id): one.result for one in heard.cases} == expected(count)
    assert len(heard.cases) == count
    assert heard.reader.remarks == []
    assert live == count if stamped else live > 0

"""Results live from a console that other programs and the kernel write to: in the end exactly the right ones."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_lava.suites.ktap import KtapParser
from pytest_lava.suites.live import LiveReading
from pytest_lava.suites.ltp import LtpParser
from pytest_lava.suites.own_model import Parse
from pytest_lava.suites.parsing import LineParser, ParsedCase, PatternParser, Told

DOCUMENT = (
    "KTAP version 1\n1..3\n  KTAP version 1\n  # Subtest: sub\n  1..2\n  ok 1 one\n  not ok 2 two # TODO x\nok 1 sub\n"
    "# words\nok 2 same\nnot ok 3 last\n"
)
RECORD = "[   12.345678] usb 1-1: new device number 7 using xhci\r\n"


def results(cases: list[ParsedCase]) -> Counter[tuple[tuple[str, ...], str]]:
    return Counter((case.path, case.result) for case in cases)


def exact(make: type[KtapParser]) -> list[ParsedCase]:
    found: list[ParsedCase] = []
    parser = make(found.append)
    for line in DOCUMENT.split("\n"):
        parser.feed(line)
    parser.finish()
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(DOCUMENT)), max_size=4), st.lists(st.integers(0, 900), max_size=8))
def test_kernel_messages_anywhere_change_nothing(records: list[int], cuts: list[int]) -> None:
    text = DOCUMENT
    for at in sorted(records, reverse=True):
        text = text[:at] + RECORD + text[at:]
    data, found = text.encode(), list[ParsedCase]()
    reading = LiveReading(KtapParser, found.append)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in pairwise(edges):
        reading.feed(data[begin:end])
    reading.finish(DOCUMENT.encode())
    assert results(found) == results(exact(KtapParser))
    assert reading.remarks == []


def test_told_before_the_end_with_the_line_of_the_log() -> None:
    found: list[ParsedCase] = []
    reading = LiveReading(KtapParser, found.append)
    reading.feed(DOCUMENT.replace("ok 2 same", f"{RECORD}ok 2 same").encode())
    assert [case.path[-1] for case in found] == ["one", "two", "sub", "same", "last"]
    assert [case.line for case in found] == [6, 7, 8, 10, 11]
    reading.finish(DOCUMENT.encode())
    assert len(found) == 5


def test_lost_characters_are_told_from_the_exact_output() -> None:
    found: list[ParsedCase] = []
    reading = LiveReading(KtapParser, found.append)
    reading.feed(DOCUMENT.replace("ok 2 same", "ok 2 sane").encode())
    reading.finish(DOCUMENT.encode())
    assert results(found) == results(exact(KtapParser)) + Counter({(("sane",), "pass"): 1})
    assert reading.remarks == ["the console had what the test did not print: sane"]


def test_a_lost_line_ends_what_is_told_live() -> None:
    found: list[ParsedCase] = []
    reading = LiveReading(KtapParser, found.append)
    reading.feed(DOCUMENT.replace("  ok 1 one\n", "").encode())
    assert found == []
    reading.finish(DOCUMENT.encode())
    assert results(found) == results(exact(KtapParser))
    assert reading.remarks == []


def test_a_board_that_died_leaves_what_came() -> None:
    found: list[ParsedCase] = []
    reading = LiveReading(KtapParser, found.append)
    reading.feed(
        (DOCUMENT[:50] + RECORD + DOCUMENT[50:78] + "[   13.000000] Kernel panic - not syncing: x\r\n").encode()
    )
    reading.abandon("the kernel crashed")
    told = {"::".join(case.path): case for case in found}
    assert told["sub::one"].result == "pass"
    assert told["sub"].reason == "it began, and gave no result: the kernel crashed"


def parsed(make: type[LineParser] | object, text: str) -> tuple[list[ParsedCase], LineParser]:
    found: list[ParsedCase] = []
    parser = make(found.append)  # type: ignore[operator]
    for line in text.splitlines():
        parser.feed(line)
    parser.finish()
    return found, parser


def test_ltp_in_all_its_forms() -> None:
    text = """\
tst_test.c:1741: TINFO: LTP version: 20240129
getpid01.c:35: TPASS: getpid() returns 423
getpid01.c:37: TFAIL: getpid() returned 0
mem02       1  TPASS  :  calloc - calloc of 64MB of memory succeeded
clone08.c:12: TCONF: kernel has no CLONE_X
abort01                                            PASS       0    
accept02                                           CONF       32   
bind03                                             FAIL       1    
\x1b[1mbrk01: \x1b[32mpass\x1b[0m  (0.021s)
words: and more
"""  # noqa: W291  # runltp writes them so
    found, parser = parsed(LtpParser, text)
    assert [("::".join(case.path), case.result) for case in found] == [
        ("getpid01::1", "pass"), ("getpid01::2", "fail"), ("mem02::1", "pass"), ("clone08::1", "skip"),
        ("abort01", "pass"), ("accept02", "skip"), ("bind03", "fail"), ("brk01", "pass"),
    ]  # fmt: skip
    assert (found[1].reason, found[5].reason, parser.failed) == ("getpid() returned 0", "its status was 32", 2)
    assert "TINFO: LTP version" in found[0].output


def test_a_pattern_of_ones_own() -> None:
    parse = Parse(pattern=r"^(?P<test_case_id>.*?): (?P<result>PASS|bad)( (?P<measurement>\S+) (?P<units>\S+))?$",
                  fixup={"bad": "fail"})  # fmt: skip
    pattern = parse.compiled
    assert pattern is not None

    def make(tell: Told) -> PatternParser:
        return PatternParser(pattern, tell)

    found, parser = parsed(make, "before\nsome test: PASS 12.5 MB/s\nother: bad\nthird: PASS fast x\n: PASS\n")
    assert [(case.path, case.result, case.measurement) for case in found] == [
        (("some test",), "pass", 12.5), (("other",), "fail", None), (("third",), "pass", None),
    ]  # fmt: skip
    assert found[0].output == "before"
    assert found[2].reason == "its measurement 'fast' is no number"
    assert parser.remarks


@pytest.mark.parametrize("make", [KtapParser, LtpParser])
@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes(make: type[LineParser], data: bytes) -> None:
    reading = LiveReading(make, lambda case: None)
    reading.feed(data)
    reading.finish(data)
    again = LiveReading(make, lambda case: None)
    again.feed(data)
    again.abandon("cut")

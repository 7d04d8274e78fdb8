"""Signals: what is whole is taken exactly, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lava.suites.signals import BadSignal, broken, numbered, outcome_of, scan

FIXUP = {"PASS": "pass", "FAIL": "fail", "SKIP": "skip", "UNKNOWN": "unknown"}
CASE = "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=mem-test RESULT=pass MEASUREMENT=12.5 UNITS=MB/s>"


def sealed(text: str, sets: int = 0) -> str:
    """As our helpers send it."""
    return f"{text}#{len(text) - 2}.{sets}"


@pytest.mark.parametrize(
    "line, kind, text",
    [
        ("<LAVA_SIGNAL_STARTRUN 0_smoke 1.2>", "STARTRUN", "0_smoke 1.2"),
        ("<LAVA_SIGNAL_ENDRUN 0_smoke 1.2>", "ENDRUN", "0_smoke 1.2"),
        ("<LAVA_SIGNAL_STARTTC case>", "STARTTC", "case"),
        ("<LAVA_SIGNAL_ENDTC case>", "ENDTC", "case"),
        ("<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=pass>", "TESTCASE", "TEST_CASE_ID=a RESULT=pass"),
        ("<LAVA_SIGNAL_TESTSET START net>", "TESTSET", "START net"),
        ("<LAVA_SIGNAL_TESTSET STOP>", "TESTSET", "STOP"),
        ("<LAVA_SIGNAL_TESTREFERENCE a fail http://x/y?z=1>", "TESTREFERENCE", "a fail http://x/y?z=1"),
        ("<LAVA_SIGNAL_TESTRAISE no disk, sorry>", "TESTRAISE", "no disk, sorry"),
        ("<LAVA_SIGNAL_TESTEVENT half way>", "TESTEVENT", "half way"),
        ("text before <LAVA_SIGNAL_ENDTC case> and behind", "ENDTC", "case"),
    ],
)
def test_each_kind(line: str, kind: str, text: str) -> None:
    (found,) = scan(line)
    assert (found.kind, found.text, found.sets) == (kind, text, None)


def test_a_sealed_one_tells_how_many_sets_there_were() -> None:
    (found,) = scan(sealed("<LAVA_SIGNAL_ENDTC case>", 12))
    assert found.sets == 12


def test_several_in_a_line() -> None:
    assert [one.text for one in scan("<LAVA_SIGNAL_STARTTC a><LAVA_SIGNAL_ENDTC a>")] == ["a", "a"]


@pytest.mark.parametrize(
    "line",
    [
        "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=pass",
        "LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=pass>",
        "<LAVA_SIGNAL_TESTCA\x00SE TEST_CASE_ID=a RESULT=pass>",
        "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a <LAVA_SIGNAL_STARTTC",
        sealed(CASE).replace("mem-test", "mem-tst"),
    ],
)
def test_a_broken_one_is_none_and_is_noticed(line: str) -> None:
    assert list(scan(line)) == []
    assert broken(line)


def test_what_a_trace_of_another_process_stands_before_is_one() -> None:
    for line in (f"+ echo {sealed(CASE)}", f"+ echo '<3>no{sealed(CASE)}", f"+ :{CASE}", f"+ echo{CASE}"):
        assert [one.kind for one in scan(line)] == ["TESTCASE"]


def test_what_set_x_shows_is_none() -> None:
    line = "+ echo '<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=pass>'"
    assert list(scan(line)) == []
    assert not broken(line)


@pytest.mark.parametrize("line", ["plain text", "Testing the memory", "<a> & <b>"])
def test_text_is_not_taken_for_what_is_left_of_one(line: str) -> None:
    assert not broken(line)


@given(st.integers(0, len(CASE) - 1), st.integers(1, 20))
def test_no_loss_gives_another_case(at: int, count: int) -> None:
    """Whatever the line loses: a sealed signal arrives as it was, or not at all."""
    text = sealed(CASE)
    lossy = text[:at] + text[at + count :]
    for found in scan(lossy):
        told = outcome_of(found, FIXUP)
        assert found.sets is not None or lossy.partition("#")[0] == CASE
        assert (told.id, told.result, told.measurement) == ("mem-test", "pass", 12.5)


def test_a_case() -> None:
    (signal,) = scan(CASE)
    told = outcome_of(signal, FIXUP)
    assert (told.id, told.result, told.measurement, told.units) == ("mem-test", "pass", 12.5, "MB/s")


def test_the_order_of_keys_is_free_and_results_are_fixed_up() -> None:
    (signal,) = scan("<LAVA_SIGNAL_TESTCASE result=FAIL  test_case_id=a>")
    assert (outcome_of(signal, FIXUP).id, outcome_of(signal, FIXUP).result) == ("a", "fail")


@pytest.mark.parametrize("text", ["abc", "nan", "inf", "1e999", "1_000", "0x10", "1,5", "9" * 100])
def test_a_bad_measurement_costs_the_number_and_not_the_result(text: str) -> None:
    (signal,) = scan(f"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=pass MEASUREMENT={text}>")
    told = outcome_of(signal, FIXUP)
    assert (told.result, told.measurement) == ("pass", None)
    assert told.remark == f"its measurement {text!r} is no number"


@pytest.mark.parametrize("text, value", [("3", 3), ("-1.5", -1.5), ("1e3", 1000), (".5", 0.5)])
def test_numbers(text: str, value: float) -> None:
    assert numbered(text) == value


@pytest.mark.parametrize(
    "line, why",
    [
        ("<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=great>", "'great' is no result"),
        ("<LAVA_SIGNAL_TESTCASE RESULT=pass>", "there is no TEST_CASE_ID"),
        ("<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a>", "there is no RESULT"),
        ("<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a b RESULT=pass>", "'b' in .* is no KEY=VALUE"),
        ("<LAVA_SIGNAL_TESTREFERENCE a pass>", "a reference has a case, a result and a URL"),
    ],
)
def test_one_that_says_nothing_tells_why(line: str, why: str) -> None:
    (signal,) = scan(line)
    with pytest.raises(BadSignal, match=why):
        outcome_of(signal, FIXUP)

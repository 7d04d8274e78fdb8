from __future__ import annotations

import time
from datetime import datetime

import pytest

from pytest_lava.told_times import ago, column, left, minute, roughly, told_seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.96, "1 min 00.0 s"), (61.26, "1 min 01.3 s"), (3730.3, "1 h 02 min 10.3 s")],
)
def test_told_seconds(seconds: float, text: str) -> None:
    assert told_seconds(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (560, "9 min 20 s")])
def test_what_is_left(seconds: float, text: str) -> None:
    assert left(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(2.345, "2.35 s"), (60, "0:01:00"), (3723.9, "1:02:03")])
def test_in_a_column(seconds: float, text: str) -> None:
    assert column(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (259200, "3 d")]
)
def test_roughly(seconds: float, text: str) -> None:
    assert roughly(seconds) == text
    assert ago(seconds) == f"{text} ago"


def test_a_clock_that_was_set_back_tells_no_negative_age() -> None:
    assert ago(-5) == "0 s ago"


def test_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert minute(0) == "1970-01-01 05:30"
        assert minute(datetime.fromisoformat("2026-11-28T10:31:59+00:00")) == "2026-11-28 16:01"
    finally:
        monkeypatch.undo()
        time.tzset()

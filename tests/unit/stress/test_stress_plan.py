"""Limits as people write them, and times as they read them."""

from __future__ import annotations

import math

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.stress.outcome import Cause, Outcome, Pulse
from pytest_lava.stress.plan import Limits, parse_limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("1h 30min", 5400), ("2d", 172800), (30, 30)],
)
def test_times(text: str | float, seconds: float) -> None:
    assert parse_limits(text, None) == Limits(seconds, 0)


def test_no_limit() -> None:
    assert parse_limits(None, None) == Limits(math.inf, 0)
    assert parse_limits("1h", 12) == Limits(3600, 12)


@pytest.mark.parametrize("text", ["", "h", "2 weeks", "1h,", "-5", "0", "nan", "inf", "1e400"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--stress-limit"):
        parse_limits(text, None)


@pytest.mark.parametrize("iterations", [0, -1, True, 2.5])
def test_what_is_no_number_of_iterations(iterations: int) -> None:
    with pytest.raises(ConfigurationError, match=r"^--stress-iterations .*whole number"):
        parse_limits(None, iterations)


def test_an_outcome_as_text_and_as_properties() -> None:
    pulse = Pulse(3, 8.0, 0.01, 0.5, 99.0)
    outcome = Outcome("x", Cause.CRASH, 12.3456, "the kernel crashed", 12.34, 1, pulse)
    assert str(outcome) == "ran 12.3 s, 1 iteration, until: the kernel crashed"
    assert outcome.facts == {
        "measurement": 12.346,
        "units": "seconds",
        "stress.cause": "crash",
        "stress.iterations": 1,
        "stress.heartbeats": 3,
        "stress.board_seconds": 12.34,
        "stress.last_heartbeat": 8.0,
        "stress.heartbeat_latency": 0.01,
        "stress.heartbeat_slowest": 0.5,
        "stress.last_uptime": 99.0,
    }
    assert str(Outcome("x", Cause.RUNNING, 3700, iterations=2)) == "has run 1 h 01 min 40.0 s, 2 iterations"

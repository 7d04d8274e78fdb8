"""The time of a run is told for every part: what is done to recover a board is recovery, a suite's cases are in it."""

from __future__ import annotations

from typing import Any

from pytest_lava.results.durations import spent, told_durations
from pytest_lava.results.record import DEFINITION, collect


def phase(name: str, begin: int, seconds: float, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A phase that began so many seconds after the hour."""
    moments = (f"2026-11-24T01:{at // 60:02}:{at % 60:02}.000000+00:00" for at in (begin, begin + round(seconds)))
    start, stop = moments
    where = {"board": "q1", "target": "q1-k1", "error": None, **fields}
    return "phase", {"name": name, "start": start, "time": stop, "seconds": seconds, **where}


def test_every_part_has_its_sum(told: Any, make: Any) -> None:
    lines = told(
        phase("wait", 0, 12.0), phase("deploy", 12, 31.4), phase("power", 44, 0.01), phase("boot.kernel", 45, 8.0),
        phase("boot.login", 53, 10.0), phase("power", 80, 1.0), phase("boot.login", 81, 9.0),
        phase("recovery", 79, 12.0), phase("deploy", 0, 2.0, target="q2-k1", board="q2"),
        ("outcome", make.outcome("t.py::a", seconds=120.0)),
        ("outcome", make.outcome("t.py::a", when="setup", seconds=99.0)),
        ("outcome", make.outcome("s.yaml::s", seconds=3.0, suite="s", case="s", **{DEFINITION: "ended"})),
        ("outcome", make.outcome("s.yaml::one", seconds=2.0, suite="s", case="one")),
    )  # fmt: skip
    record = collect(lines)
    assert told_durations(record) == [
        "q1-k1: wait 12.0 s, deploy 31.4 s, boot 18.0 s, tests 2 min 03.0 s, recovery 12.0 s",
        "q2-k1: deploy 2.0 s",
    ]
    assert spent(record)["q1-k1"]["power"] == 0.01  # too little to be told


def test_nothing_is_told_of_a_run_that_took_no_time(told: Any, make: Any) -> None:
    assert told_durations(collect(told(("outcome", make.outcome("t.py::a", seconds=0.001))))) == []

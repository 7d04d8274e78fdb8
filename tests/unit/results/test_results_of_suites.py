"""Which cases of a run are results: those of a suite and not the suite, unless it has none or broke off."""

from __future__ import annotations

import pytest

from pytest_lava.results.journal import Line
from pytest_lava.results.record import collect, results_of


def outcome(nodeid: str, suite: str, **more: str) -> Line:
    return {
        "v": 1, "run": "r", "worker": "main", "attempt": 1, "time": "2026-11-28T00:00:00+00:00", "board": "b",
        "kind": "outcome", "nodeid": nodeid, "when": "call", "outcome": "passed", "target": "b", "suite": suite,
        "case": nodeid.rpartition("::")[2], **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "results"),
    [
        ([outcome("j::boot", "boot", definition="ended")], ["j::boot"]),
        ([outcome("j::a::one", "a"), outcome("j::a", "a", definition="ended")], ["j::a::one"]),
        ([outcome("j::a::one", "a"), outcome("j::a", "a", definition="broke")], ["j::a::one", "j::a"]),
        ([outcome("j::a::one", "a"), outcome("j::b", "b", definition="ended")], ["j::a::one", "j::b"]),
    ],
    ids=["none-has-come", "its-cases", "broke-off", "of-another-suite"],
)
def test_results(lines: list[Line], results: list[str]) -> None:
    assert [case.nodeid for case in results_of(collect(lines).cases)] == results

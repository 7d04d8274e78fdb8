"""A limit in the journal is the outcome of a test that got no other one, and of no other test."""

from __future__ import annotations

from typing import Any

from pytest_lava.results.record import UNFINISHED, Case, collect

START = {"kind": "start", "nodeid": "t.py::test_it", "target": "b", "suite": "t.py", "case": "test_it"}
ERROR = {"type": "TestTimeout", "message": "over", "blame": "test", "effect": "case", "result": "fail", "evidence": ""}
LIMIT = {**START, "kind": "limit", "limit": 1.0, "method": "thread", "when": "call", "message": "over", "error": ERROR}


def outcome(when: str, how: str, **more: Any) -> dict[str, Any]:
    return {**START, "kind": "outcome", "when": when, "outcome": how, "seconds": 0.1, "message": "its own", **more}


def case(*lines: dict[str, Any]) -> Case:
    head = {"v": 1, "run": "r", "board": "b", "worker": "main", "attempt": 1, "time": "2026-01-01T00:00:00+00:00"}
    (found,) = collect([head | line for line in lines]).cases
    return found


def judged(*lines: dict[str, Any]) -> tuple[str, str, str]:
    verdict = case(*lines).verdict
    return verdict.result, verdict.outcome, verdict.message


SETUP = outcome("setup", "passed")


def test_a_process_that_ended_in_its_test() -> None:
    assert judged(START, SETUP, LIMIT) == ("fail", "failed", "over")
    assert judged(START, LIMIT) == ("fail", "failed", "over")
    assert judged(START, SETUP) == ("unknown", "unfinished", UNFINISHED)


def test_in_setup() -> None:
    assert judged(START, {**LIMIT, "when": "setup"}) == ("fail", "failed", "setup: over")


def test_a_worker_that_ended() -> None:
    """The controller only knows that it crashed."""
    crash = outcome("???", "failed", worker="main")
    assert judged({**START, "worker": "gw0"}, {**SETUP, "worker": "gw0"}, {**LIMIT, "worker": "gw0"}, crash) == (
        "fail", "failed", "over",
    )  # fmt: skip


def test_an_outcome_counts_more() -> None:
    error = ERROR | {"message": "its own"}
    assert judged(START, SETUP, LIMIT, outcome("call", "failed", error=error)) == ("fail", "failed", "its own")
    assert judged(START, SETUP, LIMIT, outcome("call", "passed")) == ("pass", "passed", "its own")


def test_one_that_runs_again_begins_anew() -> None:
    assert judged(START, SETUP, LIMIT, START, SETUP, outcome("call", "passed"))[0] == "pass"
    assert judged(START, SETUP, LIMIT, START, SETUP)[1] == "unfinished"

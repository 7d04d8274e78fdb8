"""Root cause and exit status: a broken lab is never a failed test, a failed boot never a success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_lava.results.journal import read
from pytest_lava.results.record import collect
from pytest_lava.results.summary import exit_status, root_cause


def bad_phase(make: Any, blame: str, name: str = "boot.kernel", **fields: Any) -> tuple[str, dict[str, Any]]:
    return "phase", {"board": "q1", "target": "q1-k1", "name": name, "error": make.error(blame, **fields)}


def test_a_good_run(told: Any, make: Any) -> None:
    lines = told(("outcome", make.outcome("t.py::a")))
    assert root_cause(collect(lines)) is None
    assert exit_status(collect(lines), 0) == 0


def test_a_failed_test_has_no_root_cause_but_fails(told: Any, make: Any) -> None:
    lines = told(("outcome", make.outcome("t.py::a", outcome="failed", message="assert 0")))
    assert root_cause(collect(lines)) is None
    assert exit_status(collect(lines), 1) == 1


@pytest.mark.parametrize("blame, status", [("job", 1), ("infrastructure", 69), ("configuration", 4), ("bug", 1)])
@pytest.mark.parametrize("pytest_status", [0, 1])
def test_boot_failure_never_exits_0(told: Any, make: Any, blame: str, status: int, pytest_status: int) -> None:
    error = make.error(blame, message="no prompt\nmore")
    report = make.outcome("boot::q1", suite="lava", case="boot", outcome="failed", error=error)
    skip = make.outcome("t.py::a", when="setup", outcome="skipped", error=error)
    lines = told(bad_phase(make, blame), ("outcome", report), ("outcome", skip))
    assert exit_status(collect(lines), pytest_status) == status
    assert exit_status(collect(told(bad_phase(make, blame))), pytest_status) == status


def test_a_failed_test_wins_over_the_lab(folder: Path) -> None:
    assert exit_status(collect(read(folder)), 1) == 1
    assert root_cause(collect(read(folder))) == "lab fault on q1-k1: the switch is silent"


def test_a_plain_fixture_error_is_a_failed_run(told: Any, make: Any) -> None:
    assert exit_status(collect(told(("outcome", make.outcome("t.py::a", when="setup", outcome="failed")))), 1) == 1


def test_a_crash_in_a_case_is_no_root_cause_of_the_run(told: Any, make: Any) -> None:
    crash = make.error("job", type="KernelCrash", effect="case")
    lines = told(("outcome", make.outcome("t.py::a", outcome="failed", error=crash)))
    assert (root_cause(collect(lines)), exit_status(collect(lines), 1)) == (None, 1)


def test_what_was_recovered_from_or_only_not_sent_does_not_count(told: Any, make: Any) -> None:
    good = ("phase", {"board": "q1", "target": "q1-k1", "name": "deploy", "error": None})
    lines = told(bad_phase(make, "infrastructure", "deploy"), good, bad_phase(make, "infrastructure", "submit"))
    assert (root_cause(collect(lines)), exit_status(collect(lines), 0)) == (None, 0)


def test_another_worker_does_not_recover_this_one(told: Any, make: Any) -> None:
    told(bad_phase(make, "infrastructure", "deploy"), worker="gw0")
    lines = told(("phase", {"target": "q1-k1", "name": "deploy", "error": None}), worker="gw1")
    assert exit_status(collect(lines), 0) == 69


def test_the_first_cause_is_told_in_one_line(told: Any, make: Any) -> None:
    lines = told(
        bad_phase(make, "job", "deploy", message="the image is no image\nmore"),
        bad_phase(make, "infrastructure", "power", message="late"),
    )
    assert root_cause(collect(lines)) == "deploy failed on q1-k1: the image is no image"


@pytest.mark.parametrize("status", [2, 3, 4, 5, 143])
def test_other_statuses_are_kept(told: Any, make: Any, status: int) -> None:
    assert exit_status(collect(told(bad_phase(make, "infrastructure"))), status) == status

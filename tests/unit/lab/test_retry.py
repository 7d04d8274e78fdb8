"""What is tried again, how often, with which pauses, and that each failure is told."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

from pytest_lava.config.model import Retry
from pytest_lava.deadline import Deadline
from pytest_lava.errors import BoardBusy, BootFailed, ConsoleLost, LavaError, NetworkError, PowerError
from pytest_lava.lab.retry import Attempt, again

QUICK = Retry(pause=0, boot=3)


def failing(*errors: LavaError) -> Callable[[Deadline], str]:
    left = list(errors)

    def step(limit: Deadline) -> str:
        if left:
            raise left.pop(0)
        return "worked"

    return step


def test_failures_are_told_though_it_worked_in_the_end() -> None:
    told: list[Attempt] = []
    assert again(QUICK, "boot", failing(ConsoleLost("one\nmore"), NetworkError("two")), told.append) == "worked"
    assert [(one.number, one.of, one.error.type, one.last) for one in told] == [
        (1, 3, "ConsoleLost", False),
        (2, 3, "NetworkError", False),
    ]
    assert str(told[0]) == "boot, attempt 1 of 3, failed: one"


def test_the_last_failure_is_raised() -> None:
    told: list[Attempt] = []
    with pytest.raises(ConsoleLost, match="three"):
        again(QUICK, "boot", failing(*(ConsoleLost(text) for text in ("one", "two", "three", "four"))), told.append)
    assert [one.last for one in told] == [False, False, True]


@pytest.mark.parametrize("error", [BoardBusy("in use"), BootFailed("panicked")])
def test_what_does_not_pass_is_not_tried_again(error: LavaError) -> None:
    told: list[Attempt] = []
    with pytest.raises(type(error)):
        again(QUICK, "boot", failing(error), told.append)
    assert [one.last for one in told] == [True]


def test_power_has_an_allowance_of_its_own() -> None:
    told: list[Attempt] = []
    step = failing(PowerError("outlet"), ConsoleLost("line"), ConsoleLost("line"))
    assert again(QUICK, "boot", step, told.append) == "worked"
    assert [(one.phase, one.number, one.of) for one in told] == [("power", 1, 2), ("boot", 1, 3), ("boot", 2, 3)]


def test_what_is_a_bug_goes_through_at_once() -> None:
    def step(limit: Deadline) -> str:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError):
        again(QUICK, "boot", step, lambda _: pytest.fail("told"))


def test_pauses_double_and_end_before_the_total() -> None:
    policy, told = Retry(pause=0.05, boot=9, total=0.3), []
    begin = monotonic()
    with pytest.raises(ConsoleLost):  # after 0, 0.05 and 0.15 s; the pause of 0.2 s would be too long
        again(policy, "boot", failing(*(ConsoleLost("x") for _ in range(9))), told.append)
    assert 0.15 <= monotonic() - begin < 0.3
    assert len(told) == 3


def test_no_later_than_what_the_caller_has() -> None:
    limits: list[Deadline] = []

    def step(limit: Deadline) -> None:
        limits.append(limit)
        raise ConsoleLost("x")

    whole = Deadline.after(0.01)
    with pytest.raises(ConsoleLost):
        again(Retry(pause=0.02), "boot", step, lambda _: None, total=whole)
    assert limits == [whole]

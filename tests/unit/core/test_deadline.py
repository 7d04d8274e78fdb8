"""Deadlines are moments, and a part never outlives the whole."""

import pytest

from pytest_lava.deadline import Deadline, monotonic


def test_remaining_counts_down_and_stops_at_zero():
    deadline = Deadline.after(0)
    assert deadline.expired
    assert deadline.remaining() == 0.0
    assert 9 < Deadline.after(10).remaining() <= 10


def test_a_part_ends_with_the_whole():
    whole = Deadline.after(1)
    assert whole.at_most(100).at == whole.at
    assert whole.at_most(0.1).at < whole.at
    assert whole.at_most(0.1).at <= monotonic() + 0.1


@pytest.mark.parametrize("seconds", [-1, -0.001, float("-inf"), float("nan")])
def test_limits_that_are_none_are_refused(seconds):
    with pytest.raises(ValueError, match="a time limit must not be negative, got "):
        Deadline.after(seconds)

"""Text cut for people."""

from __future__ import annotations

import pytest

from pytest_lava.results.text import both_ends


@pytest.mark.parametrize("text", ["", "short", "\n".join(map(str, range(20)))])
def test_short_text_stays_whole(text: str) -> None:
    assert both_ends(text, 10, 1000, "elsewhere") == text


def test_many_lines_and_long_ones() -> None:
    many = "\n".join(map(str, range(1000)))
    shown = both_ends(many, 2, 1000, "elsewhere").splitlines()
    assert shown == ["0", "1", f"[{len(many) - 3 - 7} characters left out: elsewhere]", "998", "999"]
    long = both_ends("a" * 5000 + "b" * 5000, 10, 100, "elsewhere").splitlines()
    assert [line[:1] for line in long] == ["a", "[", "b"]
    assert len(long[0]) == len(long[2]) == 100

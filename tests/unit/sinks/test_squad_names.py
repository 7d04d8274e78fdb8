"""Names as SQUAD has them: its own rules for taking them apart, ours for keeping each of them."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.torture import count, seed

from pytest_lava.sinks.squad_names import NAME_LIMIT, SLUG_LIMIT, SLUG_PATTERN, full_name, names, parse_name, slug


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("6.1.0-rc3+ #2", "6.1.0-rc3-2"),
        ("qemu_arm64/a", "qemu_arm64-a"),
        ("env[0]", "env-0"),
        (" -x", "x"),
        ("größe", "groe"),
        ("/", ""),
        ("", ""),
    ],
)
def test_slug(text: str, wanted: str) -> None:
    assert slug(text) == wanted


@given(st.text(max_size=300))
def test_a_slug_is_what_their_urls_take_whole(text: str) -> None:
    found = slug(text)
    assert not found or re.fullmatch(SLUG_PATTERN, found)
    assert len(found) <= SLUG_LIMIT


def test_slugs_that_are_cut_differ() -> None:
    assert slug("x" * 100 + "a") != slug("x" * 100 + "b")


@pytest.mark.parametrize(
    "suite, case, wanted, parts",
    [
        (
            "tests/test_a.py",
            "TestX::test_y[a/b]",
            "tests/test_a.py/TestX/test_y[a/b]",
            ("tests/test_a.py/TestX", "test_y[a/b]"),
        ),
        ("smoke", "one", "smoke/one", ("smoke", "one")),
        ("a//b", "c::d/", "a/b/c/d", ("a/b/c", "d")),
        ("a", "b[x::y\tz]", "a/b[x::y z]", ("a", "b[x::y z]")),
        ("d[1]", "t[2]", "d[1]/t[2]", ("/", "d[1]/t[2]")),
        ("", "", "unnamed", ("/", "unnamed")),
    ],
)
def test_full_name(suite: str, case: str, wanted: str, parts: tuple[str, str]) -> None:
    assert full_name(suite, case) == wanted
    assert parse_name(wanted) == parts


def test_each_name_is_kept_within_the_limits_and_is_what_squad_shows() -> None:
    dice = random.Random(seed())
    letters = "ab/[]:. \0ä"
    wanted = []
    for _ in range(count(20_000)):
        suite, case = ("".join(dice.choices(letters, k=dice.choice([3, 9, 300, 600]))) for _ in range(2))
        wanted += [full_name(suite, case)] * dice.randrange(1, 3)
    found = names(wanted)
    assert len(set(found)) == len(found) == len(wanted)
    for name, asked in zip(found, wanted, strict=True):
        suite, test = parse_name(name)
        assert 0 < len(test) <= NAME_LIMIT
        assert len(suite) <= NAME_LIMIT
        assert (test if suite == "/" else f"{suite}/{test}") == name  # so it comes back as it was sent
        parts = parse_name(asked)
        if max(map(len, parts)) <= NAME_LIMIT:
            assert asked in found
    assert names(wanted) == found

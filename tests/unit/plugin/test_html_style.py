"""The report's style: each colour of text can be read on each background, on light and on dark screens and on paper."""

import re

import pytest

from pytest_lava.plugin.output.html_style import STYLE

TEXT = ("text", "faint", "link", "good", "bad", "odd")
SCHEMES = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{([^}]*)\}", STYLE)]


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_itself():
    assert contrast("#fff", "#000") == pytest.approx(21)
    assert contrast("#999", "#ffffff") == pytest.approx(2.85, abs=0.01)  # what pytest-html has


def test_there_are_three_schemes():
    assert len(SCHEMES) == 3
    assert all(set(scheme) == {*TEXT, "back", "field", "line"} for scheme in SCHEMES)


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark", "paper"])
@pytest.mark.parametrize("text", TEXT)
def test_contrast(scheme, text):
    assert min(contrast(scheme[text], scheme[ground]) for ground in ("back", "field")) >= 4.5


def test_each_variable_is_there():
    assert set(re.findall(r"var\(--(\w+)\)", STYLE)) == {*TEXT, "back", "field", "line"}


def test_braces_match():
    assert STYLE.count("{") == STYLE.count("}") > 30

"""What only the soak runs is a test that there is, and no whole file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.soak import VARIANTS

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("variant", VARIANTS)
def test_there_is_such_a_test(variant: str) -> None:
    path, _, name = variant.partition("::")
    assert f"def {name.partition('[')[0]}(" in (TESTS / path).read_text()

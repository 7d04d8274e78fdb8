"""The page of the fault matrix names tests that exist, and at least 25 kinds of faults."""

from __future__ import annotations

import re
from pathlib import Path

E2E = Path(__file__).parents[2] / "e2e"


def test_every_named_test_exists() -> None:
    page = (E2E / "faults" / "README.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) >= 25
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        named = re.findall(r"`([\w./]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"\ndef {test}(" in (E2E / file).read_text(), (file, test)

"""docs/submit.md names every key of the sinks that it describes, and the code that it shows works."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

import pytest

from pytest_lava.registry import Registry

TEXT = (Path(__file__).parents[3] / "docs/submit.md").read_text()


@pytest.mark.parametrize("kind", ["file", "junit", "http"])
def test_keys(kind: str) -> None:
    section = TEXT.partition(f"### `{kind}`\n")[2].partition("\n### ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", section, re.MULTILINE))
    fields = Registry().get("sink", kind).Options.model_fields
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        default = "" if field.is_required() else str(field.default).lower()
        assert rows[name].strip().strip('`"') == default


def test_each_kind_is_named() -> None:
    section = TEXT.partition("## Say where\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `[^|]*` \| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(set(rows)) == Registry().names("sink")


def test_the_signature_can_be_checked_as_shown() -> None:
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code
    names: dict[str, object] = {}
    exec(code[1], names)
    header = "sha256=" + hmac.new(b"shared", b"body", hashlib.sha256).hexdigest()
    assert names["is_genuine"](b"body", header, b"shared") is True  # type: ignore[operator]
    assert names["is_genuine"](b"bodY", header, b"shared") is False  # type: ignore[operator]

"""The table of errors is made from the classes, and the page in docs/ from the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava import errors
from pytest_lava.cli import main
from pytest_lava.error_table import as_markdown, as_text, rows
from pytest_lava.errors import LavaError

PAGE = Path(__file__).parents[3] / "docs/errors.md"


def test_the_page_is_what_the_classes_say() -> None:
    assert as_markdown() in PAGE.read_text(), "put what as_markdown() gives into docs/errors.md"


def test_every_class_has_a_row() -> None:
    classes = {
        name
        for name in errors.__all__
        if isinstance(kind := getattr(errors, name), type) and issubclass(kind, LavaError)
    } - {"LavaError"}
    assert {row.name for row in rows() if row.name.isidentifier()} == classes
    assert all(row.meaning for row in rows())


def test_only_the_lab_is_worth_another_try() -> None:
    assert {row.status for row in rows() if row.retried} == {"69"}


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors"]) == 0
    out = capsys.readouterr().out
    assert out == as_text()
    assert "  ConsoleLost  " in out
    assert len(out.splitlines()) == len(rows()) + 1

"""People are told of a run by its journals, which are read again only if they have grown."""

from __future__ import annotations

from pathlib import Path

from pytest_lava.results.journal import Journal, read
from pytest_lava.results.told import Teller, Told, told


def test_what_is_told(folder: Path) -> None:
    found = told(read(folder))
    assert found.cause == "lab fault on q1-k1: the switch is silent"
    assert found.lines == (("time", "q1-k1: deploy 3.0 s, tests 1.2 s"),)


def test_a_resume_is_told_once_the_journal_has_it(folder: Path) -> None:
    teller = Teller(folder)
    before = teller.told()
    assert teller.told() is before  # as long as nothing has come
    with Journal(folder / "journal-gw0.jsonl", run=read(folder)[0]["run"], worker="gw0") as journal:
        journal.write("resume", target="q1-k1", board="q1", boot_id=2, resumed="2026-11-24T01:00:00+00:00")
    (title, line), *others = teller.told().lines
    assert [name for name, _ in others] == ["time"]
    assert title == "resumed"
    assert line.startswith("q1-k1 also resumed the state kept at 2026-11-24 01:00:00 UTC")


def test_a_run_without_a_journal_has_nothing_to_tell(tmp_path: Path) -> None:
    assert Teller(tmp_path).told() == Told()

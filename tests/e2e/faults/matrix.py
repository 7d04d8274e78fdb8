"""The frame of the fault matrix: one row is one fault in one phase, and all that must come of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from support.face import Face

__all__ = ["Fault", "check", "nothing_is_left"]

TESTS = """
    import os, signal, pytest

    def test_before(shell):
        assert shell.run("echo before").stdout == "before\\n"

    def test_fault(shell, board):
{fault}

    def test_after(shell):
        assert shell.run("echo after").stdout == "after\\n"
"""


@dataclass(frozen=True)
class Fault:
    """One row.

    ``board`` is the text of its file, ``do`` the body of the test that meets the fault (or ``tests`` the whole file).
    ``where`` is the case that must carry the error: ``test_fault``, or ``deploy``, ``boot``, ``recovery`` or ``wait``
    for a report of the board. ``kind``, ``blame``, ``result`` and ``status``: class of the error, whose fault, the
    bundle's word for the case and the exit status of the run; ``says`` is part of its message. ``by`` is the rung that
    brought the board back, if it needed that. ``others`` are the other results; ``attempts`` how many tries failed that
    were not the only one.
    """

    name: str
    kind: str
    blame: str
    result: str
    status: int
    board: str = "extends = 'localhost'\n"
    do: str = "shell.check('true')"
    tests: str = ""
    options: tuple[str, ...] = ()
    where: str = "test_fault"
    says: str = ""
    by: str = ""
    others: Mapping[str, str] = field(default_factory=lambda: {"test_before": "pass", "test_after": "pass"})
    attempts: int = 0

    def __str__(self) -> str:
        return self.name


SKIPPED = {"test_before": "skip", "test_fault": "skip", "test_after": "skip"}


def check(face: Face, row: Fault) -> list[dict[str, Any]]:
    """Run it, and hold everything against the row. Returns the lines of the journal about recoveries."""
    face.board("b", dedent(row.board))
    body = indent(dedent(row.do).strip(), " " * 8)
    (face.path / "test_it.py").write_text(dedent(row.tests or TESTS.format(fault=body)))
    result = face.run("--board=b", "test_it.py", *row.options)
    told = "\n".join([*result.outlines, *result.errlines])
    assert result.ret == row.status, told
    assert "INTERNALERROR" not in told
    results = face.results()
    suite = next((cases for name, cases in results.items() if name != "lava"), {})
    case = suite.get(row.where) or results["lava"].get(row.where)
    assert case is not None, results
    attributes = case["attributes"]
    found = attributes.get("error.class"), attributes.get("error.blame"), case["result"]
    assert found == (row.kind, row.blame, row.result), (case, told)
    assert row.says in case.get("message", "")
    others = {name: suite[name]["result"] for name in suite if name != row.where}
    assert others == {name: word for name, word in row.others.items() if name != row.where}, told
    recoveries = face.journal("recovery")
    assert [line["by"] for line in recoveries if line["worked"]] == ([row.by] if row.by else [])
    if row.by:
        assert attributes["recovery"] == row.by
        assert any(line.startswith("recovery ") for line in result.outlines)
    assert len(face.journal("attempt")) == row.attempts
    nothing_is_left(face)
    return recoveries


def nothing_is_left(face: Face, seconds: float = 5.0) -> None:
    """No process of the run lives on, and no lock is held."""
    import os

    mark, end = os.environ["PYTEST_LAVA_LOCKS"].encode(), time.monotonic() + seconds
    while (left := _processes(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []
    assert not list(Path(os.environ["PYTEST_LAVA_LOCKS"]).glob("*.lock"))


def _processes(mark: bytes) -> list[str]:
    import os

    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            if b"PYTEST_LAVA_LOCKS=" + mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found

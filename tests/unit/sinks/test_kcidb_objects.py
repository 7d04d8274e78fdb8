"""What KCIDB is told of a test, and that it is valid whatever is in it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kcidb_io.schema import V5_3
from support.torture import count, seed
from support.widerun import write_case, write_head, write_target

from pytest_lava.errors import BoardLost, BootFailed, ErrorInfo, KernelCrash, describe
from pytest_lava.results.journal import Journal, read
from pytest_lava.results.record import collect
from pytest_lava.sinks.kcidb import KcidbSink
from pytest_lava.sinks.kcidb_objects import Naming, objects

LETTERS = 'aZ09 .:/[]-_\0\x1b\n\r\ud800ä\U0001f600"\\{}'


def told(folder: Path) -> list[dict[str, Any]]:
    found = objects(collect(read(folder)), Naming("lab"))
    V5_3.validate({"version": {"major": 5, "minor": 3}, **found})
    return found["tests"]


def error(found: BaseException) -> ErrorInfo:
    return describe(found)


@pytest.mark.parametrize(
    "word, more, status",
    [
        ("passed", {}, "PASS"),
        ("passed", {"wasxfail": "known"}, "PASS"),
        ("failed", {}, "FAIL"),
        ("skipped", {}, "SKIP"),
        ("skipped", {"wasxfail": "known"}, "SKIP"),
        ("skipped", {"error": error(BootFailed("no shell came"))}, "MISS"),
        ("failed", {"error": error(BoardLost("gone"))}, "MISS"),
        ("failed", {"error": error(KernelCrash("panic"))}, "FAIL"),
        ("failed", {"error": error(RuntimeError("ours"))}, "MISS"),
    ],
)
def test_status(word: str, more: dict[str, object], status: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl", run="r") as journal:
        write_head(journal)
        write_target(journal, "q1-next")
        write_case(journal, "q1-next", ("a.py", "test_it"), word, **more)
    boot, test = told(tmp_path)
    assert (boot["path"], boot["status"]) == ("boot", "PASS")
    assert (test["path"], test["status"]) == ("a.test_it", status)
    assert ("log_excerpt" in test) == (status != "PASS")


def test_a_failing_fixture_is_an_error_and_an_unfinished_test_a_miss(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl", run="r") as journal:
        write_head(journal)
        write_target(journal, "q1-next")
        about = {"suite": "a.py", "target": "q1-next"}
        journal.write("outcome", nodeid="a", case="a", when="setup", outcome="failed", message="no", **about)
        journal.write("start", nodeid="b", case="b", **about)
    assert [one["status"] for one in told(tmp_path)] == ["PASS", "ERROR", "MISS"]


def test_what_kcidb_has_already(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl", run="r") as journal:
        write_head(journal)
        write_target(journal, "q1-next")
        write_case(journal, "q1-next", ("a.py", "test_it"), "passed")
    found = objects(
        collect(read(tmp_path)), Naming("lab", build="maestro:123", log_url="https://lab/{run}/{board}.log")
    )
    assert (found["checkouts"], found["builds"]) == ([], [])
    assert {one["build_id"] for one in found["tests"]} == {"maestro:123"}
    assert found["tests"][0]["log_url"] == "https://lab/r/q1.log"


def test_one_kernel_is_one_build_in_every_run(tmp_path: Path) -> None:
    builds = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        with Journal(tmp_path / run / "journal.jsonl", run=run) as journal:
            write_head(journal)
            write_target(journal, "q1-next")
        builds.append(objects(collect(read(tmp_path / run)), Naming("lab"))["builds"])
    assert builds[0] == builds[1] != []


def test_whatever_is_in_it_is_valid(tmp_path: Path) -> None:
    dice = random.Random(seed())
    number = count(2000)
    with Journal(tmp_path / "journal.jsonl", run="".join(dice.choices(LETTERS, k=9))) as journal:
        write_head(journal)
        write_target(journal, "q1-next")
        for _ in range(number):
            suite, case, name, unit = ("".join(dice.choices(LETTERS, k=dice.randrange(12))) for _ in range(4))
            word = dice.choice(["passed", "failed", "skipped"])
            write_case(
                journal, dice.choice(["q1-next", "", name]), (suite, case), word, dice.randrange(3),
                properties=[["measurement", dice.choice([1, -0.5, 1e300, float("nan"), "5", None])], ["units", unit]],
                start=dice.choice(["", "2026", "2026-11-24T01:00:05", "9999-12-31T23:59:59+00:00", "never"]),
                message=name * 300, status=dice.choice([None, 0, 255]),
            )  # fmt: skip
    found = told(tmp_path)
    assert len({one["id"] for one in found}) == len(found) > number // 2


def test_a_clear_word_where_kcidb_io_is_missing(tmp_path: Path) -> None:
    (tmp_path / "kcidb_io.py").write_text('raise ImportError("not here", name="kcidb_io")')
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from pathlib import Path
from pytest_lava.registry import Registry
from pytest_lava.sinks.choosing import SinkChooser
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.settings import Settings
SinkChooser(Settings([]), Registry(), FoundSecrets({{}}), Path()).choose(["kcidb+https://db.example/?origin=lab"])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False).stderr
    assert "the sink 'kcidb' needs pytest-lava[kcidb]: install it with pip" in said


@pytest.mark.parametrize("wrong", [{"url": "db"}, {"origin": "Lab"}, {"build": "x"}, {"log_url": "{boards}"}])
def test_wrong_settings(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        KcidbSink.Options.model_validate({"url": "https://db.example/", "origin": "lab", **wrong})

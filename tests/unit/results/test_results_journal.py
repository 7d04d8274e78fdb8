"""The journal: nothing that was written is lost, and damage never hides the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lava.errors import Bug, ConfigurationError, InfrastructureError, KernelCrash, describe
from pytest_lava.results.journal import Journal, read


def journal(path: Path, worker: str = "main", attempt: int = 1) -> Journal:
    return Journal(path, run="r", worker=worker, attempt=attempt)


def texts(path: Path) -> list[object]:
    return [line["text"] for line in read(path)]


def test_line_has_its_head_and_fields(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with journal(path, "gw0", 2) as out:
        out.write("note", board="panda", durable=True, text="ü")
    line = json.loads(path.read_text(encoding="utf-8"))
    assert "ü" in path.read_text(encoding="utf-8")
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "v": 1, "run": "r", "board": "panda", "worker": "gw0", "attempt": 2, "kind": "note", "text": "ü",
    }  # fmt: skip


def test_every_line_is_in_the_file_at_once(tmp_path: Path) -> None:
    out = journal(tmp_path / "journal.jsonl")
    for number in range(3):
        out.write("note", text=number)
        assert texts(tmp_path) == list(range(number + 1))
    out.close()
    out.close()
    with pytest.raises(Bug, match="after it was closed"):
        out.write("note")


@given(st.text(st.characters(exclude_categories=())), st.floats())
def test_any_text_and_number_can_be_written(tmp_path_factory: pytest.TempPathFactory, text: str, value: float) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    with journal(path) as out:
        out.write("note", text=text, value=value)
        out.write("note", text="next")
    assert texts(path) == [text, "next"]
    json.loads(path.read_bytes().split(b"\n")[0].decode("utf-8"), parse_constant=pytest.fail)


def test_errors_and_paths_become_plain(tmp_path: Path) -> None:
    with journal(tmp_path / "journal.jsonl") as out:
        out.write("phase", error=describe(KernelCrash("panic", evidence="trace")), path=tmp_path)
    [line] = read(tmp_path)
    assert line["path"] == str(tmp_path)
    assert line["error"] == {
        "type": "KernelCrash", "message": "panic", "blame": "job", "effect": "case", "result": "fail",
        "evidence": "trace", "facts": {},
    }  # fmt: skip


def test_torn_lines_are_skipped_at_the_end_and_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for number in range(3):
        with journal(path) as out:
            out.write("note", text=number)
        with path.open("ab") as tail:
            tail.write(b'{"v":1,"run":"r","wor')
    assert texts(path) == [0, 1, 2]


def test_a_whole_line_behind_nuls_or_a_torn_line_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with journal(path) as out:
        out.write("note", text={"v": 1, "nested": '{"v":1'})
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100 + whole + b'{"v":1,"run":"' + b'{"v":1,"run":"r","time":"z","kind":"end"}')
    assert [line["kind"] for line in read(path)] == ["note", "note", "end"]


def test_kill_9_loses_no_completed_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    program = f"""
from pathlib import Path
from pytest_lava.results.journal import Journal
out = Journal(Path({str(path)!r}), run="r")
number = 0
while True:
    out.write("note", text=number, padding="x" * 5000)
    print(number, flush=True)
    number += 1
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(200):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        told = 200 + len(process.stdout.read().splitlines())
    found = texts(path)
    assert found == list(range(len(found)))
    assert told <= len(found) <= told + 1


def test_full_disk_is_one_sentence_and_the_next_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    program = f"""
import resource, signal
from pathlib import Path
from pytest_lava.errors import InfrastructureError
from pytest_lava.results.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out = Journal(Path({str(path)!r}), run="r")
out.write("note", text="before")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
try:
    out.write("note", text="x" * 1000)
except InfrastructureError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
out.write("note", text="after")
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert len(told.splitlines()) == 1
    assert told.startswith(f"the journal {path} cannot be written")
    assert texts(path) == ["before", "after"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_no_space_left_is_an_infrastructure_error() -> None:
    with pytest.raises(InfrastructureError, match="No space left on device"):
        journal(Path("/dev/full")).write("note")


def test_journals_of_workers_come_in_order_of_time(tmp_path: Path) -> None:
    first, second = journal(tmp_path / "journal.jsonl"), journal(tmp_path / "journal-gw0.jsonl", "gw0")
    for number in range(3):
        first.write("note", text=2 * number)
        second.write("note", text=2 * number + 1)
    assert texts(tmp_path) == [0, 1, 2, 3, 4, 5]
    assert len(read([tmp_path, tmp_path / "journal.jsonl"])) == 6


def test_a_clock_set_back_does_not_change_the_order_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    lines = [{"v": 1, "run": "r", "kind": "note", "time": f"2026-01-0{9 - n}", "text": n} for n in range(4)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert texts(path) == [0, 1, 2, 3]


def test_an_outcome_told_twice_counts_once_and_the_last_wins(tmp_path: Path) -> None:
    with journal(tmp_path / "journal.jsonl") as out:
        for number in range(2):
            out.write("outcome", nodeid="a", when="call", text=number)
        out.write("outcome", nodeid="a", when="teardown", text=2)
    assert texts(tmp_path) == [1, 2]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"v": 2, "run": "r", "time": "t", "kind": "note"}\n')
    with pytest.raises(ConfigurationError, match="update pytest-lava"):
        read(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"{}", b'{"v": 1}', b"[" * 100_000])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is not a journal"):
        read(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read(tmp_path / "x.jsonl")
    with pytest.raises(ConfigurationError, match="give a run folder"):
        read(tmp_path)
    with pytest.raises(InfrastructureError, match="No such file"):
        journal(tmp_path / "missing" / "journal.jsonl")

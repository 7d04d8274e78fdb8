"""``pytest-lava bundle validate|upgrade|merge|show``."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.torture import count, seed

from pytest_lava.cli import main

RUN = {
    "analyzer_assigned_uuid": "1ab86b36-c23d-11df-a81b-002163936223", "analyzer_assigned_date": "2010-12-31T23:59:59Z",
    "time_check_performed": False, "test_id": "stream",
}  # fmt: skip
RESULTS = [
    {"result": "pass", "test_case_id": "copy", "measurement": 2.5, "units": "MB/s", "duration": "0d 1s 500000us"},
    {"result": "fail", "test_case_id": "a much longer name of a test", "message": "no \x1b[31mroom\nsecond line"},
    {"result": "unknown", "message": "x" * 200, "duration": "1d 3600s 0us"},
]


def bundle(path: Path, version: str = "1.4", **more: Any) -> Path:
    run = {**RUN, "test_results": RESULTS, "attributes": {"target.hostname": "panda01"}, **more}
    path.write_text(json.dumps({"format": f"Dashboard Bundle Format {version}", "test_runs": [run]}))
    return path


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle(tmp_path / "b.json")
    assert main(["bundle", "show", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Dashboard Bundle Format 1.4: 1 test run, 3 results: 1 pass, 1 fail, 1 unknown",
        "",
        "stream, 2010-12-31T23:59:59Z, on panda01, 1 pass, 1 fail, 1 unknown",
        "  pass     copy                          2.5 MB/s  1.50 s",
        "  fail     a much longer name of a test                      no room",
        f"  unknown  (no id)                                 25:00:00  {'x' * 97}...",
    ]
    assert main(["bundle", "show", "--failed", str(path), str(path)]) == 0
    assert capsys.readouterr().out.count("  fail     ") == 2


def test_show_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.json"
    path.write_text('{"format": "Dashboard Bundle Format 1.7"}')
    assert main(["bundle", "show", str(path)]) == 0
    assert capsys.readouterr().out == "Dashboard Bundle Format 1.7: 0 test runs, 0 results: none\n"


def test_validate_tells_what_a_dashboard_would_drop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle(tmp_path / "b.json", version="1.6")
    assert main(["bundle", "validate", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: valid Dashboard Bundle Format 1.6, 1 test run, 3 results",
        f"{path}: note: a dashboard drops results without test_case_id, such as "
        "test_runs[0].test_results[2] (1 in all)",
        f"{path}: note: many dashboards import no version above 1.5",
    ]


def test_validate_goes_through_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = bundle(tmp_path / "good.json"), bundle(tmp_path / "bad.json", test_duration="soon")
    assert main(["bundle", "validate", str(bad), str(good), str(tmp_path / "none.json")]) == 4
    said = capsys.readouterr()
    assert said.out.startswith(f"{good}: valid")
    first, second = said.err.splitlines()
    assert first.startswith(f"pytest-lava: {bad} is no valid dashboard bundle: test_runs[0].test_duration must match")
    assert second == f"pytest-lava: {tmp_path}/none.json cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "is no JSON: line 1, column 1: Expecting value"),
        (b'{\n "format": \n}', "is no JSON: line 3, column 1: Expecting value"),
        (b'{"format": "\xff"}', "is no JSON: byte 12 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "is no JSON: line 1, column 1: Unexpected UTF-8 BOM (decode using utf-8-sig)"),
        (b"[]", "is no valid dashboard bundle: its format is None, not Dashboard Bundle Format 1.0, 1.0.1, 1.1, "),
        (b'{"format": "1.5"}', "is no valid dashboard bundle: its format is '1.5', not Dashboard Bundle Format 1.0"),
        (b'{"a": 1, "a": 2}', "is no valid dashboard bundle: the key 'a' is twice in one object"),
        (b'{"a": NaN}', "is no valid dashboard bundle: NaN is no number in JSON"),
        (b'{"a": 1e999}', "is no valid dashboard bundle: 1e999 is too large a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no valid dashboard bundle: Exceeds the limit"),
        (b"[" * 200_000, "is no valid dashboard bundle: it is nested too deeply"),
    ],
)
@pytest.mark.parametrize("verb", ["validate", "upgrade", "merge", "show"])
def test_bad_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, data: bytes, says: str
) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(data)
    assert main(["bundle", verb, str(path)]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"pytest-lava: {path} {says}")
    assert len(said.err.splitlines()) == 1


def test_upgrade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = bundle(
        tmp_path / "old.json", "1.0", attachments={"a.txt": ["line\n"]}, sw_context={"sw_image": {"desc": "d"}}
    )
    assert main(["bundle", "upgrade", str(old)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == "Dashboard Bundle Format 1.5"
    assert document["test_runs"][0]["software_context"] == {"image": {"name": "d"}}
    new = tmp_path / "new.json"
    assert main(["bundle", "upgrade", str(old), "--format", "1.7", "--output", str(new)]) == 0
    assert capsys.readouterr().out == f"{new}: Dashboard Bundle Format 1.7, 1 test run, 3 results\n"
    for argv, says in (
        (["upgrade", str(new)], "is of version 1.7 already, and there is no newer one"),
        (["upgrade", str(new), "--format", "1.5"], "a bundle of version 1.7 cannot become one of 1.5"),
    ):
        assert main(["bundle", *argv]) == 4
        assert says in capsys.readouterr().err


def test_numbers_are_kept_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle(tmp_path / "b.json")
    text = path.read_text()
    for number in ("0.1", "2.50", "1e-7", "123456789.125", "12"):
        path.write_text(text.replace("2.5", number))
        assert main(["bundle", "upgrade", str(path)]) == 0
        assert json.loads(capsys.readouterr().out)["test_runs"][0]["test_results"][0]["measurement"] == float(number)
    path.write_text(text.replace("2.5", "0.12345678901234567891"))
    assert main(["bundle", "validate", str(path)]) == 0
    assert main(["bundle", "upgrade", str(path)]) == 4
    assert "0.12345678901234567891 has more digits than can be kept" in capsys.readouterr().err


def test_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, both = bundle(tmp_path / "1.json", "1.3"), bundle(tmp_path / "2.json", "1.5"), tmp_path / "both.json"
    two.write_text(two.read_text().replace("1ab86b36", "2ab86b36"))
    assert main(["bundle", "merge", str(one), str(two), "--output", str(both)]) == 0
    assert capsys.readouterr().out == f"{both}: Dashboard Bundle Format 1.5, 2 test runs, 6 results\n"
    assert main(["bundle", "merge", str(one), str(two), "--format", "1.3"]) == 4
    assert "a bundle of version 1.5 cannot become one of 1.3" in capsys.readouterr().err


def test_standard_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    data = bundle(tmp_path / "b.json").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert main(["bundle", "show", "-"]) == 0
    assert "1 test run, 3 results" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"{")))
    assert main(["bundle", "show", "-"]) == 4
    assert capsys.readouterr().err.startswith("pytest-lava: standard input is no JSON: line 1")


def test_no_verb_means_that_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["bundle", str(folder)], ["bundle", "write", str(folder)], ["bundle", "--format", "1.5", str(folder)]):
        assert main(argv) == 0
        assert capsys.readouterr().out.startswith(f"{folder}/bundle.json: Dashboard Bundle Format 1.5, ")
    assert main(["bundle", "validate", str(folder / "bundle.json")]) == 0


def test_damaged_files_are_never_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(seed())
    path = tmp_path / "b.json"
    data = bundle(path, attachments=[{"pathname": "a", "mime_type": "b", "content": "YWJj"}]).read_bytes()
    statuses = set()
    for _ in range(count(500)):
        found = bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(found))
            found[at : at + dice.randrange(3)] = dice.choice([b"", b"0", b'"', b"{", b"null", b"\xc3", b"[]", b"-"])
        path.write_bytes(found)
        for verb in ("validate", "show", "upgrade", "merge"):
            statuses.add(main(["bundle", verb, str(path)]))
    capsys.readouterr()
    print(f"{count(500)} damaged files")
    assert statuses == {0, 4}

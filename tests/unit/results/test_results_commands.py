"""``pytest-lava bundle`` and ``pytest-lava junit``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.results.commands import add_parsers, spelled_out


def run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    args = parser.parse_args(spelled_out([str(one) for one in argv]))
    status: int = args.func(args)
    return status


def test_bundle_of_a_run_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bundle", folder) == 0
    assert json.loads((folder / "bundle.json").read_text())["format"] == "Dashboard Bundle Format 1.5"
    assert capsys.readouterr().out == f"{folder}/bundle.json: Dashboard Bundle Format 1.5, 4 test runs, 10 results\n"
    out = folder / "old.json"
    assert run("bundle", folder / "journal.jsonl", "--format", "1.3", "--output", out) == 0
    assert json.loads(out.read_text())["format"] == "Dashboard Bundle Format 1.3"


def test_results_on_standard_output(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("bundle", folder, "--output", "-") == 0
    assert len(json.loads(capfdbinary.readouterr().out)["test_runs"]) == 4
    assert run("junit", folder, "--output", "-") == 0
    assert ET.fromstring(capfdbinary.readouterr().out).tag == "testsuites"


def test_junit_of_a_run_folder(folder: Path) -> None:
    assert run("junit", folder) == 0
    assert ET.parse(folder / "junit.xml").getroot().tag == "testsuites"


@pytest.mark.parametrize("command", ["bundle", "junit"])
def test_mistakes_are_one_plain_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "journal.jsonl").touch()
    (tmp_path / "broken.jsonl").write_bytes(b"no journal\n")
    for name, words in ((".", "is empty"), ("broken.jsonl", "is not a journal"), ("gone", "No such file")):
        with pytest.raises(ConfigurationError, match=words) as found:
            run(command, tmp_path / name)
        assert len(str(found.value).splitlines()) == 1


def test_importing_the_journal_loads_little() -> None:
    program = "import sys, pytest_lava.results.journal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pytest", "fastjsonschema", "uuid", "xml", "argparse", "pydantic"} & set(loaded)


def test_the_latest_run_is_meant(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lava-runs").mkdir()
    (tmp_path / "lava-runs" / "latest").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert run("bundle") == 0
    assert run("junit") == 0
    assert (folder / "bundle.json").exists()
    assert (folder / "junit.xml").exists()

"""Without our options: nothing done, nothing started, nothing written, next to nothing imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.face import Face

HEAVY = {"pydantic", "yaml", "serial", "pexpect", "requests", "sqlite3", "fastjsonschema", "asyncio", "xml.etree"}
LOOK = """
import json, sys, pytest
class Look:
    def pytest_unconfigure(self):
        print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Look()]))
"""


def modules(face: Face, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", LOOK, *arguments]
    done = subprocess.run(command, cwd=face.path, capture_output=True, check=False)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_nothing_heavy_is_imported(face: Face) -> None:
    face.write(test_it="def test_plain(): pass")
    without, idle = modules(face, "-p", "no:lava"), modules(face)
    added = idle - without
    assert {name for name in added if name.split(".")[0] != "pytest_lava"} == set()
    ours = ("fixtures", "named_files", "options", "script_hint")
    low = {"pytest_lava", "pytest_lava.arguments", "pytest_lava.plugin"}
    assert added <= low | {f"pytest_lava.plugin.{name}" for name in ours}
    assert not {name for name in added if name in HEAVY}


def test_nothing_is_written(face: Face) -> None:
    face.write(test_it="def test_plain(): pass")
    result = face.run("-p", "no:cacheprovider", passed=1)
    pytester_s = {"__pycache__", "runpytest-0", "runpytest-current", "stdout", "stderr"}
    assert {path.name for path in face.path.iterdir()} - pytester_s == {"test_it.py"}
    result.stdout.no_fnmatch_line("*board*")


@pytest.mark.parametrize("fixture", ["shell", "board", "kernel", "image", "bootloader", "lava_shell"])
def test_a_test_that_needs_a_board_says_so(face: Face, fixture: str) -> None:
    face.write(test_it=f"def test_plain(): pass\ndef test_it({fixture}): pass\ndef test_that({fixture}): pass")
    said = face.refused()
    assert said == [
        "ERROR: test_it.py::test_it and 1 more need a board: add --board=NAME, for example --board=localhost, "
        "or deselect what needs one"
    ]


def test_one_test_that_needs_a_board_may_be_deselected_or_listed(face: Face) -> None:
    face.write(test_it="def test_plain(): pass\ndef test_it(shell): pass")
    assert face.refused() == [
        "ERROR: test_it.py::test_it needs a board: add --board=NAME, for example --board=localhost, "
        "or deselect what needs one"
    ]
    face.here("-k", "plain").assert_outcomes(passed=1, deselected=1)
    face.here("--co", "-q").stdout.fnmatch_lines(["test_it.py::test_it"])


def test_fixtures_of_those_names_may_be_the_users_own(face: Face) -> None:
    face.write(
        conftest="import pytest\n@pytest.fixture\ndef shell(): return 'mine'\n@pytest.fixture\ndef board(): return 1",
        test_it="def test_it(shell, board): assert shell == 'mine'",
    )
    face.here().assert_outcomes(passed=1)
    face.run("--board=localhost", "test_it.py", passed=1).stdout.fnmatch_lines(["test_it.py .*"])

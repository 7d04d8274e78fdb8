"""``pytest-lava`` as it is called: statuses, and nothing that a person should not have to see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent / "pytest-lava"


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param([], 0, "COMMAND", id="nothing"),
        pytest.param(["--version"], 0, "pytest-lava ", id="version"),
        pytest.param(["nosuch"], 4, "invalid choice: 'nosuch'", id="no-such-command"),
        pytest.param(["boards", "--nosuch"], 4, "unrecognized arguments", id="no-such-option"),
        # to git everything from 1 to 124 says that the commit is bad
        pytest.param(["bisect"], 132, "--build", id="bisect-without-anything"),
        pytest.param(["bisect", "--build", "true", "--board=x"], 132, "PYTEST-ARGS", id="bisect-without-dashes"),
        pytest.param(["bisect", "--build=true", "--build-timeout=x", "--", "x"], 132, "seconds", id="bisect-no-time"),
        pytest.param(["bisect", "--build=true", "--runs=/proc/x", "--", "-q"], 132, "--runs", id="bisect-no-folder"),
        pytest.param(["bisect", "--build=true", "--", "--lava-dir=x"], 132, "leave out --lava-dir", id="bisect-ours"),
        pytest.param(
            ["health", "--wait", "-1", "localhost"], 4, "'-1' is not a number of seconds", id="health-no-time"
        ),
        pytest.param(["health", "--runs=/proc/x", "localhost"], 4, "another place with --runs", id="health-no-folder"),
    ],
)
def test_status(words: list[str], status: int, said: str) -> None:
    done = call(*words)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([BIN, "boards"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_what_a_command_needs_is_loaded_when_it_is_called() -> None:
    program = "import sys\nfrom pytest_lava.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "pytest_lava.bisect.commands" in loaded
    assert not loaded & {"pydantic", "pytest", "requests", "fastjsonschema", "pytest_lava.board.board"}

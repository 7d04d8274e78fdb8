"""A second limit for commands that take long: seconds without any output."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.lines import open_agent, open_shell

from pytest_lava.errors import CommandTimeout, ConfigurationError


def test_a_command_that_falls_silent_is_ended(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        began = time.monotonic()
        with pytest.raises(CommandTimeout) as caught:
            shell.run("echo said; sleep 600", timeout=600, silence=1.0)
        assert 1.0 <= time.monotonic() - began < 10
        said = "the command wrote nothing for 1 s: echo said; sleep 600"
        assert (str(caught.value), caught.value.evidence) == (said, "said\n")
        assert shell.run("echo after").stdout == "after\n"


def test_one_that_goes_on_is_not(tmp_path: Path) -> None:
    """Its whole time is longer than that; what it wrote is exact, and told live if that is wished."""
    came: list[bytes] = []
    command = "for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.5; done"
    with open_agent(tmp_path) as shell:
        done = shell.run(command, silence=3.0)
        assert (done.stdout, done.stderr, done.duration > 3.0) == ("1\n2\n3\n4\n5\n6\n7\n", "", True)
        assert shell.run("echo told; false", silence=3.0, on_output=came.append).returncode == 1
        assert b"".join(came) == b"told\n"
        both = shell.run("echo out; echo err >&2", silence=3.0)
        assert (both.stdout, both.stderr) == ("out\n", "err\n")


def test_the_limit_of_the_command_holds_as_well(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell, pytest.raises(CommandTimeout, match="did not end within 1 s"):
        shell.run("while :; do echo much; sleep 0.1; done", timeout=1, silence=30)


@pytest.mark.parametrize("silence", [0.0, -1.0])
def test_no_limit_at_all(tmp_path: Path, silence: float) -> None:
    with open_agent(tmp_path) as shell, pytest.raises(ValueError, match="greater than 0"):
        shell.run("true", silence=silence)


def test_a_shell_without_live_output(tmp_path: Path) -> None:
    with open_shell(tmp_path) as shell:
        with pytest.raises(ConfigurationError, match="silence= needs live output"):
            shell.run("true", silence=1.0)
        assert shell.run("echo after").stdout == "after\n"

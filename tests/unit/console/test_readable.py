"""What people see of a console."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lines import open_agent, open_shell

from pytest_lava.console.readable import without_frames


@pytest.mark.parametrize("opened", [open_agent, open_shell])
def test_only_what_commands_said(opened: object, tmp_path: Path) -> None:
    with opened(tmp_path) as shell:  # type: ignore[operator]
        taken_over = without_frames((tmp_path / "console.log").read_text().replace("\r", ""))
        begin = shell.run("true").console[1]
        for command in ("echo out; echo err >&2; exit 3", "printf no-newline", "true", "echo '~ not ours; 3.'"):
            shell.run(command)
        text = (tmp_path / "console.log").read_bytes()[begin:].decode().replace("\r", "")
    assert "@" not in taken_over
    assert without_frames(text).split("\n") == ["out", "err", "no-newline", "~ not ours; 3.", ""]


def test_a_batch_without_its_tables(tmp_path: Path) -> None:
    with open_agent(tmp_path) as shell:
        begin = shell.run("true").console[1]
        shell.run_many(["echo out", "echo err >&2; exit 3", "true"])
        shell.run_many(["echo alone"])
        text = (tmp_path / "console.log").read_bytes()[begin:].decode().replace("\r", "")
    assert without_frames(text).split("\n") == ["out", "err", "alone", ""]

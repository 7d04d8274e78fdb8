"""``pytest-lava submit`` and ``spool``: what they say of calls that find nothing, or are wrong."""

from __future__ import annotations

from pathlib import Path

from support.submitting import Submitter


def test_commands_say_what_there_is_not(tmp_path: Path) -> None:
    desk = Submitter(tmp_path)
    assert desk.run("submit", "--all") == (0, f"nothing is waiting in {desk.spool}\n")
    assert desk.run("spool", "retry", "--all") == (0, f"nothing failed in {desk.spool}\n")
    assert desk.run("spool", "retry", "--all", "--to=qa") == (0, f"nothing failed for qa in {desk.spool}\n")
    status, said = desk.run("submit", "--all", "--wait=soon")
    assert (status, "argument --wait: soon: write a time such as 90s" in said) == (4, True), said
    desk.spool.write_text("a file is in the way")
    for words in (("spool",), ("submit", "--all"), ("spool", "show", "x")):
        assert desk.run(*words) == (
            4, f"pytest-lava: --lava-spool {desk.spool}: this is no folder; name another one\n"
        )  # fmt: skip

"""``pytest-lava submit`` and ``spool``: what they say of calls that find nothing, or are wrong."""

from __future__ import annotations

from pathlib import Path

from support.finishedrun import finished_run
from support.receiver import receiver
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


def test_retry_sends_what_is_mended(tmp_path: Path) -> None:
    desk, results = Submitter(tmp_path), finished_run(tmp_path / "run")
    with receiver(tmp_path / "server") as server:
        server.says = 404, b""
        status, said = desk.run("submit", "run", "--to", server.url())
        assert (status, "once that is mended: pytest-lava spool retry 2" in said) == (1, True), said
        assert desk.run("spool", "retry", results.uuid)[0] == 1  # it is not
        status, said = desk.run("spool", "retry", results.uuid, "--later")
        assert (status, said.endswith(" is waiting\n"), server.posts) == (0, True, 2), said
        server.says = None
        status, said = desk.run("spool", "retry", results.uuid)
        assert (status, said) == (0, f"sent     {results.uuid[:8]} http-127.0.0.1: {server.url()}/{results.uuid}\n")
        assert server.stored == {results.uuid: results.bundle.read_bytes()}
        status, said = desk.run("spool", "retry", results.uuid)
        assert (status, "was sent already" in said) == (4, True), said


def test_retry_names_the_mistake_before_anything_is_sent(tmp_path: Path) -> None:
    desk = Submitter(tmp_path)
    with receiver(tmp_path / "server") as server:
        server.says = 404, b""
        runs = [finished_run(tmp_path / name, run=f"{name}-run") for name in ("a", "b")]
        for run in runs:
            desk.run("submit", run.folder.name, "--to", server.url())
        posts = server.posts
        status, said = desk.run("spool", "retry", runs[0].uuid, "nothing-like-it")
        assert (status, "there is no 'nothing-like-it'" in said, server.posts) == (4, True, posts), said
        status, said = desk.run("spool", "retry", runs[0].uuid, "--to", "hook")
        assert (status, "has no sink 'hook'" in said, server.posts) == (4, True, posts), said
        server.says = None
        status, said = desk.run("spool", "retry", "--all")
        assert (status, said.count("sent "), len(server.stored)) == (0, 2, 2), said

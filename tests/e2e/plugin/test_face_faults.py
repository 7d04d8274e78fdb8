"""A broken lab is never a failed test: one error report, its items skipped with the root cause, exit status 69."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from support.face import QUICK, Face

from pytest_lava.cli import main

DEAD = """
extends = "localhost"
console = "exec:sleep 60"
[timeouts]
kernel = 0.5
login = 0.5
"""
REAL = 'extends = "localhost"\nemulated = false\n'
TESTS = """
    def test_plain(): pass
    def test_a(shell): pass
    def test_b(board): board.shell.run("true")
    def test_k(kernel): pass
"""


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "workers"])
def test_a_shell_that_never_comes(face: Face, options: tuple[str, ...]) -> None:
    face.board("dead", DEAD)
    face.write(test_it=TESTS)
    result = face.run("--board=dead", "test_it.py", "--command=true", "--junit-xml=own.xml", "-rsE", *options)
    result.assert_outcomes(passed=1, errors=1, skipped=4)
    assert result.ret == 69
    result.stdout.fnmatch_lines(
        [
            "*root cause*",
            "*no shell or login prompt on dead within 1 s*",
            "SKIPPED * boot of dead failed: no shell or login prompt on dead *",
            "ERROR boot::dead - no shell or login prompt on dead*",
        ]
    )
    found = face.results()
    assert found["lava"]["boot"]["result"] == "unknown"
    assert found["lava"]["boot"]["attributes"].items() >= {
        "error_type": "Infrastructure", "step": "boot.login", "outcome": "error",
    }.items()  # fmt: skip
    bad = {name for name, case in found["lava"].items() if case["result"] != "pass"}
    assert {name.partition(".")[0] for name in bad} == {"boot", "job"}  # each try has its phases in the record
    skipped = found["test-it.py"]
    assert {case["result"] for case in skipped.values()} == {"skip"}
    assert {case["attributes"]["error.blame"] for case in skipped.values()} == {"infrastructure"}
    for path in (None, face.path / "own.xml"):
        cases = face.junit(path).values()
        assert [sum(case.find(tag) is not None for case in cases) for tag in ("error", "failure", "skipped")] == [
            1,
            0,
            4,
        ]
    page = (face.latest / "report.html").read_text()
    assert "no shell or login prompt on dead" in page
    assert not list(face.latest.glob(".*"))


def test_what_was_skipped_for_it_is_run_by_last_failed(face: Face) -> None:
    face.board("dead", DEAD)
    face.write(test_it=TESTS)
    face.run("--board=dead", "test_it.py")
    face.board("dead", 'extends = "localhost"\n')
    face.run("--board=dead", "test_it.py", "--lf").assert_outcomes(passed=3, deselected=1)


def test_the_other_board_goes_on(face: Face) -> None:
    face.board("dead", DEAD)
    face.write(test_it=TESTS)
    result = face.run("--board=dead", "--board=localhost", "test_it.py")
    result.assert_outcomes(passed=4, errors=1, skipped=3)
    assert result.ret == 69


def test_a_failed_test_wins_over_the_lab(face: Face) -> None:
    face.board("dead", DEAD)
    face.write(test_it=TESTS, test_more="def test_bad(): assert 0")
    assert face.run("--board=dead", "test_it.py", "test_more.py").ret == 1


def test_a_console_that_ends_in_a_test_is_an_error_and_the_next_test_runs(face: Face) -> None:
    # as ssh ends whose network fails
    face.board("remote", 'extends = "localhost"\nconsole = "exec:sh -c \'trap : INT QUIT; sh -i; exit 255\'"\n')
    face.write(
        test_it="""
            def test_cut(shell): shell.run("kill -9 $$")
            def test_next(shell): shell.check("true")
        """
    )
    result = face.run("--board=remote", "test_it.py")
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 69
    assert face.results()["test-it.py"]["test_cut"]["result"] == "unknown"
    assert face.junit()["test_it::test_cut"].find("error") is not None


def test_power_command_that_fails(face: Face) -> None:
    power = '[power]\nmethod = "command"\non = "echo no such outlet >&2; false"\noff = "true"\nsettle = 0.0\n'
    face.board("powered", REAL + 'console = "socket://127.0.0.1:9"\n' + power)
    result = face.run("--board=powered", "--command=true")
    result.assert_outcomes(errors=1, skipped=1)
    assert result.ret == 69
    result.stdout.fnmatch_lines(["*root cause*", "*no such outlet*"])


@pytest.fixture
def occupied(face: Face) -> Iterator[None]:
    face.board("shared", REAL)
    command = [
        sys.executable,
        "-m",
        "pytest",
        *QUICK,
        "--board=shared",
        "--command=sleep 30",
        "--lava-dir=x",
    ]
    with subprocess.Popen(command, cwd=face.path, stdout=subprocess.DEVNULL) as other:
        journal = face.path / "x/journal.jsonl"
        deadline = time.monotonic() + 20
        while not (journal.exists() and b'"kind":"boot"' in journal.read_bytes()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
        with contextlib.suppress(ProcessLookupError):
            os.kill(other.pid, signal.SIGINT)


def test_a_board_that_is_busy(face: Face, occupied: None) -> None:
    result = face.run("--board=shared", "--command=true")
    result.assert_outcomes(errors=1, skipped=1)
    assert result.ret == 69
    result.stdout.fnmatch_lines(["*root cause*", "*shared is used by * (pid *"])


def test_a_bug_of_ours_keeps_its_traceback(face: Face) -> None:
    face.write(
        conftest="""
            import pytest
            from pytest_lava.console import agent
            def explode(*arguments): raise RuntimeError("did not think of that")
            @pytest.fixture
            def hit(monkeypatch, shell): monkeypatch.setattr(agent, "command_text", explode)
        """,
        test_it="""
            def test_hit(hit, shell): shell.run("true")
            def test_next(shell): shell.check("true")
        """,
    )
    result = face.run("--board=localhost", "test_it.py")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*agent.py:*", "E   RuntimeError: did not think of that"])


def test_a_test_may_expect_what_we_raise(face: Face) -> None:
    face.write(
        test_it="""
            import pytest
            from pytest_lava.errors import CommandTimeout, OperationFailed
            def test_it(shell):
                with pytest.raises(OperationFailed, match="returned 3"): shell.check("exit 3")
                with pytest.raises(CommandTimeout): shell.run("sleep 9", timeout=0.2)
                assert shell.run("echo on").stdout == "on\\n"
            def test_refused(shell):
                with pytest.raises(ValueError): shell.run("a\\0b")
        """
    )
    face.run("--board=localhost", "test_it.py", passed=2)


def test_wider_fixtures_and_what_runs_at_each_boot(face: Face) -> None:
    face.write(
        conftest="""
            import pytest
            boots = []
            @pytest.fixture(scope="session", autouse=True)
            def prepared(board):
                @board.on_boot
                def mount(one): boots.append(one.boot_id)
            @pytest.fixture(scope="module")
            def folder(board):
                name = board.shell.check("mktemp -d").stdout.strip()
                yield name
                board.shell.check(f"rmdir {name}")
        """,
        test_it="""
            from conftest import boots
            def test_a(board, shell, folder): shell.check(f"test -d {folder}"); assert boots == [board.boot_id] == [1]
            def test_b(board, shell): assert 0
            def test_c(board, shell, folder): assert boots == [board.boot_id] == [1]
            def test_d(board): board.reboot(); assert boots == [1, 2]
            def test_e(shell, board): assert board.boot_id == 2 and board.boot_seconds < 20 and board.arch
        """,
    )
    face.run("--board=localhost", "test_it.py", passed=4, failed=1)


def test_errors_of_others_do_not_show_our_frames(face: Face) -> None:
    face.write(
        conftest="import pytest\n@pytest.fixture\ndef broken(board): raise OSError('theirs')",
        test_it="def test_it(broken): pass",
    )
    result = face.run("--board=localhost", "test_it.py", errors=1)
    result.stdout.no_fnmatch_line("*reporting.py*")


def test_late_requests_are_told_what_to_do(face: Face) -> None:
    face.write(test_it="def test_it(request): request.getfixturevalue('shell')")
    result = face.run("--board=localhost", "test_it.py")
    result.stdout.fnmatch_lines(["*getfixturevalue() comes too late to choose a board: put 'board' or 'shell'*"])


def test_kill_9_loses_no_finished_result(face: Face) -> None:
    face.write(
        test_it="""
            import os, signal
            def test_first(shell): shell.check("true")
            def test_killed(shell): os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert face.run("--board=localhost", "test_it.py").ret == -signal.SIGKILL
    assert main(["bundle", str(face.latest)]) == 0
    cases = face.results()["test-it.py"]
    assert {name: case["result"] for name, case in cases.items()} == {"test_first": "pass", "test_killed": "unknown"}
    assert (
        json.loads((face.latest / "bundle.json").read_text())["test_runs"][-1]["test_results"][-1]["result"]
        == "unknown"
    )


def test_a_test_that_ends_the_process_that_is_its_board(face: Face) -> None:
    result = face.run("--board=localhost", "--command=kill -9 $$", "--command=true")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["the shell that is the board has ended (sh was killed by SIGKILL): kill -9 $$"])

"""pytest-timeout's limits on boards: results are there, boards are off or usable, and no deployment is cut short."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from lava_desk import Desk, Session, bench_board

pytestmark = [pytest.mark.e2e, pytest.mark.emulated]

QUICK = ("-p", "no:hypothesispytest")  # its import takes half a second
Write = Callable[[str], None]
WAITS = 'shell.run("echo said; sleep 600", timeout=600)'
BUSY = "time.sleep(600)"
OVER = "the test is over its time limit of 1 s (--timeout, or its mark)"
TESTS = """
    @pytest.fixture
    def cleaned(shell):
        yield
        (HERE / "cleaned").write_text(shell.run("echo cleaned").stdout)

    @pytest.mark.timeout(1)
    def test_victim(shell, cleaned):
        {victim}

    def test_after(shell):
        assert shell.run("echo after").stdout == "after\\n"
"""


def lines(session: Session, kind: str) -> list[dict[str, Any]]:
    texts = "".join(path.read_text() for path in sorted(session.folder.glob("journal*.jsonl"))).splitlines()
    return [line for line in map(json.loads, filter(None, texts)) if line["kind"] == kind]


def error(session: Session, test: str) -> dict[str, Any]:
    """The error with which a call ended."""
    found = [line for line in lines(session, "outcome") if test in line["nodeid"] and line["when"] == "call"]
    return dict(found[-1]["error"])


def job(results: dict[str, str]) -> str:
    return next(result for name, result in results.items() if name.startswith("job["))


def stood(bench: Desk, session: Session, board: str, *, off: bool = True) -> dict[str, str]:
    """What every ending leaves: a bundle that the journal gives once more, and nothing on."""
    bench.assert_clean()
    if off:
        assert bench.switches("bench")[-1][0] == "off"
    assert (session.folder / "junit.xml").exists()
    found = session.bundle()
    assert found == session.rebuilt()
    assert found[f"test_first[{board}]"] == "pass"
    assert found[f"test_victim[{board}]"] == "fail"
    return found


@pytest.mark.parametrize("board, method", [("bench", "signal"), ("localhost", "thread")])
def test_a_console_call_is_ended(bench: Desk, tests: Write, board: str, method: str) -> None:
    """Whichever the method, it need not act: the call fails, the shell lives on."""
    tests(TESTS.format(victim=WAITS))
    status, session = bench.run(*QUICK, f"--timeout-method={method}", f"--board={board}", "test_it.py")
    assert status == 1
    found = stood(bench, session, board, off=board == "bench")
    assert found[f"test_after[{board}]"] == "pass"
    assert job(found) == "pass"
    (limit,) = lines(session, "limit")
    assert (limit["limit"], limit["method"], limit["when"]) == (1.0, method, "call")
    assert limit["message"] == f"{OVER}; it was waiting for the board: echo said; sleep 600"
    facts = error(session, "test_victim")
    assert (bench.folder / "cleaned").read_text() == "cleaned\n"  # a fixture has its board after that
    assert facts["message"] == f"{OVER}; no end of the command by then: echo said; sleep 600"
    assert (facts["type"], facts["blame"], facts["evidence"]) == ("TestTimeout", "test", "said\n")
    assert len(lines(session, "boot")) == 1
    assert "from pytest-timeout" not in session.output


def test_a_test_that_is_busy_elsewhere_by_signal(bench: Desk, tests: Write) -> None:
    tests(TESTS.format(victim=BUSY))
    status, session = bench.run(*QUICK, "--timeout-method=signal", "--board=bench", "test_it.py")
    assert status == 1
    assert stood(bench, session, "bench")["test_after[bench]"] == "pass"
    assert lines(session, "limit")[0]["message"] == f"{OVER}; it was busy without the board"
    assert "Timeout (>1.0s) from pytest-timeout" in session.output
    assert (bench.folder / "cleaned").read_text() == "cleaned\n"
    assert "timeouts.py" not in session.output.partition("Captured stdout")[0]


def test_a_test_that_is_busy_elsewhere_by_thread(bench: Desk, tests: Write) -> None:
    """pytest ends at once, without any clean-up; all that is left is to be there nevertheless."""
    tests(TESTS.format(victim=BUSY))
    status, session = bench.run(*QUICK, "--timeout-method=thread", "--board=bench", "test_it.py")
    assert status == 1, session.output
    found = stood(bench, session, "bench")
    assert "test_after[bench]" not in found
    assert job(found) == "the run was killed before its end"
    assert "Stack of MainThread" in session.output


def test_on_an_emulated_board(bench: Desk, tests: Write) -> None:
    """Its console call is ended and the board used on; then the process goes, and QEMU with it."""
    busy = "\n    @pytest.mark.timeout(1)\n    def test_busy(shell):\n        time.sleep(600)\n"
    tests(TESTS.format(victim=WAITS) + busy)
    session = bench.start(*QUICK, "--timeout-method=thread", "--board=qemu-arm64", "test_it.py")
    assert session.wait(100) == 1, session.output
    found = stood(bench, session, "qemu-arm64", off=False)
    assert (found["test_after[qemu-arm64]"], found["test_busy[qemu-arm64]"]) == ("pass", "fail")
    assert error(session, "test_victim")["type"] == "TestTimeout"
    assert len(lines(session, "boot")) == 1
    assert [line["case"] for line in lines(session, "limit")] == ["test_victim", "test_busy"]
    assert job(found) == "the run was killed before its end"


def test_a_worker_that_its_limit_ends(bench: Desk, tests: Write) -> None:
    pytest.importorskip("xdist")
    tests(TESTS.format(victim=BUSY))
    status, session = bench.run(*QUICK, "-n1", "--timeout-method=thread", "--board=bench", "test_it.py")
    assert status == 1
    assert stood(bench, session, "bench")["test_after[bench]"] == "pass"
    (limit,) = lines(session, "limit")
    assert limit["worker"] == "gw0"


def test_what_the_board_needs_for_itself_does_not_count(bench: Desk, tests: Write) -> None:
    """A deployment, two boots and a recovery of 1.2 s and more each, in tests that have 1 s."""
    bench.write("boards/slow", '#!/bin/sh\nsleep 1.2\nexec ./bench "$@"\n').chmod(0o755)
    board = bench.folder / "boards" / "bench.toml"
    text = board.read_text().replace("./bench o", "./slow o")
    board.write_text(text + '[deploy]\nmethod = "command"\ncommands = ["sleep 1.2"]\n')
    bench.write("test_it.py", "")
    tests(
        """
        pytestmark = pytest.mark.timeout(1)

        def test_second(shell, board):
            assert board.reboot().run("echo second").stdout == "second\\n"

        def test_dies(shell):
            shell.run("kill -9 $PPID")

        def test_recovered(shell):
            assert shell.run("echo third").stdout == "third\\n"
        """
    )
    status, session = bench.run(*QUICK, "--board=bench", "test_it.py")
    bench.assert_clean()
    assert status == 69  # the line is gone, which is no fault of the test
    found = session.bundle()
    assert lines(session, "limit") == []
    assert [found[f"test_{name}[bench]"] for name in ("first", "second", "recovered")] == ["pass"] * 3
    assert error(session, "test_dies")["type"] == "ConsoleLost"
    phases = {line["name"]: line["seconds"] for line in lines(session, "phase")}
    assert all(phases[name] > 1 for name in ("deploy", "power"))


def test_a_recovery_in_a_test_that_passed_over_its_limit(bench: Desk, tests: Write) -> None:
    """The boot is done, and only then the limit is told again."""
    tests(
        """
        from pytest_lava.errors import LavaError

        @pytest.mark.timeout(1)
        def test_victim(shell, board):
            try:
                shell.run("sleep 600", timeout=600)
            except LavaError:
                shell = board.reboot()
            shell.run("echo never")

        @pytest.mark.timeout(1)
        def test_second_victim(shell, board):
            try:
                time.sleep(600)
            except pytest.fail.Exception:
                shell = board.reboot()
            shell.run("echo never")

        def test_after(shell):
            assert shell.run("echo after").stdout == "after\\n"
        """
    )
    status, session = bench.run(*QUICK, "--board=bench", "test_it.py")
    assert status == 1
    found = stood(bench, session, "bench")
    assert (found["test_second_victim[bench]"], found["test_after[bench]"]) == ("fail", "pass")
    assert error(session, "test_victim")["message"] == OVER
    assert len(lines(session, "boot")) == 3
    assert b"never" not in (session.folder / "console.log").read_bytes()


def test_the_limit_of_a_session(bench: Desk) -> None:
    """It ends between tests, with everything written."""
    bench_board(bench, "other")
    bench.write(
        "test_it.py",
        """
        import time

        def test_first(shell):
            time.sleep(1.1)

        def test_victim(shell):
            assert shell.run("false").returncode == 0
        """,
    )
    status, session = bench.run(*QUICK, "--session-timeout=1", "--board=bench", "--board=other", "test_it.py")
    assert status == 1
    bench.assert_clean()
    found = session.bundle()
    assert "session-timeout: 1.0 sec exceeded" in session.output
    assert (found["test_first[bench]"], job(found)) == ("pass", "pass")
    assert not [name for name in found if name.startswith("test_victim")]
    assert [what for what, _ in bench.switches("bench")][-2:] == ["on", "off"]
    assert bench.switches("other") == []

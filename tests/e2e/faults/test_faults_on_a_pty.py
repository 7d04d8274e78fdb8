"""Fault by fault on a board that is a process on a pty: class, whose fault, bundle, exit status, and what is left."""

from __future__ import annotations

import pytest
from matrix import SKIPPED, Fault, check
from support.face import Face

from pytest_lava.lab.quarantine import quarantine, quarantined

LOCAL = "extends = 'localhost'\n"
QUICK = "[timeouts]\nkernel = 1\nlogin = 1\npower = 1\n[retry]\npause = 0\n"
RESPAWNS = LOCAL + "console = \"exec:sh -c 'trap : INT QUIT; while :; do sh -i; done'\"\n"
POWERED = LOCAL + "emulated = false\nconsole = 'socket://127.0.0.1:9'\n[power]\nmethod = 'command'\nsettle = 0\n"
PANIC = "Kernel panic - not syncing: No working init found.  Try passing init= option to kernel."


def at_boot(name: str, console: str, says: str, **more: object) -> Fault:
    """A board without a kernel of the user's that does not come to a shell: the lab's fault, after two tries."""
    return Fault(
        name, "InfrastructureError", "infrastructure", "unknown", 69, LOCAL + f"console = '{console}'\n" + QUICK,
        where="boot", says=says, others=SKIPPED, attempts=2, **more,  # type: ignore[arg-type]
    )  # fmt: skip


ROWS = [
    Fault("assertion", "AssertionError", "test", "fail", 1, do="assert 0"),
    Fault("status", "OperationFailed", "test", "fail", 1, do="shell.check('exit 3')", says="returned 3"),
    Fault("time limit", "CommandTimeout", "test", "fail", 1, do="shell.run('sleep 60', timeout=0.5)"),
    Fault(
        "a test ends the shell that is the board", "BoardEnded", "test", "fail", 1, do="shell.run('kill -9 $$')",
        by="power cycle",
    ),
    Fault(
        "shell killed, init starts another", "Hang", "job", "fail", 1, RESPAWNS,
        "shell.run('kill -9 $$', timeout=2)", by="resync",
    ),
    Fault(
        "panic", "KernelCrash", "job", "fail", 1, by="power cycle", says="sysrq triggered crash",
        do="""
            shell.run("sleep 0.2; echo 'Kernel panic - not syncing: sysrq triggered crash' >/dev/tty; "
                      "echo '---[ end Kernel panic - not syncing: sysrq triggered crash ]---' >/dev/tty; sleep 60",
                      timeout=9)
        """,
    ),
    Fault(
        "reset by itself", "UnexpectedReset", "job", "fail", 1, by="power cycle",
        do=r"""
            shell.run("printf 'U-Boot 2023.01 (Jan 01 2023 - 00:00:00 +0000)\\r\\n' >/dev/tty; sleep 60", timeout=9)
        """,
    ),
    Fault(
        "board falls silent", "Hang", "job", "fail", 1, by="power cycle", do="shell.run('kill -STOP $$; :', timeout=1)"
    ),
    Fault(
        "disk of the board full", "InfrastructureError", "infrastructure", "unknown", 69,
        LOCAL + "console = \"exec:unshare -rm sh -c 'mount -t tmpfs -o size=256k none /dev/shm; exec sh -i'\"\n",
        "shell.run('head -c 900000 /dev/zero')", says="no space left on the board",
    ),
    Fault(
        "files of the agent removed", "InfrastructureError", "infrastructure", "unknown", 69,
        do="shell.run('rm -f /dev/shm/.lava*-$$.*; echo gone')", says="the files for its output are gone",
    ),
    at_boot("wrong prompt", "exec:cat", "no shell or login prompt on b"),
    at_boot("nothing on the line", "exec:sleep 60", "nothing came over the serial line"),
    at_boot(
        "login refused", 'exec:sh -c "printf login:; read u; echo Login incorrect; sleep 60"', "the login of user",
    ),
    at_boot("init missing", f'exec:sh -c "echo; echo {PANIC}; sleep 60"', "No working init found"),
    Fault(
        "board's process does not start", "ConsoleLost", "infrastructure", "unknown", 69,
        LOCAL + "console = 'exec:false'\n" + QUICK, where="boot", others=SKIPPED, attempts=2,
    ),
    Fault(
        "login command fails", "InfrastructureError", "infrastructure", "unknown", 69,
        LOCAL + QUICK + "[login]\ncommands = ['echo no disk >&2; false']\n", where="boot", says="no disk",
        others=SKIPPED, attempts=2,
    ),
    Fault(
        "power fails", "PowerError", "infrastructure", "unknown", 69,
        POWERED + "on = 'echo no such outlet >&2; false'\noff = 'true'\n" + QUICK, where="boot", says="no such outlet",
        others=SKIPPED, attempts=2,
    ),
    Fault(
        "program of the power is missing", "ConfigurationError", "configuration", "unknown", 4,
        POWERED + "on = 'true && nosuch-pdu on 3'\noff = 'true'\n" + QUICK, where="boot", says="needs a program",
        others=SKIPPED,
    ),
    Fault(
        "less time for a boot than it needs", "BootFailed", "job", "fail", 1, LOCAL + "console = 'exec:sleep 60'\n",
        where="boot", says="b has not booted within --boot-timeout 0.2: allow it more time", others=SKIPPED,
        options=("--boot-timeout=0.2",),
    ),
    Fault(
        "nobody at the other end of the line", "NetworkError", "infrastructure", "unknown", 69,
        POWERED + "on = 'true'\noff = 'true'\n" + QUICK, where="boot", says="cannot connect",
        others=SKIPPED, attempts=2,
    ),
    Fault(
        "left dead when asked", "NotRecovered", "job", "fail", 1, options=("--recovery=none",), where="recovery",
        do="shell.run('kill -9 $$')", others={"test_before": "pass", "test_fault": "fail", "test_after": "skip"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_fault(face: Face, row: Fault) -> None:
    check(face, row)


def test_a_boot_that_works_the_second_time_is_told(face: Face) -> None:
    flag = face.path / "booted"
    face.board("b", LOCAL + f"console = 'exec:sh -c \"test -e {flag} && exec sh -i; touch {flag}\"'\n" + QUICK)
    face.write(test_it="def test_it(shell): shell.check('true')")
    result = face.run("--board=b", "test_it.py", passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["retried  boot of b worked on attempt 2 of 2: *sh exited with status 0*"])
    (tried,) = face.journal("attempt")
    assert (tried["phase"], tried["number"], tried["of"], tried["last"]) == ("boot", 1, 2, False)
    assert tried["error"]["type"] == "ConsoleLost"
    assert "worked on attempt 2 of 2" in (face.latest / "junit.xml").read_text()
    assert "worked on attempt 2 of 2" in (face.latest / "report.html").read_text()
    assert '"retry.1": "boot of b worked on attempt 2 of 2' in (face.latest / "bundle.json").read_text()


def test_a_board_that_does_not_come_back_goes_to_quarantine_and_others_go_on(face: Face) -> None:
    broken = face.path / "broken"
    real = LOCAL + "emulated = false\n" + QUICK
    face.board("a", real + f"[console]\nurl = 'exec:sh -c \"test -e {broken} || exec sh -i\"'\n")
    face.board("b", real)
    face.write(
        test_it=f"""
            import pathlib
            def test_first(shell): pass
            def test_dies(shell, board):
                if board.name == "a":
                    pathlib.Path({str(broken)!r}).touch()
                    shell.run("kill -9 $$")
            def test_last(shell): pass
        """
    )
    result = face.run("--board=a", "--board=b", "test_it.py", passed=4, failed=1, errors=1, skipped=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["recovery a: not recovered in * (power cycle failed: *; redeploy failed: *), after *"])
    known = quarantined()
    assert list(known) == ["a"]
    assert known["a"].reason.startswith("board a does not come back, see to it: it died (")
    skipped = face.results()["test-it.py"]["test_last"]
    assert (skipped["result"], skipped["attributes"]["error.class"]) == ("skip", "BoardLost")
    broken.unlink()
    again = face.run("--board=a", "test_it.py", "-k", "first")
    again.assert_outcomes(errors=1, skipped=1)
    assert again.ret == 69
    again.stdout.fnmatch_lines(["*board a is in quarantine since *: repair it, then pytest-lava boards --release a*"])
    assert list(quarantined()) == ["a"]


def test_another_board_of_that_type_is_taken(face: Face) -> None:
    face.board("kind", LOCAL + "abstract = true\nemulated = false\n")
    face.board("kind-1", "extends = 'kind'\n")
    face.board("kind-2", "extends = 'kind'\n")
    quarantine("kind-1", "its fan is loud")
    face.write(test_it="def test_it(board): assert board.name == 'kind-2'")
    face.run("--board=kind", "test_it.py", passed=1)
    quarantine("kind-2", "too")
    result = face.run("--board=kind", "test_it.py", errors=1, skipped=1)
    assert result.ret == 69
    assert face.results()["lava"]["wait"]["attributes"]["error.class"] == "BoardQuarantined"

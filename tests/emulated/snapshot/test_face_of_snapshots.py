"""Whole runs: what they say when a board was resumed, when it must not be, several workers, and the mark pristine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.face import Face, properties

from pytest_lava.board.board import BootRecord

pytestmark = pytest.mark.emulated

BOARD = """
extends = "qemu-arm64"
[login]
commands = ["cat /proc/sys/kernel/random/boot_id >/tmp/id", "cat /proc/uptime >/tmp/up", "date +%s >/tmp/date"]
"""
ONE = """
    def test_one(shell, board):
        shell.check("true")
        print("resumed" if board.resumed else "booted", board.boot_seconds)
"""
PRISTINE = """
    import pytest
    from pytest_lava.errors import KernelCrash

    def test_writes(board, shell):
        shell.check("touch /tmp/x")

    @pytest.mark.pristine
    def test_pristine(board, shell):
        shell.check("test ! -e /tmp/x")
        board.shell.check("touch /tmp/x")

    def test_others_find_it_as_it_is(shell):
        shell.check("test -e /tmp/x")

    @pytest.mark.pristine
    def test_again(board, shell):
        shell.check("test ! -e /tmp/x")

    @pytest.mark.pristine
    def test_crashes(shell):
        with pytest.raises(KernelCrash):
            shell.run("echo c >/proc/sysrq-trigger")

    @pytest.mark.pristine
    def test_once_more(board, shell):
        shell.check("test ! -e /tmp/x")
        before = board.boot_id
        board.shell.check("true")
        assert board.boot_id == before

    def test_reboot_is_a_boot(board):
        board.reboot().check("true")
        assert not board.resumed
        assert board.boot_seconds
"""


@pytest.fixture
def desk(face: Face, kept: tuple[Path, BootRecord, str]) -> Face:
    """A user who has booted that board before."""
    shutil.copytree(kept[0], face.path / "cache")
    face.board("b", BOARD)
    face.snapshots = True
    face.write(test_it=ONE)
    return face


def run(desk: Face, *arguments: str, **counts: int) -> pytest.RunResult:
    return desk.run("--board=b", "--lava-cache=cache", "test_it.py", *arguments, **(counts or {"passed": 1}))


def test_a_resumed_run_says_so_everywhere(desk: Face) -> None:
    result = run(desk, "-rP")
    result.stdout.fnmatch_lines(
        [
            "board: b (*",
            "snapshots: b resumes a kept state if one fits, the newest is of 20* UTC (--no-snapshot: boots)",
            "resumed None",
            "resumed *b was not booted: it resumed the state kept at 20??-??-?? ??:??:?? UTC; --no-snapshot boots",
        ]
    )
    found = desk.results()
    assert "resume" in found["lava"]
    assert not {name for name in found["lava"] if name.startswith("boot")}
    assert found["lava"]["resume"]["attributes"]["resumed"].startswith("20")
    told = properties(desk.junit()["test_it::test_one"])
    assert told["resumed"].startswith("20")
    assert "boot_seconds" not in told
    assert 'name="resumed"' in (desk.latest / "junit.xml").read_text()
    assert "boot_seconds" not in (desk.latest / "junit.xml").read_text()
    assert '"boot.resumed"' in (desk.latest / "bundle.json").read_text()
    page = (desk.latest / "report.html").read_text()
    assert "resumed: b was not booted: it resumed the state kept at" in page
    assert "resumed, not booted" in page
    assert (desk.journal("boot"), len(desk.journal("resume"))) == ([], 1)


@pytest.mark.parametrize("how", ["--no-snapshot", "CI"])
def test_a_run_that_must_boot(desk: Face, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "CI":
        monkeypatch.setenv("CI", "true")
    before = sorted(path.name for path in (desk.path / "cache/snapshots").iterdir())
    result = run(desk, "-rP", *([how] if how != "CI" else []))
    result.stdout.fnmatch_lines(["booted *"])
    result.stdout.no_fnmatch_line("*resumed*")
    result.stdout.no_fnmatch_line("snapshots: *")
    found = desk.results()["lava"]
    assert {"boot", "boot.kernel", "boot.login"} <= set(found)
    assert "resume" not in found
    assert "resumed" not in properties(desk.junit()["test_it::test_one"])
    assert sorted(path.name for path in (desk.path / "cache/snapshots").iterdir()) == before


def test_ci_may_ask_for_it(desk: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    run(desk, "--snapshot", "-rP").stdout.fnmatch_lines(["resumed None"])


def test_a_board_without_snapshots_does_not_speak_of_them(face: Face) -> None:
    face.snapshots = True
    face.write(test_it="def test_it(shell): shell.check('true')")
    result = face.run("--board=localhost", "--snapshot", "test_it.py", passed=1)
    result.stdout.no_fnmatch_line("snapshots: *")
    assert "boot" in face.results()["lava"]


def test_pristine(desk: Face) -> None:
    desk.write(test_it=PRISTINE)
    run(desk, passed=7)
    assert (len(desk.journal("boot")), len(desk.journal("resume"))) == (1, 5)


def test_pristine_by_boots(face: Face) -> None:
    """A board that keeps no state is started anew; one that is never restarted cannot be pristine."""
    face.write(
        test_it="""
        import pytest
        def test_a(shell): shell.check("cd /; export FOO=1; touch lava-mark-$$ 2>/dev/null; true")
        @pytest.mark.pristine
        def test_b(board, shell): assert board.boot_id == 2
        @pytest.mark.pristine
        def test_c(board, shell): assert board.boot_id == 3
        """
    )
    face.run("--board=localhost", "test_it.py", passed=3)
    face.board("never", 'extends = "localhost"\npower = "none"\nboot = "attach"\n')
    result = face.run("--board=never", "test_it.py", "-k", "test_a or test_b")
    result.stdout.fnmatch_lines(["*board never is never restarted, so no test on it is pristine: leave out the mark*"])


def test_workers_share_a_state(desk: Face) -> None:
    desk.write(
        test_it="""
        import pytest
        @pytest.mark.parametrize("number", range(2))
        def test_it(shell, board, number):
            shell.check("sleep 1")
            assert board.resumed
        """
    )
    result = run(desk, "-n2", passed=2)
    result.stdout.fnmatch_lines(["resumed *b was not booted: it resumed the state kept at * UTC*"])
    assert len(desk.journal("resume")) == 2

"""The marks board and requires: wrong ones are told, the others choose, skip, reset and lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lava_desk import until
from support.face import Face

from pytest_lava.deadline import Deadline
from pytest_lava.lab.locks import acquire

pytestmark = pytest.mark.e2e

WRONG = """
    import pytest
    pytestmark = pytest.mark.board(exclusive=1)

    @pytest.mark.board("localhost", rest=True)
    def test_key(shell): pass
    @pytest.mark.board(3, "")
    def test_name(shell): pass
    @pytest.mark.board()
    def test_nothing(shell): pass
    @pytest.mark.requires(arch="arm46", memory=512)
    def test_arch(shell): pass
    @pytest.mark.requires("64M")
    def test_positional(shell): pass
    @pytest.mark.requires()
    def test_requires_nothing(shell): pass
    class TestClass:
        @pytest.mark.requires(memory="64 potatoes", feature=["network", 3])
        def test_memory(self, shell): pass
    @pytest.mark.requires(arch="x86_64")
    @pytest.mark.parametrize("n", [1, 2])
    def test_plain(n): pass
    @pytest.mark.requires(arch="amd64", feature=[])
    def test_other_names(shell): pass
    @pytest.mark.stress("2h", limit="0s", iterations=2.5)
    def test_stress(shell): pass
"""
TOLD = [
    "test_key: @pytest.mark.board: there is no 'rest'; there are reset, exclusive; did you mean 'reset'?",
    "test_key: @pytest.mark.board: exclusive has to be True or False, not 1",
    "test_name: @pytest.mark.board: a board's name has to be a text, not 3",
    "test_name: @pytest.mark.board: a board's name has to be a text, not ''",
    'test_nothing: @pytest.mark.board: it says nothing: name a board or a device type, such as board("panda"), or set '
    "reset or exclusive",
    "test_arch: @pytest.mark.requires: memory has to be a text, not 512",
    "test_arch: @pytest.mark.requires: there is no arch 'arm46'; there are arm, arm64, riscv64, x86, x86_64; did you "
    "mean 'arm64'?",
    "test_positional: @pytest.mark.requires: say what is required by a keyword, such as memory=\"512M\", not '64M'",
    'test_requires_nothing: @pytest.mark.requires: it says nothing: write memory="512M", arch="arm64" or '
    'feature="network"',
    "TestClass::test_memory: @pytest.mark.requires: memory: '64 potatoes' is no size; write a number with K, M, G or "
    "T, such as 20G",
    "TestClass::test_memory: @pytest.mark.requires: feature has to be a text, or a list of texts, not ['network', 3]",
    "test_plain: it is marked for a board and uses none: add 'shell' or 'board' to its parameters",
    "test_other_names: @pytest.mark.requires: there is no arch 'amd64'; there are arm, arm64, riscv64, x86, x86_64; "
    "did you mean 'x86_64'?",
    "test_other_names: @pytest.mark.requires: feature has to be a text, or a list of texts, not []",
    "test_stress: @pytest.mark.stress: say what its limit is by a keyword, such as limit=\"2h\", not '2h'",
    "test_stress: @pytest.mark.stress: limit 0s: the time must be more than 0",
    "test_stress: @pytest.mark.stress: iterations 2.5: write a whole number of at least 1",
]


def test_wrong_marks_are_told_together(face: Face) -> None:
    face.write(test_it=WRONG)
    said = [
        line.removeprefix("ERROR: ").removeprefix("test_it.py::")
        for line in face.refused("--board=localhost", "test_it.py")
    ]
    assert set(TOLD) <= set(said)
    assert {line for line in said if "exclusive has to be" not in line} <= set(TOLD)


def test_under_xdist_too(face: Face) -> None:
    pytest.importorskip("xdist")
    face.write(test_it=WRONG)
    result = face.run("--board=localhost", "-n1", "test_it.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = "\n".join(result.outlines)
    assert all(f"test_it.py::{line}" in text for line in TOLD)
    assert "INTERNALERROR" not in text
    assert face.untouched


BOARDS = {
    "small": 'extends = "kind"\nfeatures = ["network", "usb"]\n[hardware]\nmemory = "256M"\n',
    "large": 'extends = "localhost"\nfeatures = ["network"]\n',
    "kind": 'extends = "localhost"\nabstract = true\n',
}
TESTS = """
    import platform, pytest
    OWN = {"x86_64": "x86_64", "aarch64": "arm64", "armv7l": "arm"}[platform.machine()]

    @pytest.mark.board("small")
    def test_small(shell): pass
    @pytest.mark.board("kind", "absent")
    def test_kind(shell): pass
    @pytest.mark.board("panda")
    def test_panda(shell): pass
    @pytest.mark.requires(feature=["network", "usb"])
    def test_features(shell): pass
    @pytest.mark.requires(memory="1M", arch=OWN)
    def test_has_it(shell): pass
    @pytest.mark.requires(memory="64T")
    def test_memory(shell): pass
    @pytest.mark.requires(feature="network")
    class TestClass:
        @pytest.mark.requires(feature="usb", memory="300M")
        def test_all_together(self, shell): pass
        @pytest.mark.requires(arch="riscv64")
        def test_arch(self, kernel): pass
"""


def test_they_choose_among_the_boards_of_a_run(face: Face) -> None:
    """On those that fit; if there is none, skipped with each one's reason, before the board is touched."""
    for name, text in BOARDS.items():
        face.board(name, text)
    face.write(test_it=TESTS)
    result = face.run("--board=small", "--board=large", "-rs", "test_it.py", passed=5, skipped=7)
    called = {line["nodeid"].partition("::")[2]: line["outcome"] for line in face.journal() if line["when"] == "call"}
    assert called == dict.fromkeys(
        ["test_small[small]", "test_kind[small]", "test_features[small]", "test_has_it[small]", "test_has_it[large]"],
        "passed",
    )
    skipped = {line["case"]: line["message"] for line in face.journal() if line["outcome"] == "skipped"}
    assert "requires memory of 64T, and large has " in skipped.pop("test_memory")
    text = " ".join(" ".join(result.outlines).split())
    for reason in (
        "test_it.py:8: it is for board panda, not for small",
        "test_it.py:8: it is for board panda, not for large",
        "it requires memory of 300M, and small has 256M",
        "it requires the feature usb, which the board file of large does not list",
        "it requires arch riscv64, and small is",
    ):
        assert reason in text, reason


def test_whichever_board_is_free(face: Face) -> None:
    """Where a request may mean several boards, the leased one counts."""
    for name, text in BOARDS.items():
        face.board(name, text)
    face.board("other", 'extends = "kind"\n')
    face.write(
        test_it='import pytest\n@pytest.mark.board("small")\ndef test_small(shell): pass\ndef test_any(shell): pass'
    )
    face.run("--board=kind", "test_it.py", passed=1, skipped=1)
    (skip,) = [line["message"] for line in face.journal() if line["outcome"] == "skipped"]
    assert skip == "it is for board small, not for other"


def test_reset_begins_anew(face: Face) -> None:
    face.write(
        test_it="""
        import pytest

        def test_leaves_something(shell):
            assert shell.sendline("LEFT=1") and shell.expect("# |[$] ") == 0

        @pytest.mark.board(reset=True)
        class TestReset:
            def test_once(self, shell, board):
                assert board.boot_id == 2

            @pytest.mark.board(reset=False)
            def test_not_here(self, shell, board):
                assert board.boot_id == 2

            def test_again(self, shell, board):
                assert board.boot_id == 3
        """
    )
    face.run("--board=localhost", "test_it.py", passed=4)
    assert len(face.journal("boot")) == 3


@contextmanager
def held(resource: str, folder: Path) -> Iterator[None]:
    """Another run has it, until somebody has waited for it for a while."""
    locks = acquire([resource], board="localhost", deadline=Deadline.after(5), run=folder)

    def give_back() -> None:
        events = folder / "lava-runs" / "latest" / "events.jsonl"
        until(lambda: events.exists() and "waiting: board localhost is used by" in events.read_text(), 60, "wait")
        time.sleep(2.5)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=give_back)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_exclusive_tests_wait_for_each_other(face: Face) -> None:
    """Longer than the test's own limit, of which this is no part; and no longer than the test that has it."""
    face.write(
        test_it="""
        import pytest
        from pytest_lava.deadline import Deadline
        from pytest_lava.lab.locks import acquire

        def test_is_not_held_up(shell): pass

        @pytest.mark.timeout(2)
        @pytest.mark.board(exclusive=True)
        def test_alone(shell):
            with pytest.raises(Exception, match="board localhost is used by"):
                acquire(["exclusive:localhost"], board="localhost", deadline=Deadline.after(0))

        def test_free_again(shell):
            acquire(["exclusive:localhost"], board="localhost", deadline=Deadline.after(0))
        """
    )
    with held("exclusive:localhost", face.path):
        face.run("--board=localhost", "test_it.py", passed=3)
    assert face.journal("limit") == []


def test_limits_of_deployment_and_boot(face: Face) -> None:
    slow = 'extends = "localhost"\nconsole = "exec:sleep 600"\n[timeouts]\n'
    face.board("option", slow + "kernel = 600\nlogin = 600\n")
    face.board("file", slow + "kernel = 600\nlogin = 600\nboot = 0.7\n")
    face.board("flash", 'extends = "localhost"\n[deploy]\nmethod = "command"\ncommands = ["sleep 600"]\n')
    face.write(test_it="def test_it(shell): pass")
    result = face.run(
        "--board=option", "--board=file", "--boot-timeout=0.5", "--board=flash", "--deploy-timeout=0.6", "test_it.py"
    )
    assert result.ret == 1  # who allows less than the board file is to blame, not the lab
    failed = {line["nodeid"]: line["message"] for line in face.journal() if line["outcome"] == "failed"}
    assert set(failed) == {"boot::option", "boot::file", "deploy::flash"}
    assert "within 0.5 s" in failed["boot::option"]
    assert "0.6 s" in failed["deploy::flash"]
    seconds = {line["target"]: line["seconds"] for line in face.journal("phase") if line["name"] == "boot.login"}
    assert max(seconds.values()) < 30


def test_the_limit_in_a_board_file(face: Face) -> None:
    slow = 'extends = "localhost"\nconsole = "exec:sleep 600"\n[retry]\nboot = 1\n'
    face.board("slow", slow + "[timeouts]\nkernel = 600\nlogin = 600\nboot = 0.7\n")
    face.write(test_it="def test_it(shell): pass")
    assert face.run("--board=slow", "test_it.py").ret == 69
    (failed,) = [line["message"] for line in face.journal() if line["outcome"] == "failed"]
    assert "within 0.7 s" in failed


@pytest.mark.parametrize("option", ["--boot-timeout=0", "--deploy-timeout=soon"])
def test_no_limit(face: Face, option: str) -> None:
    assert face.here("--board=localhost", option).ret == pytest.ExitCode.USAGE_ERROR

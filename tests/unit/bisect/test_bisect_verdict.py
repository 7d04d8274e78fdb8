"""What git is told, from journals as real runs leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_lava.bisect.verdict import Build, Verdict, judge
from pytest_lava.results.journal import Journal, read

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RELEASE, BUILD = "6.1.0-lava", "#7 SMP Mon Jan  5 10:00:00 UTC 2026"
JOB = {"type": "BootFailed", "message": "the kernel crashed: Kernel panic", "blame": "job", "effect": "board"}
LAB = {"type": "PowerError", "message": "the switch is silent", "blame": "infrastructure", "effect": "board"}
TEST = {"type": "AssertionError", "message": "assert 2 == 1", "blame": "test", "effect": "case"}


class Run:
    """A run folder that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal.jsonl", run="6f3b1c52-7a55-4a3f-9a7e-0a4de1f1c001")

    def target(self, **kernel: Any) -> Run:
        known = {"name": "Image", "path": "/k/Image", "release": RELEASE, "build": BUILD, "given": True, **kernel}
        self.journal.write("target", board="q", target="q", kernel=known)
        return self

    def boot(self, release: str = RELEASE, version: str = BUILD, kind: str = "boot") -> Run:
        self.journal.write(kind, board="q", target="q", boot_id=1, uname={"release": release, "version": version})
        return self

    def phases(self, *names: str, error: dict[str, Any] | None = None) -> Run:
        """All went well but for the last one."""
        for name in names:
            self.journal.write(
                "phase", board="q", target="q", name=name, error=error if name == names[-1] else None
            )  # fmt: skip
        return self

    def outcome(self, name: str, outcome: str, error: dict[str, Any] | None = None, **fields: Any) -> Run:
        suite, case = name.split("::")
        line = {"suite": suite, "case": case, "target": "q", "when": "call", "seconds": 0.1, **fields}
        message = error["message"] if error else ""
        self.journal.write("outcome", board="q", nodeid=name, outcome=outcome, error=error, message=message, **line)
        return self

    def passed(self) -> Run:
        return self.outcome("test_it.py::test_one", "passed")

    def failed(self, error: dict[str, Any] | None = TEST) -> Run:
        return self.outcome("test_it.py::test_two", "failed", error)

    def no_boot(self, error: dict[str, Any], **fields: Any) -> Run:
        self.outcome("boot::q", "failed", error, suite="lava", case="boot", **fields)
        return self.outcome("test_it.py::test_one", "skipped", error, when="setup")

    def judged(
        self, status: int, build: Build | None = None, *, skip_boot: bool = False, ended: bool = True
    ) -> Verdict:
        if ended:
            self.journal.write("end", status=status, seconds=1.0)
        self.journal.close()
        lines = read(self.folder)
        return judge(lines, status, build or Build(COMMIT), folder=self.folder, skip_boot=skip_boot)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize(
    ("status", "expected"), [(2, 130), (3, 131), (4, 132), (5, 133), (6, 134), (143, 143), (-9, 137)]
)
def test_what_is_no_verdict_on_a_kernel_ends_the_bisection(run: Run, status: int, expected: int) -> None:
    assert run.target().boot().failed().judged(status).status == expected


def test_no_run_at_all(tmp_path: Path) -> None:
    assert judge([], 4, Build(), folder=tmp_path).status == 132


def test_good(run: Run) -> None:
    assert run.target().boot().passed().judged(0) == Verdict(0, "1 test passed")


def test_bad(run: Run) -> None:
    verdict = run.target().boot().passed().failed().judged(1)
    assert (verdict.status, verdict.word) == (1, "bad")
    assert verdict.why == "test_it.py::test_two: assert 2 == 1"


def test_a_run_that_broke_off(run: Run) -> None:
    assert run.target().boot().failed().judged(1, ended=False).status == 131


def test_a_failed_test_wins_over_a_lab_fault(run: Run) -> None:
    run.target().boot().failed().outcome("test_it.py::test_three", "failed", LAB)
    assert run.judged(1).status == 1


def test_lab_fault(run: Run) -> None:
    verdict = run.target().boot().passed().outcome("test_it.py::test_three", "failed", LAB).judged(69)
    assert verdict == Verdict(125, "lab fault on q: the switch is silent")


def test_lab_fault_before_the_board(run: Run) -> None:
    assert run.no_boot(LAB).judged(69).status == 125


def test_panic_behind_the_boot_loader(run: Run) -> None:
    run.target().phases("power", "boot.bootloader", "boot.kernel", "boot.login", error=JOB).no_boot(JOB)
    assert run.judged(1) == Verdict(1, "it does not boot: the kernel crashed: Kernel panic")


def test_panic_is_skipped_if_asked_for(run: Run) -> None:
    run.target().phases("power", "boot.bootloader", "boot.kernel", "boot.login", error=JOB).no_boot(JOB)
    assert run.judged(1, skip_boot=True).status == 125


def test_kernel_that_the_boot_loader_does_not_start(run: Run) -> None:
    refused = JOB | {"message": "U-Boot could not start the kernel: Bad Linux ARM64 Image magic!"}
    run.target().phases("power", "boot.bootloader", "boot.kernel", error=refused).no_boot(refused)
    verdict = run.judged(1)
    assert verdict.status == 125
    assert "Bad Linux ARM64 Image magic!" in verdict.why


def test_no_boot_loader_in_the_second_try(run: Run) -> None:
    run.target().phases("power", "boot.bootloader", "boot.kernel", "boot.login", error=JOB)
    run.phases("power", "boot.bootloader", error=JOB).no_boot(JOB)
    assert run.judged(1).status == 125


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(b"", 125, id="nothing"),
        pytest.param(b"\xff\x00~~\r\nSeaBIOS (version 1.16.2)\r\niPXE\r\n", 125, id="no-kernel"),
        pytest.param(b"[    0.000000] Linux version 6.1.0\r\n", 1, id="banner"),
        pytest.param(b"\r\n[    2.875025] pci-host-generic 4010000000.pcie: x\r\n", 1, id="record"),
        pytest.param(b"U-Boot 2024.01\r\n\r\nStarting kernel ...\r\n\r\n", 1, id="boot-loader"),
        pytest.param(b"Uncompressing Linux... done, booting the kernel.\r\n", 1, id="arm"),
    ],
)
def test_without_a_boot_loader_of_ours_the_console_tells(run: Run, said: bytes, expected: int) -> None:
    (run.folder / "console.log").write_bytes(b"[    1.000000] of a boot before\r\n" + said)
    start = len(b"[    1.000000] of a boot before\r\n")
    run.target().phases("power", "boot.kernel", "boot.login", error=JOB)
    run.no_boot(JOB, console=[start, start + len(said)], console_log="console.log")
    assert run.judged(1).status == expected


def test_deploy_that_failed(run: Run) -> None:
    error = JOB | {"type": "DeployFailed", "message": "no space on the card"}
    run.target().outcome("deploy::q", "failed", error, suite="lava", case="deploy")
    assert run.judged(1).status == 125


@pytest.mark.parametrize(
    ("release", "version"), [("6.0.0-old", BUILD), (RELEASE, "#6 SMP Mon Jan  5 09:00:00 UTC 2026")]
)
def test_another_kernel_than_this_build(run: Run, release: str, version: str) -> None:
    verdict = run.target().boot(release, version).failed().judged(1)
    assert verdict.status == 125
    assert "was booted, not" in verdict.why


def test_another_kernel_as_the_board_found(run: Run) -> None:
    error = JOB | {"type": "WrongKernel", "message": "q booted another kernel than the one deployed: a, not b"}
    run.target().phases("power", "boot.bootloader", "boot.kernel", "boot.login").no_boot(error)
    assert run.judged(1).status == 125


def test_kernel_of_another_commit(run: Run) -> None:
    release = "6.1.0-00012-gfedcba987654"
    verdict = run.target(release=release).boot(release).passed().judged(0)
    assert verdict.status == 125
    assert "is not of this commit" in verdict.why


def test_kernel_of_this_commit(run: Run) -> None:
    release = "6.1.0-00012-g0123456789ab-dirty"
    assert run.target(release=release).boot(release).passed().judged(0).status == 0


def test_kernel_whose_file_does_not_tell(run: Run) -> None:
    verdict = run.target(release=None, build=None).boot().passed().judged(0)
    assert verdict.status == 125
    assert "give --uname CMD" in verdict.why


@pytest.mark.parametrize(("uname", "expected"), [(RELEASE, 0), ("#7 SMP", 0), ("6.2.0", 125)])
def test_kernel_that_the_user_tells(run: Run, uname: str, expected: int) -> None:
    run.target(release=None, build=None).boot().passed()
    assert run.judged(0, Build(COMMIT, uname)).status == expected


def test_kernel_of_the_lab(run: Run) -> None:
    verdict = run.target(given=False).boot().passed().judged(0)
    assert verdict.status == 132
    assert "add --kernel or --kernel-tree" in verdict.why


def test_resumed_board(run: Run) -> None:
    assert run.target().boot(kind="resume").passed().judged(0).status == 125


def test_all_tests_skipped(run: Run) -> None:
    run.target().boot().outcome("test_it.py::test_one", "skipped", when="setup")
    assert run.judged(0).status == 125


def test_no_test_wants_a_board(run: Run) -> None:
    assert run.passed().judged(0).status == 132


def test_bug_of_ours(run: Run) -> None:
    error = {"type": "KeyError", "message": "'x'", "blame": "bug", "effect": "case"}
    assert run.target().boot().failed(error).judged(1).status == 131

"""The face on QEMU boards: kernels that crash or never boot, several boards and kernels, recovery."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.face import Face, properties

from pytest_lava.images.cache import cache_dir

pytestmark = pytest.mark.emulated

CRASHES = """
    import time, pytest
    from pytest_lava.errors import KernelCrash
    PANIC = "echo c >/proc/sysrq-trigger"
    boots = []
    def test_before(board, shell): boots.append(board.boot_id)
    def test_fails(board, shell):
        boots.append(board.boot_id)
        assert shell.run("echo hi").stdout == "ho\\n"
    def test_status(board, shell): shell.check("false")
    def test_panics(board, shell):
        boots.append(board.boot_id)
        shell.run(PANIC)
    def test_after(board, shell):
        assert [*boots, board.boot_id] == [1, 1, 1, 2]
        shell.check("true")
    def test_looks_away(shell):
        shell.sendline(PANIC)
        time.sleep(1)
    def test_expects_it(board, shell):
        assert board.boot_id == 3
        with pytest.raises(KernelCrash): shell.run(PANIC)
    def test_last(board, shell): assert board.boot_id == 4
"""
PLAIN = """
    def test_plain(): pass
    def test_a(shell): shell.check("true")
    def test_b(board): board.shell.check("true")
    def test_k(kernel): assert kernel.file.release
"""


def default(arch: str, pattern: str) -> Path:
    files = sorted((cache_dir() / f"debian-{arch}").glob(pattern))
    if not files:
        pytest.fail(f"run `pytest-lava fetch {arch}` first")
    return files[0]


def test_a_crash_costs_one_recovery_and_a_failing_test_none(face: Face) -> None:
    face.write(test_it=CRASHES)
    result = face.run("--board=qemu-x86_64", "test_it.py", passed=4, failed=4)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E   *KernelCrash: the kernel crashed: Kernel panic - not syncing: sysrq triggered crash",
            "*Kernel panic - not syncing: sysrq triggered crash",
            "*end Kernel panic*",
            "*test_looks_away*",
            "the kernel crashed: Kernel panic - not syncing*",
        ]
    )
    result.stdout.no_fnmatch_line("*root cause*")
    cases = face.results()["test-it.py"]
    for name in ("test_panics", "test_looks_away"):
        assert (cases[name]["result"], cases[name]["attributes"]["error.class"]) == ("fail", "KernelCrash")
        assert any(one["pathname"] == "evidence.txt" for one in cases[name]["attachments"])
    assert cases["test_expects_it"]["result"] == "pass"
    lava = face.results()["lava"]
    assert [name for name in lava if name.startswith("boot") and "." not in name] == [
        "boot",
        "boot-2",
        "boot-3",
        "boot-4",
    ]
    assert [line["name"] for line in face.journal("phase")].count("recovery") == 3


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "workers"])
def test_a_kernel_that_does_not_boot_is_one_failure(face: Face, options: tuple[str, ...]) -> None:
    face.write(test_it=PLAIN)
    arguments = (
        "--board=qemu-x86_64",
        "--append=lava.panic",
        "test_it.py",
        "--command=true",
        "--junit-xml=own.xml",
        "-rsf",
    )
    result = face.run(*arguments, *options)
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1, skipped=4)
    result.stdout.fnmatch_lines(
        [
            "*root cause*",
            "boot failed on qemu-x86_64: the kernel crashed: Kernel panic - *",
            "*boot::qemu-x86_64*",
            "the kernel crashed: Kernel panic - not syncing*",
            "SKIPPED *boot of qemu-x86_64 failed: the kernel crashed: Kernel panic*",
            "FAILED boot::qemu-x86_64 - the kernel crashed: Kernel panic*",
        ]
    )
    lava = face.results()["lava"]
    assert {name for name, case in lava.items() if case["result"] != "pass"} == {"boot", "job"}
    assert lava["boot"]["result"] == "fail"
    assert lava["boot"]["attributes"].items() >= {"error.class": "BootFailed", "step": "boot.login"}.items()
    assert lava["boot"]["log_lineno"] >= 1
    assert {case["result"] for case in face.results()["test-it.py"].values()} == {"skip"}
    for path in (None, face.path / "own.xml"):
        failed = [name for name, case in face.junit(path).items() if case.find("failure") is not None]
        assert failed == ["boot::qemu-x86_64"] if path is None else len(failed) == 1
    page = (face.latest / "report.html").read_text()
    assert "boot::qemu-x86_64" in page
    assert "boot failed on qemu-x86_64" in page
    (log,) = face.latest.glob("console/*boot-qemu-x86_64.log")
    assert log.stat().st_size > 500


def test_one_kernel_boots_and_one_does_not(face: Face) -> None:
    good, bad = default("x86_64", "vmlinuz"), face.path / "bad-bzImage"
    initrd = default("x86_64", "initrd-*.img")
    shutil.copy(good, bad)
    with bad.open("r+b") as file:  # its header is that of a kernel, what it unpacks is not
        file.seek(200_000)
        file.write(b"\xcc" * 2_000_000)
    face.board("quick", 'extends = "qemu-x86_64"\n[timeouts]\nkernel = 6\nlogin = 6\n')
    face.write(test_it=PLAIN)
    result = face.run(
        "--board=quick", f"--kernel={bad},initrd={initrd}", f"--kernel={good},initrd={initrd}", "test_it.py"
    )
    result.assert_outcomes(passed=4, failed=1, skipped=3)
    assert result.ret == 1
    assert face.deployments() == ["quick-bad-bzImage", "quick-vmlinuz"]
    assert face.results()["lava"]["boot/quick-bad-bzImage"]["result"] == "fail"
    assert face.results()["lava"]["boot/quick-vmlinuz"]["result"] == "pass"


def test_two_boards_and_two_kernels_each_deployed_once(face: Face) -> None:
    kernels = []
    for name in ("one", "two"):
        shutil.copy(default("x86_64", "vmlinuz"), face.path / name)
        kernels.append(f"--kernel={face.path / name},initrd={default('x86_64', 'initrd-*.img')}")
    for name in ("b1", "b2"):
        face.board(name, 'extends = "qemu-x86_64"\n')
    face.write(
        conftest="""
            import pytest, random
            @pytest.hookimpl(trylast=True)
            def pytest_collection_modifyitems(items): random.Random(3).shuffle(items)
        """,
        test_it=PLAIN,
    )
    result = face.run(
        "--board=b1", "--board=b2", *kernels, "--board=qemu-arm64", "test_it.py", "--command=uname -r", "-n0"
    )
    result.assert_outcomes(passed=1 + 4 * 4)
    result.stdout.fnmatch_lines(["note: nothing runs on qemu-arm64: no given kernel fits it"])
    assert sorted(face.deployments()) == ["b1-one", "b1-two", "b2-one", "b2-two"]
    names = set(face.junit())
    assert {f"test_it::test_a[{target}]" for target in face.deployments()} < names
    told = properties(face.junit()["test_it::test_a[b2-two]"])
    assert (told["board"], told["target"]) == ("b2", "b2-two")
    assert told["kernel"].startswith("6.")


def test_a_boot_loader_prompt_that_never_comes(face: Face) -> None:
    face.board("wrong", 'extends = "qemu-arm64"\n[boot]\nprompt = "Panda# "\n[timeouts]\nbootloader = 3\n')
    face.write(test_it=PLAIN)
    result = face.run("--board=wrong", "test_it.py")
    result.assert_outcomes(passed=1, errors=1, skipped=3)
    assert result.ret == 69
    result.stdout.fnmatch_lines(["*root cause*", "*the boot loader's prompt never came on wrong: check [[]boot*"])


def test_boot_loader_fixture(face: Face) -> None:
    face.write(
        test_it="""
            def test_shell(shell): assert shell.check("uname -m").stdout == "aarch64\\n"
            def test_loader(bootloader): assert "U-Boot" in bootloader.run("version")
            def test_again(shell, board): assert board.boot_id == 2
        """
    )
    face.run("--board=qemu-arm64", "test_it.py", passed=3)

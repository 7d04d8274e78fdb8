"""A real kernel's call trace with lines of source, where a user meets it: failure, bundle, HTML, and a failed boot.

Debian's own vmlinux is 700 MB, so a small one stands for it: with the banner of the kernel that really runs, and with
one of its functions: it calls ``panic``, which never returns, so the trace names the function behind it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.elves import assembled
from support.face import Face

from pytest_lava.images.cache import cache_dir
from pytest_lava.images.kernel import inspect

pytestmark = pytest.mark.emulated

CACHE = cache_dir()  # before a test has one of its own
STUB = """
    .section .rodata,"a"
    .asciz "{banner}\\n"
    .text
    .globl sysrq_handle_crash
    .type sysrq_handle_crash,%function
sysrq_handle_crash:
    nop
    .size sysrq_handle_crash, .-sysrq_handle_crash
    .globl sysrq_reset_seq_param_set
    .type sysrq_reset_seq_param_set,%function
sysrq_reset_seq_param_set:
    .fill 40,4,0xd503201f
    .size sysrq_reset_seq_param_set, .-sysrq_reset_seq_param_set
"""
CRASHES = """
    def test_crashes(shell):
        shell.run("echo c >/proc/sysrq-trigger")
"""


@pytest.fixture
def vmlinux(face: Face) -> Path:
    """For the boards' default kernel."""
    kernel = inspect(CACHE / "debian-arm64" / "vmlinuz", cache_dir())
    banner = f"Linux version {kernel.release} (me@here) (gcc) {kernel.build}"
    return assembled(face.path / "vmlinux", "aarch64-linux-gnu", STUB.format(banner=banner))


def test_a_crash_has_its_lines_of_source_beside_the_trace(face: Face, vmlinux: Path) -> None:
    face.write(test_it=CRASHES)
    face.snapshots = True  # the kernel then says nothing of its version, but its shell told
    result = face.run("--board=qemu-arm64", f"--vmlinux={vmlinux}", "test_it.py", failed=1)
    said = result.stdout.str()
    raw, _, sourced = said.partition("Call traces of qemu-arm64 with lines of source")
    place = r" sysrq_reset_seq_param_set\+0x0/0xa0"
    assert re.search(place + r"\n", raw)  # what the kernel said, as it said it
    assert re.search(place + r" \(sysrq_handle_crash, .*vmlinux\.s:8\)\n", sourced)
    assert "Kernel panic - not syncing: sysrq triggered crash" in raw
    (tests,) = [cases for name, cases in face.results().items() if name != "lava"]
    attached = {one["pathname"]: one for one in tests["test_crashes"]["attachments"]}
    assert {"evidence.txt", "call-traces.txt"} <= set(attached)
    (file,) = face.latest.glob("console/*.trace.txt")
    assert "vmlinux.s:8)" in file.read_text()
    assert "vmlinux.s:8)" not in (face.latest / "console.log").read_text(errors="replace")
    shown = (face.latest / "report.html").read_text()
    assert "vmlinux.s:8)" in shown
    assert f"console/{file.name}" in shown  # linked
    assert "kernel: panic" in shown
    (case,) = face.junit().values()
    assert "vmlinux.s:8)" in (case.findtext("system-out") or "")


def test_a_panic_while_booting_has_them_too(face: Face, vmlinux: Path) -> None:
    face.write(test_it="def test_boots(shell): pass")
    wrong = face.path / "other"
    wrong.write_bytes(vmlinux.read_bytes().replace(b"Linux version 6", b"Linux version 5"))
    face.run(
        "--board=qemu-arm64", f"--vmlinux={wrong}", "--append=rdinit=/missing loglevel=8", "test_it.py",
    ).assert_outcomes(failed=1, skipped=1)  # fmt: skip
    said = face.journal()[0]["longrepr"]
    assert "Kernel panic - not syncing" in said
    assert re.search(r"no lines of source: the board ran 6\.\S+ #1 .*, but \S+/other is of 5\.", said)


def test_what_is_no_vmlinux_is_told_before_a_board_is_touched(face: Face) -> None:
    face.write(test_it="def test_boots(shell): pass")
    told = face.refused("--board=qemu-arm64", "--vmlinux=missing", "test_it.py")
    (said,) = [line for line in told if "missing" in line]
    assert said.endswith("missing cannot be read: No such file or directory")

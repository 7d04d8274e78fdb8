"""What a real kernel stored of its panic where a restart leaves it comes with the test that crashed it."""

from __future__ import annotations

import base64

import pytest
from support.face import Face
from support.kernels import debian_modules

pytestmark = pytest.mark.emulated

# memory from 0x4f000000 on is not the kernel's, and U-Boot uses the end of what there is
BOARD = """
    extends = "qemu-arm64"
    [deploy]
    append = "console=ttyAMA0 loglevel=5 sysrq_always_enabled mem=240M"
    [login]
    commands = [
        "insmod /reed_solomon.ko",
        "insmod /ramoops.ko mem_address=0x50000000 mem_size=0x100000 record_size=0x10000 max_reason=2",
    ]
"""
TESTS = """
    def test_crashes(shell):
        shell.check("echo '<7>a word that no console shows' >/dev/kmsg")
        shell.run("echo c >/proc/sysrq-trigger")

    def test_next(board, shell):
        assert board.boot_id == 2
        assert shell.check("ls /sys/fs/pstore").stdout == ""
        assert "pstore /sys/fs/pstore pstore" in shell.check("cat /proc/mounts").stdout
"""


def test_the_record_of_a_panic_comes_with_its_test(face: Face) -> None:
    face.write(test_it=TESTS)
    face.board("keeps", BOARD)
    added = []
    for name, content in debian_modules("ramoops", "reed_solomon").items():
        (face.path / f"{name}.ko").write_bytes(content)
        added.append(f"--file={name}.ko:/{name}.ko")
    result = face.run("--board=keeps", *added, "test_it.py", passed=1, failed=1)
    (tests,) = [cases for name, cases in face.results().items() if name != "lava"]
    attached = {one["pathname"]: one for one in tests["test_crashes"]["attachments"]}
    stored = base64.b64decode(attached["dmesg-ramoops-0"]["content"]).decode()
    assert attached["dmesg-ramoops-0"]["mime_type"] == "text/plain"
    assert "a word that no console shows" in stored
    (console,) = face.latest.glob("console/*test_crashes*.log")
    assert "a word that no console shows" not in console.read_text(errors="replace")
    assert "Kernel panic - not syncing: sysrq triggered crash" in stored
    assert [one for one in tests["test_next"].get("attachments", []) if "ramoops" in one["pathname"]] == []
    (file,) = face.latest.glob("console/*test_crashes*.pstore/dmesg-ramoops-0")
    assert file.read_bytes().decode() == stored
    crashed = next(case for name, case in face.junit().items() if name.endswith("::test_crashes"))
    assert "a word that no console shows" in (crashed.findtext("system-out") or "")
    told = f"by the kernel that died in test_it.py::test_crashes[keeps]: {file.relative_to(face.latest)}"
    assert told in result.stdout.str()
    assert told in (face.latest / "report.html").read_text()


PC = """
    extends = "qemu-x86_64"
    [deploy]
    append = "console=ttyS0,115200 loglevel=5 sysrq_always_enabled {append}"
    {more}
"""
#: memory that is not the kernel's, which restarts by itself; and a store of the firmware's, in a file of this machine
RAMOOPS = """[login]
    commands = [
        "insmod /reed_solomon.ko",
        "insmod /ramoops.ko mem_address=0x8000000 mem_size=0x100000 record_size=0x10000 max_reason=2",
    ]
"""
ERST = """[power]
    arguments = [
        "-object", "memory-backend-file,id=erst,mem-path=erst.bin,size=0x10000,share=on",
        "-device", "acpi-erst,memdev=erst",
    ]
"""
LAST = """
    def test_last(shell):
        shell.check("echo '<7>a word that no console shows' >/dev/kmsg")
        shell.run("echo c >/proc/sysrq-trigger")
"""


@pytest.mark.parametrize(
    ("append", "more", "stored", "by"),
    [
        ("panic=1 memmap=1M$0x8000000", RAMOOPS, "ramoops", "restart of its own"),
        ("", ERST, "erst", "power cycle"),
    ],
    ids=["ramoops", "erst"],
)
def test_a_crash_in_the_last_test_is_told_too(face: Face, append: str, more: str, stored: str, by: str) -> None:
    """On a PC, where a panicked kernel answers no SysRq: the board boots once more, and only for this."""
    face.write(test_it=LAST)
    face.board("keeps", PC.format(append=append, more=more))
    added = []
    for name, content in debian_modules("ramoops", "reed_solomon", arch="x86_64").items():
        (face.path / f"{name}.ko").write_bytes(content)
        added.append(f"--file={name}.ko:/{name}.ko")
    result = face.run("--board=keeps", *added, "test_it.py", failed=1)
    (tests,) = [cases for name, cases in face.results().items() if name != "lava"]
    attached = [one for one in tests["test_last"]["attachments"] if f"-{stored}-" in one["pathname"]]
    said = "".join(base64.b64decode(one["content"]).decode(errors="replace") for one in attached)
    assert "a word that no console shows" in said
    (recovery,) = face.journal("recovery")
    assert (recovery["by"], recovery["before"]) == (by, "")
    assert len(face.journal("boot")) == 2
    assert "by the kernel that died in test_it.py::test_last[keeps]" in result.stdout.str()


def test_no_boot_behind_the_last_test_where_nothing_is_stored_or_nothing_is_to_be_recovered(face: Face) -> None:
    face.write(test_it=LAST)
    face.board("keeps", PC.format(append="", more=ERST))
    face.run("--board=qemu-x86_64", "test_it.py", failed=1)
    assert len(face.journal("boot")) == 1
    face.run("--board=keeps", "--recovery=none", "test_it.py", failed=1)
    assert len(face.journal("boot")) == 1
    assert face.journal("recovery") == []

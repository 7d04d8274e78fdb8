"""The suites that ship, on both kinds of emulated board, with two processors; and a kernel that dies under a suite."""

from __future__ import annotations

import pytest
from support.face import Face

from pytest_lava.config.paths import shipped

pytestmark = pytest.mark.emulated

#: what neither board has; all else has to be there
MISSING = {
    "boot.failed-units", "cpu.cpufreq", "memory.swap", "memory.ecc", "network.gateway", "storage.read-only",
    "storage.room", "kunit.load", "kunit.results",
}  # fmt: skip
HERE = {
    "qemu-arm64": {"modules.reload"},
    "qemu-x86_64": {"storage.block-devices", "storage.read"},
}
QUICK = ("--param=DURATION=1", "--param=MEGABYTES=4")


@pytest.mark.parametrize("board", sorted(HERE))
def test_all_that_ships_is_green(face: Face, board: str) -> None:
    suites = [f"--suite={file.stem}" for file in sorted(shipped("testsuites").glob("*.yaml"))]
    assert len(suites) == 10
    face.board("two", f'extends = "{board}"\n[power]\nsmp = 2\n')
    face.run(*suites, "--board=two", *QUICK, seconds=300)
    found = {
        f"{run}.{name}": case for run, cases in face.results().items() if run != "lava" for name, case in cases.items()
    }
    assert {name for name, case in found.items() if case["result"] not in ("pass", "skip")} == set()
    assert {name for name, case in found.items() if case["result"] == "skip"} - {"cpu.cpufreq"} == (
        MISSING | HERE[board]
    ) - {"cpu.cpufreq"}
    assert len(found) > 55
    assert "testsuites/smoke.yaml::shell" in {line["nodeid"] for line in face.journal()}
    assert 0 < found["boot.time-to-init"]["measurement"] < found["boot.time-to-shell"]["measurement"] < 100
    assert found["memory.installed.total"]["units"] == "kB"


KTAP = "printf 'KTAP version 1\\n1..3\\n    KTAP version 1\\n    # Subtest: sub\\n    1..2\\n    ok 1 one\\n'"


def test_cases_that_came_before_a_panic_count(face: Face) -> None:
    (face.path / "a.yaml").write_text(
        f"suite: a\ntests:\n  - name: noisy\n    parse: ktap\n    run: |\n      dmesg -n 8\n"
        "      echo KTAP version 1; echo 1..60; i=0\n      while [ $i -lt 60 ]; do\n"
        "        i=$((i + 1)); echo '<3>a word of the kernel' >/dev/kmsg; echo ok $i test $i\n      done\n"
        f"  - name: dies\n    parse: ktap\n    run: |\n      {KTAP}; sleep 1; echo c >/proc/sysrq-trigger; sleep 60\n"
        "  - {name: behind, run: 'true'}\n"
    )
    kunit = ["KTAP version 1", "1..2", "    KTAP version 1", "    # Subtest: list", "    1..2", "    ok 1 init",
             "    # read: EXPECTATION FAILED", "    not ok 2 read", "not ok 1 list", "ok 2 empty # SKIP"]  # fmt: skip
    (face.path / "b.yaml").write_text(
        "suite: b\nsetup: |\n" + "".join(f"  echo '<6>{line}' >/dev/kmsg\n" for line in kunit) + "tests:\n"
        "  - {name: alive, run: uname -m}\n  - {name: boot, kunit: boot}\n  - {name: debugfs, kunit: debugfs}\n"
    )
    face.snapshots = True
    face.run("a.yaml", "b.yaml", "--board=qemu-x86_64", "--kernel-messages=ignore")
    found = face.results()
    told = {name: case["result"] for name, case in found["a"].items() if not name.startswith("noisy")}
    assert told == {
        "dies.sub.one": "pass", "dies.sub.test-2": "fail", "dies.sub": "fail", "dies.test-2": "fail",
        "dies.test-3": "fail", "dies": "fail", "behind": "pass",
    }  # fmt: skip
    noisy = {name: case["result"] for name, case in found["a"].items() if name.startswith("noisy")}
    assert noisy == {"noisy": "pass", **{f"noisy.test_{number}": "pass" for number in range(1, 61)}}
    died = found["a"]["dies"]["attributes"]
    assert (died["error.class"], died["recovery"]) == ("KernelCrash", "snapshot")
    assert "evidence.txt" in {one["pathname"] for one in found["a"]["dies"]["attachments"]}
    (log,) = (line["slice"] for line in face.journal() if line["nodeid"] == "a.yaml::dies" and line.get("slice"))
    assert "end Kernel panic" in (face.latest / log).read_text()
    assert [(line["after"], line["by"]) for line in face.journal("recovery")] == [("a.yaml::dies", "snapshot")]
    assert {name: case["result"] for name, case in found["b"].items()} == {
        "alive": "pass", "boot.list.init": "pass", "boot.list.read": "fail", "boot.list": "fail", "boot.empty": "skip",
        "boot": "fail", "debugfs": "fail",
    }  # fmt: skip
    assert "the kernel needs CONFIG_KUNIT, CONFIG_KUNIT_DEBUGFS" in found["b"]["debugfs"]["message"]

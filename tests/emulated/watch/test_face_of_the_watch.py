"""What a user gets to see of the kernel's words: failures, attributes, traces, in a real run on a real kernel."""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.face import Face, properties

pytestmark = pytest.mark.emulated

BUSY = """
    import os, pathlib, time, pytest

    def test_computes(shell):
        shell.check("(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            sum(range(10000))
        pathlib.Path("computed").touch()
        if os.environ.get("CALLS"):
            shell.run("true")
            pathlib.Path("called").touch()

    def test_next(board, shell):
        assert board.boot_id == 2
"""
WARNING = "WARNING: CPU: 0 PID: 7 at mm/slub.c:1 here"
COMPLAINS = f"""
    import pytest

    CUT = "------------[ cut here ]------------"
    TRACE = [CUT, "{WARNING}", "Call trace:", " frame+0x1/0x2", "---[ end trace 0000000000000000 ]---"]

    def says(*lines):
        return "; ".join(f"echo '{{line}}' >/dev/kmsg" for line in lines)

    def test_warns(shell):
        shell.check("echo on >/proc/sys/kernel/printk_devkmsg; dmesg -n 8")
        shell.check(says(*TRACE))

    def test_is_fine(shell):
        shell.check("echo 'Kernel panic - not syncing'; dmesg")

    def test_runs_out_of_memory(shell):
        greedy = "tail /dev/zero & sleep 3; echo f >/proc/sysrq-trigger; wait $!"
        assert shell.run(greedy, timeout=60).returncode == 137

    def test_oopses_and_stalls(shell):
        shell.check(says("Internal error: Oops: 96000046 [#1] SMP", "Call trace:", "---[ end trace 0 ]---"))
        shell.check("sleep 1; " + says("INFO: task kworker/0:1:12 blocked for more than 120 seconds."))

    @pytest.mark.xfail(strict=False)
    def test_expected(shell):
        shell.check(says("WARNING: possible circular locking dependency detected"))
        assert False

    @pytest.fixture
    def late(shell):
        yield
        shell.check(says("BUG: workqueue lockup - pool cpus=0"))

    def test_at_its_end(late):
        pass
"""


def arrival(folder: Path, text: bytes) -> tuple[int, float]:
    """Where this stands in the console log, and when it came: seconds since 1970 by the index."""
    offset = (folder / "console.log").read_bytes().index(text)
    entries = struct.iter_unpack("<QQ", (folder / "console.idx").read_bytes())
    return offset, max(moment for moment, at in entries if at <= offset) / 1e9


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def results_of(face: Face) -> dict[str, dict[str, Any]]:
    """Results of the bundle by the test's name."""
    (tests,) = [cases for name, cases in face.results().items() if name != "lava"]
    return {name.partition("test_")[2]: case for name, case in tests.items()}


@pytest.mark.parametrize("calls", [False, True], ids=["teardown", "next-call"])
def test_panic_while_the_test_computes(face: Face, monkeypatch: pytest.MonkeyPatch, calls: bool) -> None:
    if calls:
        monkeypatch.setenv("CALLS", "1")
    face.write(test_it=BUSY)
    result = face.run("--board=qemu-arm64", "test_it.py", passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the kernel crashed: Kernel panic - not syncing: sysrq triggered crash*"])
    assert (face.path / "computed").exists()
    assert not (face.path / "called").exists()
    (line,) = [line for line in face.journal() if line["outcome"] == "failed"]
    assert (line["when"], line["error"]["type"], line["error"]["blame"]) == ("call", "KernelCrash", "job")
    assert "sysrq: Trigger a crash" in line["error"]["evidence"]
    assert "end Kernel panic" in line["error"]["evidence"]
    (message,) = line["kernel_messages"]
    offset, when = arrival(face.latest, b"Kernel panic - not syncing: sysrq triggered crash")
    assert message["console"][0] < offset < message["console"][1]
    assert (message["class"], message["name"]) == ("fatal", "panic")
    assert abs(seconds(message["time"]) - when) < 0.5  # seen at its line, seconds before anybody asked
    assert seconds(line["stop"]) - when > 3
    case = results_of(face)["computes"]
    assert case["result"] == "fail"
    assert "evidence.txt" in {one["pathname"] for one in case["attachments"]}


def test_complaints_are_noted_with_the_results(face: Face) -> None:
    face.write(test_it=COMPLAINS)
    result = face.run("--board=qemu-arm64", "test_it.py", passed=5, xfailed=1)
    assert result.ret == 0
    cases = results_of(face)
    told = {
        name: {key: value for key, value in case["attributes"].items() if key.startswith("kernel.")}
        for name, case in cases.items()
    }
    assert told["warns"] == {
        "kernel.warnings": "1",
        "kernel.messages": "warning",
        "kernel.first_message": WARNING,
    }
    assert told["is_fine"] == {}
    assert told["runs_out_of_memory"]["kernel.messages"] == "oom"
    assert "oom-killer" in told["runs_out_of_memory"]["kernel.first_message"]
    assert told["oopses_and_stalls"] == {
        "kernel.crashes": "1",
        "kernel.stalls": "1",
        "kernel.messages": "oops, hung-task",
        "kernel.first_message": "Internal error: Oops: 96000046 [#1] SMP",
    }
    assert told["expected"]["kernel.messages"] == "lockdep"
    assert told["at_its_end"] == {
        "kernel.stalls": "1",
        "kernel.messages": "workqueue-lockup",
        "kernel.first_message": "BUG: workqueue lockup - pool cpus=0",
    }
    assert "kernel-messages.txt" in {one["pathname"] for one in cases["warns"]["attachments"]}
    assert "kernel-messages.txt" not in {one["pathname"] for one in cases["is_fine"].get("attachments", [])}
    junit = {name.rpartition("::test_")[2]: case for name, case in face.junit().items()}
    assert properties(junit["warns"])["kernel.first_message"] == WARNING
    text = junit["warns"].findtext("system-out") or ""
    assert "frame+0x1/0x2" in text
    assert text.index("cut here") < text.index("end trace")
    assert "end trace" in (face.latest / "report.html").read_text()
    (oom,) = [line for line in face.journal() if "memory" in line["nodeid"] and line.get("kernel_messages")]
    trace = oom["kernel_messages"][0]["trace"]
    assert "Mem-Info:" in trace
    assert "Killed process" in trace.splitlines()[-1]


def test_complaints_fail_a_test_when_asked(face: Face) -> None:
    face.write(test_it=COMPLAINS)
    result = face.run("--board=qemu-arm64", "--kernel-messages=fail", "test_it.py", "-k", "not memory and not expected")
    result.assert_outcomes(passed=2, failed=2, errors=1)  # a test that passed, and then its teardown
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*the kernel complained: {WARNING}*"])
    failures = [line for line in face.journal() if line["outcome"] == "failed"]
    failed = {line["case"].removeprefix("test_"): line for line in failures}
    assert set(failed) == {"warns", "oopses_and_stalls", "at_its_end"}
    assert failed["oopses_and_stalls"]["message"].endswith("Oops: 96000046 [#1] SMP (and 1 more)")
    assert "frame+0x1/0x2" in failed["warns"]["error"]["evidence"]
    assert failed["warns"]["error"]["blame"] == "job"
    assert len(face.journal("boot")) == 1  # none of it costs a recovery


def test_complaints_are_ignored_when_asked(face: Face) -> None:
    face.write(test_it=COMPLAINS)
    face.run("--board=qemu-arm64", "--kernel-messages=ignore", "test_it.py", "-k", "warns", passed=1)
    assert not any("kernel_messages" in line for line in face.journal())


def test_users_and_plugins_add_to_what_is_looked_for(face: Face) -> None:
    face.write(
        conftest="""
            def lava_watch(table):
                table.add("myplugin", "warn", "myplugin: [0-9]+ lost", source="myplugin.c")
        """,
        test_it=f"""
            def test_says(shell):
                shell.check("echo on >/proc/sys/kernel/printk_devkmsg; dmesg -n 8")
                for said in ("myip: timeout", "myplugin: 7 lost", "{WARNING}"):
                    shell.check(f"echo '{{said}}' >/dev/kmsg")
        """,
    )
    face.board(
        "mine",
        'extends = "qemu-arm64"\n[watch]\nignore = ["warning"]\n'
        '[watch.patterns.myip]\nclass = "stall"\nregex = "myip: timeout"\n',
    )
    face.run("--board=mine", "test_it.py", passed=1)
    (messages,) = [line["kernel_messages"] for line in face.journal() if line.get("kernel_messages")]
    assert [(one["class"], one["name"]) for one in messages] == [("stall", "myip"), ("warn", "myplugin")]


def test_words_while_booting_belong_to_the_boot(face: Face) -> None:
    face.write(test_it="def test_boots(shell): shell.check('true')")
    face.board("mine", 'extends = "qemu-arm64"\n[watch.patterns.hello]\nclass = "warn"\nregex = "Run /init as init"\n')
    face.run("--board=mine", "--append=loglevel=8 ignore_loglevel", "test_it.py", passed=1)
    (boot,) = face.journal("boot")
    assert [one["name"] for one in boot["kernel_messages"]] == ["hello"]
    assert not any("kernel_messages" in line for line in face.journal())
    assert face.results()["lava"]["boot"]["attributes"]["kernel.messages"] == "hello"
    events = (face.latest / "events.jsonl").read_text()
    assert "while booting, the kernel said: Run /init as init process" in events


def test_wrong_patterns_are_told_before_a_board_is_touched(face: Face) -> None:
    face.write(test_it="def test_boots(shell): pass")
    face.board("mine", 'extends = "qemu-arm64"\n[watch]\nignore = ["hung-tsk"]\n')
    (said,) = [line for line in face.refused("--board=mine", "test_it.py") if "hung-tsk" in line]
    assert said.endswith("the watch has no pattern 'hung-tsk' to ignore; did you mean 'hung-task'?")

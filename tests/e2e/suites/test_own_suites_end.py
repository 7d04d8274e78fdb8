"""Suites of our own on a shell of this machine, whole runs: what is told, and what becomes of measurements."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.face import Face, properties
from support.kselftests import make_tree

ALL = r"""
suite: first
description: What there is.
params: {WORD: hello, OTHER: '2'}
setup: echo ready >$PLACE
teardown: rm $PLACE
tests:
  - {name: free, run: cat /proc/meminfo, measure: 'MemTotal: +(?P<value>\d+)', units: kB, min: 1000}
  - {name: low, run: echo 5 >&2, measure: '(\d+)', min: 10, units: MB}
  - {name: word, run: 'echo $WORD $OTHER; cat $PLACE', expect: ['^bye 2$', ^ready$]}
  - {name: skipped, run: 'echo no such thing; exit 77'}
  - {name: multi, run: "false\necho not reached"}
  - {name: needs, run: 'true', requires: {tools: nosuchtool}}
  - {name: elsewhere, run: 'true', requires: {arch: [arm, riscv64]}}
  - {name: slow, run: 'echo began; sleep 60', timeout: 0.5}
  - {name: two, run: echo a 1; echo b 2, measure: [{name: a, pattern: 'a (\d)'}, {name: b, pattern: 'b (\d)', max: 1}]}
  - name: nested
    parse: ktap
    run: |
      printf 'KTAP version 1\n1..3\n  KTAP version 1\n  # Subtest: sub\n  1..2\n  # words\n  ok 1 one\n'
      printf '  not ok 2 two # XFAIL later\nok 1 sub\nok 2 gone # SKIP no hardware\n'
"""


def test_each_case_is_a_result_with_its_measurement(face: Face, tmp_path: Path) -> None:
    (face.path / "first.yaml").write_text(ALL)
    given = ("--param", f"PLACE={tmp_path}/place", "--param", "WORD=bye")
    result = face.run("first.yaml", "--board=localhost", "-v", *given, passed=6, failed=7, skipped=4, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "first.yaml::nested::sub::one PASSED*",
            "first.yaml::nested::sub::two XFAIL*",
            "first.yaml::nested::test-3 FAILED*",
        ]
    )
    assert not (tmp_path / "place").exists()
    found = face.results()["first"]
    assert {name: case["result"] for name, case in found.items()} == {
        "free": "pass", "low": "fail", "word": "pass", "skipped": "skip", "multi": "fail", "needs": "skip",
        "elsewhere": "skip", "slow": "fail", "two.a": "pass", "two.b": "fail", "two": "pass", "nested.sub.one": "pass",
        "nested.sub.two": "skip", "nested.sub": "pass", "nested.gone": "skip", "nested.test-3": "fail",
        "nested": "fail",
    }  # fmt: skip
    assert (found["low"]["measurement"], found["low"]["units"], found["low"]["attributes"]["low"]) == (
        5.0,
        "MB",
        "10.0",
    )
    assert found["low"]["message"] == "5 MB is below the least that is allowed, 10 MB"
    assert found["slow"]["message"] == "it is over its limit of 0.5 s (timeout)"
    assert found["elsewhere"]["message"].startswith("it requires arm or riscv64, and this board is ")
    log = next(face.latest.glob("suites/*/stdout.log")).read_text().splitlines()
    for name, line in (
        ("word", "==== word: echo $WORD"),
        ("nested.sub.one", "  ok 1 one"),
        ("nested.gone", "ok 2 gone"),
    ):
        assert log[found[name]["log_lineno"] - 1].startswith(line)
    case = next(case for name, case in face.junit().items() if name.endswith("::low"))
    assert {name: properties(case)[name] for name in ("measurement", "units", "low")} == {
        "measurement": "5.0", "units": "MB", "low": "10.0",
    }  # fmt: skip
    assert "5 MB (at least 10)" in (face.latest / "report.html").read_text()


def test_only_what_is_asked_for_and_under_workers(face: Face) -> None:
    (face.path / "a.yaml").write_text("suite: a\ntests:\n  - {name: x, run: 'true'}\n  - {name: y, run: 'false'}\n")
    face.run("a.yaml::x", "--board=localhost", passed=2)
    face.run("a.yaml", "--suite=modules", "-n1", "--board=localhost", "-k", "not modules", passed=1, failed=2)
    assert set(face.results()) == {"a", "lava"}


def test_an_own_suite_of_that_name_comes_first(face: Face) -> None:
    (face.path / "testsuites").mkdir()
    (face.path / "testsuites/smoke.yaml").write_text("suite: mine\ntests:\n  - {name: x, run: 'true'}\n")
    assert "did you mean 'smoke'?" in face.refused("--suite=smok", "--board=localhost")[0]
    face.run("--suite=smoke", "--board=localhost", passed=2)
    assert "mine" in face.results()


def test_a_mistake_is_told_before_a_board_is_touched(face: Face) -> None:
    (face.path / "a.yaml").write_text("suite: a\ntests:\n  - {name: x, rum: 'true'}\n")
    (said,) = face.refused("a.yaml", "--board=localhost")
    assert "a.yaml:3: there is no key 'rum'; did you mean 'run'?" in said


def test_limits_setup_and_requirements_of_a_whole_suite(face: Face) -> None:
    rest = "tests:\n  - {name: x, run: 'sleep 60'}\n  - {name: y, run: 'true'}\n"
    for name, head in {
        "over": "", "unfit": "requires: {files: /no/such*}\nteardown: echo torn >>torn\n",
        "unset": "setup: echo no way; exit 3\nteardown: 'true'\n",
    }.items():  # fmt: skip
        (face.path / f"{name}.yaml").write_text(f"suite: {name}\n{head}{rest}")
    face.run("over.yaml", "unfit.yaml", "unset.yaml", "--board=localhost", "--suite-timeout=1")
    found = face.results()
    assert {case: one["message"] for case, one in found["unfit"].items()} == dict.fromkeys(
        "xy", "it requires /no/such*, which is not there"
    )
    over = "the suite is over its limit of 1 s (--suite-timeout)"
    assert [found["over"][name]["message"] for name in ("x", "y", "over")] == [over, f"it was not run: {over}", over]
    said = "the suite's setup returned 3: no way"
    assert [found["unset"][name]["message"] for name in ("x", "y", "unset")] == [*[f"it was not run: {said}"] * 2, said]


def test_a_suite_needs_a_board(face: Face) -> None:
    (face.path / "a.yaml").write_text("suite: a\ntests:\n  - {name: x, run: 'true'}\n")
    assert "a.yaml needs a board: add --board=NAME" in face.refused("a.yaml")[0]
    assert "no board was given" in face.refused("--suite=smoke")[0]


HANGS = {"net/hangs": "echo 'TAP version 13'; echo 1..2; echo 'ok 1 a'; sleep 60\n"}


def test_kselftest_programs_are_cases_below_their_collections(face: Face, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "kselftest", HANGS)
    (face.path / "k.yaml").write_text(
        f"suite: k\ntests:\n  - {{name: self, kselftest: {tree}, timeout: 1}}\n"
        f"  - {{name: one, kselftest: {tree}, tests: 'net:harness'}}\n  - {{name: none, kselftest: {tmp_path}}}\n"
    )
    face.run("k.yaml", "--board=localhost")
    found = face.results()["k"]
    assert {name: case["result"] for name, case in found.items()} == {
        "self.timers.posix_timers.virtual": "pass", "self.timers.posix_timers.prof": "fail",
        "self.timers.posix_timers.no_real_one": "skip", "self.timers.posix_timers": "fail", "self.timers.plain": "pass",
        "self.net.gro.sh": "skip", "self.net.harness.global.a": "pass", "self.net.harness": "pass",
        "self.futex.run.sh.requeue": "pass", "self.futex.run.sh.wait": "pass", "self.futex.run.sh.wake": "pass",
        "self.futex.run.sh": "pass", "self.kcmp.kcmp_test": "pass", "self.sync.sync_test": "skip",
        "self.net.hangs.a": "pass", "self.net.hangs.test-2": "fail", "self.net.hangs": "fail", "self": "fail",
        "one.net.harness.global.a": "pass", "one.net.harness": "pass", "one": "pass", "none": "fail",
    }  # fmt: skip
    assert found["self.net.hangs"]["message"] == "TIMEOUT 1 seconds"
    assert found["self.net.gro.sh"]["message"] == "needs a device"
    assert found["self.sync.sync_test"]["message"] == "no sync framework"
    assert found["self"]["message"] == "2 of 8 programs failed"
    assert "there is no installed kselftest tree in" in found["none"]["message"]


def test_limits_of_kselftest_programs(face: Face, tmp_path: Path) -> None:
    new, old = (make_tree(tmp_path / name, HANGS, old=name == "old") for name in ("new", "old"))
    (face.path / "k.yaml").write_text(
        f"suite: k\ntests:\n  - {{name: settings, kselftest: {new}, tests: 'net:hangs'}}\n"
        f"  - {{name: given, kselftest: {old}, tests: 'net:hangs', timeout: 1}}\n"
    )
    face.run("k.yaml", "--board=localhost")
    found = face.results()["k"]
    assert found["settings.net.hangs"]["message"] == "TIMEOUT 2 seconds"
    assert found["given.net.hangs"]["message"] == "it began, and gave no result: it is over its limit of 1 s (timeout)"


#: ends the shell that is the board: it leads the session
KILLS = "kill -9 $(cut -d' ' -f6 /proc/$$/stat); sleep 5"
DYING = f"""\
suite: a
setup: echo up >>ups
teardown: echo down >>ups
tests:
  - {{name: x, run: 'true'}}
  - name: y
    run: {KILLS}
  - name: needy
    requires:
      check: {KILLS}
    run: 'true'
  - {{name: z, run: 'wc -l <ups', measure: '(\\d+)'}}
"""


def test_a_shell_that_dies_costs_its_test_and_one_recovery(face: Face) -> None:
    (face.path / "a.yaml").write_text(DYING)
    face.run("a.yaml", "--board=localhost", passed=2, failed=3)
    found = face.results()["a"]
    assert {name: case["result"] for name, case in found.items()} == {
        "x": "pass", "y": "fail", "needy": "fail", "z": "pass",
    }  # fmt: skip
    assert found["y"]["attributes"]["error.class"] == "BoardEnded"
    assert found["z"]["measurement"] == 3
    assert (face.path / "ups").read_text() == "up\nup\nup\ndown\n"
    told = [(line["after"], line["before"], line["worked"]) for line in face.journal("recovery")]
    assert told == [(f"a.yaml::{name}", "a.yaml::a[localhost]", True) for name in ("y", "needy")]


def test_a_death_under_a_case_that_nobody_asked_for_is_the_suites(face: Face) -> None:
    (face.path / "a.yaml").write_text(DYING)
    face.run("a.yaml::z", "--board=localhost", passed=2)
    assert [line["after"] for line in face.journal("recovery")] == ["a.yaml::a[localhost]"] * 2


@pytest.mark.parametrize("given", ["--recovery=none", "--recovery=redeploy"])
def test_a_board_that_stays_dead_skips_the_rest(face: Face, given: str) -> None:
    face.board("mortal", f"extends = 'localhost'\nconsole = 'exec:sh -c \"test -e {face.path}/ups || exec sh -i\"'\n")
    (face.path / "a.yaml").write_text(DYING)
    face.run("a.yaml", "--board=mortal", given)
    found = face.results()["a"]
    assert {name: case["result"] for name, case in found.items()} == {
        "x": "pass", "y": "fail", "needy": "skip", "z": "skip", "a": "fail",
    }  # fmt: skip
    assert found["z"]["message"].startswith("it was not run: the shell that is the board has ended")
    assert (face.path / "ups").read_text() == "up\n"
    lost = [line["nodeid"] for line in face.journal() if line["nodeid"].startswith("recovery::")]
    assert bool(lost) == (given != "--recovery=none")


def test_a_setup_that_kills_the_board_ends_its_suite(face: Face) -> None:
    tests = DYING.partition("down >>ups\n")[2]
    (face.path / "a.yaml").write_text(
        f"suite: a\nsetup: |\n  echo up >>ups\n  test $(wc -l <ups) = 1 || {{ {KILLS}; }}\n{tests}"
    )
    face.run("a.yaml", "--board=localhost")
    found = face.results()["a"]
    assert {name: case["result"] for name, case in found.items()} == {
        "x": "pass", "y": "fail", "needy": "skip", "z": "skip", "a": "fail",
    }  # fmt: skip
    assert (face.path / "ups").read_text() == "up\n" * 2


def test_a_kselftest_program_that_kills_the_board_costs_itself(face: Face, tmp_path: Path) -> None:
    kills = f"echo 'TAP version 13'; echo 1..2; echo 'ok 1 a'; sleep 0.5; {KILLS}\n"
    tree = make_tree(tmp_path / "kselftest", {"net/kills": kills, "net/later": "echo later\n"})
    (face.path / "k.yaml").write_text(
        f"suite: k\ntests:\n  - {{name: self, kselftest: {tree}, collections: net, timeout: 20}}\n"
        "  - {name: z, run: 'true'}\n"
    )
    face.run("k.yaml", "--board=localhost")
    found = face.results()["k"]
    assert {name: case["result"] for name, case in found.items()} == {
        "self.net.gro.sh": "skip", "self.net.harness.global.a": "pass", "self.net.harness": "pass",
        "self.net.kills.a": "pass", "self.net.kills.test-2": "fail", "self.net.kills": "fail",
        "self.net.later": "pass", "self": "fail", "z": "pass",
    }  # fmt: skip
    assert found["self"]["message"] == "1 of 4 programs failed"
    assert found["self.net.kills"]["attributes"]["error.class"] == "BoardEnded"
    assert [line["after"] for line in face.journal("recovery")] == ["k.yaml::self::net::kills"]


def test_nothing_of_a_suite_stays(face: Face) -> None:
    mark = f"31.{os.getpid()}"
    (face.path / "a.yaml").write_text(f"suite: a\ntests:\n  - {{name: x, run: 'sleep {mark} & sleep 0.1'}}\n")
    face.run("a.yaml", "--board=localhost", passed=2)
    assert not running(mark)
    (face.path / "b.yaml").write_text(f"suite: b\ntests:\n  - {{name: x, run: 'sleep {mark} & sleep {mark}1'}}\n")
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "b.yaml", "--board=localhost"],
        cwd=face.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    limit = time.monotonic() + 30
    while not running(mark) and time.monotonic() < limit:
        time.sleep(0.05)
    assert running(mark)
    run.send_signal(signal.SIGINT)
    run.wait(30)
    assert not running(mark)


def running(mark: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        found += [str(file)] if words[0] == b"sleep" and words[1].startswith(mark.encode()) else []
    return found


MEASURING = """
import pytest

def test_free(shell, record_measurement):
    assert record_measurement("free", 12.5, "MB", low=1, high=20)
    assert not record_measurement("free", 25, "MB", low=1, high=20)
    record_measurement("boot", 2, "s")

def test_dies(shell, record_measurement):
    record_measurement("before", 7, "W")
    raise RuntimeError("x")

def test_wrong(record_measurement):
    for value in ("1", True, None):
        with pytest.raises(TypeError):
            record_measurement("x", value)
    for keys in ({"low": 3, "high": 2}, {"high": float("nan")}):
        with pytest.raises(ValueError):
            record_measurement("x", 1, **keys)
    with pytest.raises(ValueError):
        record_measurement("x\\n", 1)
"""


def test_numbers_of_python_tests_are_results(face: Face) -> None:
    face.write(test_m=MEASURING)
    result = face.run("test_m.py", "--board=localhost", "-n1", passed=1, failed=2)
    result.stdout.fnmatch_lines(["free#2: 25 MB is above the most that is allowed, 20 MB"])
    runs = face.results()
    found = next(run for run in runs.values() if "test_free" in run)
    assert {name: (case["result"], case.get("measurement"), case.get("units")) for name, case in found.items()} == {
        "test_free": ("fail", None, None), "test_free.free": ("pass", 12.5, "MB"),
        "test_free.free_2": ("fail", 25, "MB"), "test_free.boot": ("pass", 2, "s"),
        "test_dies": ("fail", None, None), "test_dies.before": ("pass", 7, "W"),
    }  # fmt: skip
    assert found["test_free.free_2"]["attributes"]["high"] == "20.0"
    case = next(case for name, case in face.junit().items() if name.endswith("::test_free"))
    assert properties(case)["measurement.free"] == "12.5"
    assert "free#2: 25 MB (at least 1, at most 20)" in (face.latest / "report.html").read_text()


def test_numbers_need_no_board(face: Face) -> None:
    face.write(test_m=MEASURING.replace("shell, ", ""))
    result = face.here("test_m.py")
    result.assert_outcomes(passed=1, failed=2)
    assert face.untouched

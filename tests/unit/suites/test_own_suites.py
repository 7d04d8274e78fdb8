"""Suites of our own: what a file may say, what is wrong in it and where, and what an output comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.config.paths import shipped
from pytest_lava.errors import ConfigurationError
from pytest_lava.suites.kselftest import KselftestTree, explained
from pytest_lava.suites.load import load
from pytest_lava.suites.own import OwnSuite
from pytest_lava.suites.own_judging import Judgement, judge
from pytest_lava.suites.own_model import TestModel
from pytest_lava.suites.parsing import ParsedCase

GOOD = "suite: one\ntests:\n  - name: first\n    run: 'true'\n"


def suite(folder: Path, text: str) -> OwnSuite:
    file = folder / "s.yaml"
    file.write_text(text)
    (found,) = load(file)
    assert isinstance(found, OwnSuite)
    return found


def test_what_is_short_is_whole(tmp_path: Path) -> None:
    found = suite(
        tmp_path, GOOD + "  - {name: 2, run: true, timeout: 3, requires: {tools: dd}, expect: a, status: 1}\n"
    )
    first, second = found.model.tests
    assert (found.name, first.name, first.run, second.name, second.run) == ("one", "first", "true", "2", "true")
    assert (second.requires.tools, second.expect, second.status) == (("dd",), ("a",), (1,))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    expct: x\n", "s.yaml:5: there is no key 'expct'; did you mean 'expect'?"),
        ("    requires: {tool: dd}\n", "s.yaml:5: there is no key 'tool'; did you mean 'tools'?"),
        ("    timeout: soon\n", "s.yaml:5: tests.1.timeout: write a number, got 'soon'"),
        ("    timeout: 0\n", "s.yaml:5: tests.1.timeout: write a number above 0, got 0"),
        ("    expect: '('\n", "s.yaml:5: tests.1.expect.1: this is no regular expression: missing ), unterminated sub"),
        ("    measure: 'x \\d+'\n", "s.yaml:5: tests.1.measure.1: the pattern has no group for the number"),
        ("    measure: '(\\d+)'\n    min: 5\n    max: 4\n", "min 5 is above max 4"),
        ("    min: 5\n", "units, min and max belong to the one pattern of 'measure'"),
        ("    measure: ['(a)', '(b)']\n", "several measurements need a name each"),
        ("    parse: ktab\n", "tests.1.parse.format: "),
        ("    parse: 'a (b)'\n", "the pattern needs the groups (?P<test_case_id>...) and (?P<result>...)"),
        ("    kunit: boot\n", "'first' has to have one of 'run', 'kselftest' and 'kunit'"),
        ("    collections: net\n", "'collections' is for tests with 'kselftest'"),
        ("  - name: first\n    run: x\n", "two tests have the name 'first'"),
        ("  - run: x\n", "s.yaml:5: the key 'tests.2.name' is missing"),
        ("  - {name: 'a::b', run: x}\n", "a name has 1 to 100 characters, no brackets and no '::'"),
        ("params: {1x: y}\n", "'1x' is no name of a shell variable"),
        ("parms: {x: y}\n", "s.yaml:5: there is no key 'parms'; did you mean 'params'?"),
        ("    status: 999\n", "write a number of at most 255, got 999"),
        ("    run: again\n", "s.yaml:5: the key 'run' stands there twice: leave one out"),
        ("    units: [a]\n", "tests.1.units: this has to be a text: put it into quotes"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        suite(tmp_path, GOOD + more)
    assert said in str(raised.value), str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path}/s.yaml:")


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        suite(
            tmp_path,
            "suite: x\ntests:\n  - {name: a}\n  - {name: b, run: x, wrong: y}\n  - {name: c, run: x, timeout: no}\n",
        )
    assert [line.split(":")[1] for line in str(raised.value).splitlines()] == ["3", "4", "5"]


@pytest.mark.parametrize(
    "text", ["suite: x\n", "suite: x\ntests: []\n", "tests:\n  - a\n", "suite: x\ntests: {a: b}\n"]
)
def test_no_suite(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"s\.yaml:\d"):
        suite(tmp_path, text)


def test_what_ships_is_valid() -> None:
    files = sorted(shipped("testsuites").glob("*.yaml"))
    assert [file.stem for file in files] == [
        "boot", "cpu", "kunit", "memory", "modules", "network", "rtc", "smoke", "storage", "stress",
    ]  # fmt: skip
    for file in files:
        (found,) = load(file)
        assert isinstance(found, OwnSuite)
        assert found.name == file.stem
        assert found.model.description


def judged(output: str, returned: int = 0, **keys: object) -> Judgement:
    return judge(TestModel.model_validate({"name": "t", "run": "x", **keys}), returned, output)


def test_status_expect_and_reject() -> None:
    assert judged("").result == "pass"
    assert judged("", 3).reason == "it returned 3"
    assert judged("", 127).reason == "it returned 127 (a program is missing)"
    assert judged("", 0, status=[1, 2]).reason == "it returned 0, and not 1 or 2"
    assert judged("", 1, status=[1, 2]).result == "pass"
    assert judged("a\nb\n", expect=["^a$", "^b$"]).result == "pass"
    assert judged("a\n", expect=["^a$", "^b$"]).reason == "nothing it wrote matches '^b$'"
    assert (
        judged("x\nBUG: 1\nBUG: 2\n", reject="BUG:").reason == "it wrote what matches 'BUG:': BUG: 1 and 1 lines more"
    )
    assert judged("no RTC here\n", 77) == Judgement("skip", "no RTC here")
    assert judged("", 77, status=77).result == "pass"


def test_measurements() -> None:
    (found,) = judged("5\n7 MB\n", measure=r"(?P<value>\d+)", units="MB", min=7, max=7).measured
    assert (found.value, found.units, found.result) == (7.0, "MB", "pass")
    low = judged("5\n", measure=r"(\d+)", units="MB", min=6)
    assert (low.result, low.reason) == ("fail", "5 MB is below the least that is allowed, 6 MB")
    assert judged("5.5\n", measure=r"([\d.]+)", max=5).reason == "5.5 is above the most that is allowed, 5"
    assert judged("x\n", measure=r"(\d+)").reason == r"there is no measurement: nothing it wrote matches '(\\d+)'"
    assert judged("1.2.3\n", measure=r"([\d.]+)").reason == "the measurement '1.2.3' is no number"
    several = judged("a 1\nb 9\n", measure=[{"name": n, "pattern": f"{n} (\\d)", "max": 5} for n in "ab"])
    assert (several.result, [one.result for one in several.measured]) == ("pass", ["pass", "fail"])


LISTED = "timers:posix_timers\ntimers:rtcpie\nnet/mptcp:gro.sh\nsize:get_size\ntimers:rtcpie\n"
#: what 'grep ^timeout= /dev/null net/settings ...' and the look into run_kselftest.sh print
LIMITS = "timers/settings:timeout=0\nnet/mptcp/settings:timeout=1800\nrun_kselftest.sh takes a limit\n"


def test_programs_of_a_kselftest_tree() -> None:
    tree = KselftestTree.read("/opt/kselftest", LISTED + LIMITS)
    assert tree.chosen((), (), ())[0] == LISTED.split()[:4]
    assert tree.chosen(("timers",), ("net/mptcp:gro.sh",), ("timers:rtcpie",)) == (
        ["timers:posix_timers", "net/mptcp:gro.sh"], "",
    )  # fmt: skip
    assert tree.chosen(("timer",), (), ())[1] == "the tree has no collection 'timer'; it has net/mptcp, size, timers"
    assert "no test 'net:x'" in tree.chosen((), ("net:x",), ())[1]
    none = KselftestTree.read("/opt/kselftest", "sh: cd: no such folder\n")
    assert "no installed kselftest tree in /opt/kselftest" in none.chosen((), (), ())[1]


def test_limits_of_kselftest_programs() -> None:
    new, old = (KselftestTree.read("/k", LISTED + limits) for limits in (LIMITS, LIMITS[: LIMITS.index("run_")]))
    limits = [new.seconds(one) for one in ("timers:rtcpie", "net/mptcp:gro.sh", "size:get_size")]
    assert limits == [None, 1800, 45]
    assert "./run_kselftest.sh -o 3 -t size:get_size " in new.command("size:get_size", 2.5)
    assert "./run_kselftest.sh -t size:get_size " in new.command("size:get_size", None)
    assert "./run_kselftest.sh -t size:get_size " in old.command("size:get_size", 2.5)


@pytest.mark.parametrize(
    ("result", "output", "reason"),
    [
        ("skip", "# needs a device\n# \n", "needs a device"), ("skip", "", ""), ("pass", "words\n", ""),
        ("skip", "#\n", ""),
    ],
)  # fmt: skip
def test_a_skipped_program_says_why(result: str, output: str, reason: str) -> None:
    assert explained(ParsedCase(("net", "gro.sh"), result, output=output)).reason == reason

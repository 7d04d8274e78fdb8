"""KTAP and TAP: documents from the kernel's own tools, documents that are made and read again, and anything at all."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.soak import SOAK

from pytest_lava.suites.ktap import KtapParser
from pytest_lava.suites.parsing import ParsedCase


def read(text: str, why: str = "") -> tuple[list[ParsedCase], KtapParser]:
    found: list[ParsedCase] = []
    parser = KtapParser(found.append)
    for line in text.removesuffix("\n").split("\n"):
        parser.feed(line)
    parser.finish(why)
    assert parser.cases == len(found)
    assert parser.failed == sum(case.result == "fail" for case in found)
    return found, parser


def told(text: str) -> dict[str, str]:
    found, _ = read(textwrap.dedent(text))
    names = ["::".join(case.path) for case in found]
    assert len(set(names)) == len(names)
    return {name: case.result for name, case in zip(names, found, strict=True)}


def test_nested_as_the_kernels_documentation_has_it() -> None:
    text = """\
        KTAP version 1
        1..1
          KTAP version 1
          1..3
            KTAP version 1
            1..1
            # test_1: initializing test_1
            ok 1 test_1
          ok 1 example_test_1
            KTAP version 1
            1..2
            ok 1 test_1 # SKIP test_1 skipped
            ok 2 test_2
          ok 2 example_test_2
            KTAP version 1
            1..3
            ok 1 test_1
            # test_2: FAIL
            not ok 2 test_2
            ok 3 test_3 # SKIP test_3 skipped
          not ok 3 example_test_3
        not ok 1 main_test
        """
    assert told(text) == {
        "main_test::example_test_1::test_1": "pass", "main_test::example_test_1": "pass",
        "main_test::example_test_2::test_1": "skip", "main_test::example_test_2::test_2": "pass",
        "main_test::example_test_2": "pass", "main_test::example_test_3::test_1": "pass",
        "main_test::example_test_3::test_2": "fail", "main_test::example_test_3::test_3": "skip",
        "main_test::example_test_3": "fail", "main_test": "fail",
    }  # fmt: skip
    found, parser = read(textwrap.dedent(text))
    assert (found[0].line, found[0].output.strip()) == (8, "# test_1: initializing test_1")
    assert (found[2].reason, found[2].directive) == ("test_1 skipped", "SKIP")
    assert parser.remarks == []


def test_kselftest_prefixes_the_output_of_its_programs() -> None:
    text = """\
        TAP version 13
        1..3
        # timeout set to 45
        # selftests: net: gro
        # TAP version 13
        # 1..3
        # #  RUN           gro.tcp ...
        # ok 1 gro.tcp
        # ok 2 # SKIP gro.ipv6 has no device
        # not ok 3 gro.udp # XFAIL known
        # # Totals: pass:1 fail:0 xfail:1 xpass:0 skip:1 error:0
        ok 1 selftests: net: gro
        # selftests: net: slow.sh
        # some words
        #
        not ok 2 selftests: net: slow.sh # TIMEOUT 45 seconds
        # selftests: net: none
        ok 3 selftests: net: none # SKIP
        """
    assert told(text) == {
        "net::gro::gro.tcp": "pass", "net::gro::gro.ipv6 has no device": "skip", "net::gro::gro.udp": "xfail",
        "net::gro": "pass", "net::slow.sh": "fail", "net::none": "skip",
    }  # fmt: skip
    found, _ = read(textwrap.dedent(text))
    assert found[4].reason == "TIMEOUT 45 seconds"
    assert "some words" in found[4].output


def test_results_of_announced_tests_are_told_at_once() -> None:
    found: list[ParsedCase] = []
    parser = KtapParser(found.append)
    for line in ("KTAP version 1", "1..1", "    KTAP version 1", "    # Subtest: suite", "    1..2", "    ok 1 first"):
        parser.feed(line)
    assert [case.path for case in found] == [("suite", "first")]


@pytest.mark.parametrize("stamp", ["[    0.060000] ", "[    0.060000][    T1] ", "<6>[    1.123456] "])
def test_kunit_in_the_log_of_a_boot(stamp: str) -> None:
    lines = [
        "printk: console [mc-1] enabled", "TAP version 14", "1..2", "\t# Subtest: resource", "\t1..2",
        "\tok 1 - init", "kAFS: Red Hat AFS client v0.1 registering.", " foo bar \t# non-kunit output",
        "\tnot ok 2 - alloc", "not ok 1 - resource", "    # Subtest: example", "    1..1", "    # x: initializing",
        "    ok 1 - simple", "ok 2 - example", "Kernel panic - not syncing: VFS: Unable to mount root fs",
    ]  # fmt: skip
    text = "\n".join(stamp + line for line in lines).replace(f"{stamp}\tok 1", f"ok 7 of a program\n{stamp}\tok 1")
    assert told(text) == {
        "resource::init": "pass", "resource::alloc": "fail", "resource": "fail", "example::simple": "pass",
        "example": "pass",
    }  # fmt: skip
    found, _ = read(text)
    assert "kAFS: Red Hat" in found[1].output


def test_what_began_or_was_planned_and_did_not_come_has_failed() -> None:
    text = "KTAP version 1\n1..4\nok 1 a\n    KTAP version 1\n    # Subtest: b\n    1..3\n    ok 1 c\n    words\n"
    found, parser = read(text, "the kernel crashed")
    assert {"::".join(case.path): case.result for case in found} == {
        "a": "pass", "b::c": "pass", "b::test-2": "fail", "b::test-3": "fail", "b": "fail", "test-3": "fail",
        "test-4": "fail",
    }  # fmt: skip
    assert found[2].reason == "it did not run: 3 tests were planned, and 1 came: the kernel crashed"
    assert (found[4].reason, found[4].output) == ("it began, and gave no result: the kernel crashed", "    words")
    assert parser.remarks == [
        "b: 1 results where 3 were planned",
        "the outermost tests: 2 results where 4 were planned",
    ]


def test_numbers_that_are_missing_or_too_many() -> None:
    assert told("1..3\nok 1 a\nok 3 c\n") == {"a": "pass", "c": "pass", "test-2": "fail"}
    found, parser = read("1..1\nok 1 a\nok 2 b\n")
    assert [case.result for case in found] == ["pass", "pass"]
    assert parser.remarks == ["the outermost tests: 2 results where 1 were planned"]
    assert read("1..2\nok 2 a\nok 2 b\n")[1].remarks == ["line 2: test number 2 where 1 was due"]
    found, _ = read("1..999999999\n")
    assert len(found) == 1001
    assert found[-1].reason == "999998999 more did not run"


def test_tap_of_other_programs() -> None:
    text = """\
        TAP version 14
        ok - unnumbered
        not ok 2 - later # TODO not written
          ---
          message: 'what ok 3 is'
          ...
        ok 3 # SKIP no such device
        ok 4 - with \\# hash # time=3ms
        # Subtest: outer
            # Subtest: inner
                ok 1 - a
                1..1
            ok 1 - inner
            1..1
        ok 5 - outer
        ok 6 - todo that passes # todo
        1..6
        """
    assert told(text) == {
        "unnumbered": "pass", "later": "xfail", "no such device": "skip", "with # hash": "pass",
        "outer::inner::a": "pass", "outer::inner": "pass", "outer": "pass", "todo that passes": "pass",
    }  # fmt: skip
    found, _ = read(textwrap.dedent(text))
    assert "what ok 3 is" in found[1].output


def test_bail_out_and_plans_without_tests() -> None:
    found, parser = read("TAP version 13\n1..2\nok 1 a\nBail out! the disk is full\n")
    assert parser.bailed == "the disk is full"
    assert found[1].reason.endswith("1 came: Bail out! the disk is full")
    assert read("1..0 # SKIP needs a GPU\n")[1].skipped == "needs a GPU"
    nested = "1..1\n# selftests: a: b\n# 1..2\n# ok 1 x\n# Bail out! y\nnot ok 1 selftests: a: b # exit=1\n"
    found, parser = read(nested)
    assert parser.bailed is None
    assert [case.result for case in found] == ["pass", "fail", "fail"]


def test_several_programs_one_behind_the_other() -> None:
    one = "TAP version 13\n1..2\nok 1 a\n"
    assert [case.path[0] for case in read(one + one.replace("a", "b"))[0]] == ["a", "test-2", "b", "test-2"]


def test_what_is_no_ktap() -> None:
    found, parser = read("hello\nok then\nnot ok\n1..\nokay 1 x\n# a comment\n   ok\n")
    assert (found, parser.said) == ([], False)


def test_names_fit_into_node_ids() -> None:
    found, _ = read("1..2\nok 1 a::b [c]\x07\nok 2 " + "x" * 500 + "\n")
    assert [case.path for case in found] == [("a.b (c)",), ("x" * 197 + "...",)]


# -- made and read again ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A test of a document."""

    name: str
    good: bool
    directive: str
    below: tuple[Node, ...] = ()


NAMES = st.from_regex(r"[a-zA-Zäß_][\w.äß]{0,12}( \w{1,8}){0,2}", fullmatch=True).map(
    lambda text: " ".join(text.split())
)
LEAVES = st.builds(Node, NAMES, st.booleans(), st.sampled_from(["", "SKIP", "XFAIL", "TODO", "TIMEOUT"]))
NODES = st.recursive(
    LEAVES, lambda inner: st.builds(Node, NAMES, st.booleans(), st.just(""), st.lists(inner, max_size=4).map(tuple))
)
NOISE = [
    "random words", "# a diagnostic", "      indented", "ok", "1..x", "# SKIP me", "not okay 3", "---", "KTAP",
    "okay 1 x", "Bail", "[<6016f7db>] ? kunit_try_run_case+0xab/0xf0", "#", "",
]  # fmt: skip
STYLES = {"ktap": ("  ", False), "kunit": ("    ", True), "tabs": ("\t", True), "kselftest": ("# ", False)}


def write(tests: Sequence[Node], unit: str, announced: bool, depth: int = 0, name: str = "") -> list[str]:
    lines = ["KTAP version 1"]
    if announced and name:
        lines.append(f"# Subtest: {name}")
    lines.append(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        if test.below:
            lines += [unit + line for line in write(test.below, unit, announced, depth + 1, test.name)]
        remark = f" # {test.directive} for a reason" if test.directive else ""
        lines.append(f"{'ok' if test.good else 'not ok'} {number} {test.name}{remark}")
    return lines


def expected(tests: Sequence[Node], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    found = []
    for test in tests:
        path = (*above, test.name)
        found += expected(test.below, path)
        plain = "pass" if test.good else "fail"
        special = {"SKIP": "skip", "XFAIL": "xfail", "TODO": "pass" if test.good else "xfail"}
        found.append((path, special.get(test.directive, plain)))
    return found


@settings(max_examples=500 if SOAK else 40, deadline=None)
@given(tests=st.lists(NODES, min_size=1, max_size=5), style=st.sampled_from(sorted(STYLES)), data=st.data())
def test_what_is_written_is_read(tests: list[Node], style: str, data: st.DataObject) -> None:
    lines = write(tests, *STYLES[style])
    for _ in range(data.draw(st.integers(0, 6))):
        lines.insert(data.draw(st.integers(0, len(lines))), data.draw(st.sampled_from(NOISE)))
    if data.draw(st.booleans()):
        lines = [f"[{number / 1000:12.6f}] {line}" for number, line in enumerate(lines)]
        lines.insert(data.draw(st.integers(0, len(lines))), "a program's line")
    found, parser = read("\n".join(lines))
    assert [(case.path, case.result) for case in found] == expected(tests)
    assert parser.remarks == []


@settings(max_examples=300 if SOAK else 25, deadline=None)
@given(tests=st.lists(NODES, min_size=1, max_size=5), style=st.sampled_from(["kunit", "tabs"]), data=st.data())
def test_what_is_cut_has_all_that_came_and_fails(tests: list[Node], style: str, data: st.DataObject) -> None:
    lines = write(tests, *STYLES[style])
    kept = lines[: data.draw(st.integers(2, len(lines) - 1))]
    found, _ = read("\n".join(kept))
    came = [case for case in found if case.line is not None]
    results = [line for line in kept if line.lstrip().startswith(("ok ", "not ok "))]
    assert len(came) == len(results)
    whole = expected(tests)
    assert all((case.path, case.result) in whole for case in came)
    assert any(case.result == "fail" and case.line is None for case in found)


PIECES = st.sampled_from(
    [
        "ok", "not ok", " ", "  ", "    ", "\t", "# ", "#", "1", "2", " 99999999999", "- ", "KTAP version 1",
        "TAP version 13", "1..3", "1..0", "1..999999999", " # SKIP", " # TODO x", "Bail out!", "---", "...",
        "# Subtest: s", "selftests: a: b", "\x1b[31m", "[    0.100000] ", "[    0.1] ", "<6>", "\r", "\x00", "x", "::",
        "[y]", "\\#", "ß",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.lists(PIECES, max_size=6).map("".join), st.text(max_size=30)), max_size=40))
def test_anything_at_all(lines: list[str]) -> None:
    found, parser = read("\n".join(lines), "it was cut")
    for case in found:
        assert case.path
        assert all(part.strip() and "::" not in part and "[" not in part for part in case.path), case.path
        assert case.result in ("pass", "fail", "skip", "xfail")
    assert len(parser.remarks) <= 20


def test_memory_is_bounded() -> None:
    """Subtests without end whose test has no name, lines without end, levels without end."""
    count = 0

    def tell(case: ParsedCase) -> None:
        nonlocal count
        count += 1

    parser = KtapParser(tell)
    parser.feed("KTAP version 1")
    for number in range(1, 70_001):
        parser.feed(f"  ok {number} a test of many")
    assert count > 60_000  # told though the name of their test never came
    for depth in range(200):
        parser.feed("  " * depth + "ok 1 deep")
    parser.feed("x" * 10_000_000)
    parser.finish()
    assert count >= 70_000

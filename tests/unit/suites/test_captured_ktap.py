"""KUnit and kselftest as a real kernel printed them: each result line is a case, with what it says and no other."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_lava.suites.kselftest import explained
from pytest_lava.suites.ktap import KtapParser
from pytest_lava.suites.parsing import ParsedCase

CAPTURED = Path(__file__).parent / "captured"
#: a result line, whatever stands before it
RESULT = re.compile(r"(?m)^(?:\[ *[\d.]+\])?(?: |# )*(not )?ok \d+")


def read(name: str) -> tuple[dict[str, ParsedCase], KtapParser, list[str]]:
    """The cases in a file by their names, who read them, and ``not `` or nothing for each line that is a result."""
    text = (CAPTURED / name).read_text()
    found: list[ParsedCase] = []
    parser = KtapParser(lambda case: found.append(explained(case)))
    for line in text.splitlines():
        parser.feed(line)
    parser.finish()
    cases = {"::".join(case.path): case for case in found}
    assert len(cases) == len(found)
    return cases, parser, RESULT.findall(text)


def test_a_boot_with_kunit() -> None:
    cases, parser, lines = read("kunit-boot-6.12.txt")
    assert (len(cases), parser.failed, parser.remarks) == (len(lines), 0, [])
    assert len(lines) == 94
    assert {name for name, case in cases.items() if case.result == "skip"} == {
        "example::example_skip_test", "example::example_mark_skipped_test",
        "example::example_params_test::example value 3", "example::example_params_test::example value 0",
    }  # fmt: skip
    assert cases["example::example_params_test::example value 0"].reason == "unsupported param value 0"
    fault = cases["kunit_fault::kunit_test_fault_null_dereference"]  # an oops that the test expects
    assert fault.result == "pass"
    assert "BUG: kernel NULL pointer dereference" in fault.output
    assert "try faulted: last line seen lib/kunit/kunit-test.c:95" in fault.output
    assert all(len(case.path) <= 3 for case in cases.values())


def test_kunit_in_debugfs_is_one_document_a_suite() -> None:
    cases, parser, lines = read("kunit-debugfs-6.12.txt")
    assert (len(cases), parser.failed, parser.remarks) == (len(lines), 0, [])
    assert len(lines) == 177
    suites = {name for name, case in cases.items() if len(case.path) == 1}
    assert len(suites) == 20
    assert {"bits-test", "hashtable", "list-kunit-test"} < suites


def test_kselftest_programs() -> None:
    cases, parser, lines = read("kselftest-6.12.txt")
    told = [name for name in cases if not re.search(r"::test-\d+$", name)]
    assert len(told) == len(lines)
    assert {name: (case.result, case.reason) for name, case in cases.items() if len(case.path) == 2} == {
        "kcmp::kcmp_test": ("pass", ""), "sigaltstack::sas": ("pass", ""),
        "lib::printf.sh": ("skip", "printf: module test_printf is not found [SKIP]"),
        "sync::sync_test": ("skip", "Sync framework not supported by kernel"),
        "membarrier::membarrier_test_single_thread": ("fail", "exit=1"), "futex::run.sh": ("pass", ""),
        "proc::proc-2-is-kthread": ("fail", "exit=134"), "ptrace::vmaccess": ("fail", "exit=1"),
        "core::unshare_test": ("pass", ""),
    }  # fmt: skip
    # it plans three tests, counts them and prints no result
    assert "kcmp: kcmp_test: 0 results where 3 were planned" in parser.remarks
    assert not [name for name in cases if name.startswith("kcmp::kcmp_test::")]
    # several programs, which print one document each
    assert len([name for name in cases if name.startswith("futex::run.sh::")]) == 15
    # it gave up
    missing = [case for name, case in cases.items() if name.startswith("membarrier::membarrier_test_single_thread::")]
    assert {case.result for case in missing} == {"fail"}
    assert len(missing) == 18
    assert "Bail out! sys membarrier MEMBARRIER_CMD_GET_REGISTRATIONS" in missing[0].reason

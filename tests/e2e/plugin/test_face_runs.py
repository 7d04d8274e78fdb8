"""Runs on a shell of this machine: what runs, in which order, and what is left afterwards."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.face import Face, properties

MIXED = """
    import pytest
    def test_plain(): pass
    def test_passes(shell): assert shell.run("echo hi").stdout == "hi\\n"
    def test_fails(shell): assert shell.run("echo hi").stdout == "ho\\n"
    def test_checks(shell): shell.check("echo out; echo err >&2; false")
    @pytest.mark.skip(reason="not today")
    def test_skipped(shell): pass
    @pytest.mark.xfail(reason="known")
    def test_xfails(shell): assert shell.run("false").returncode == 0
    @pytest.fixture
    def broken(shell): shell.check("echo bad >&2; exit 7")
    def test_error(broken): pass
    def test_too_long(shell): shell.run("sleep 5", timeout=0.3)
"""
OTHERS = "def test_must_not_be_collected(): assert 0"
COMMANDS = ("--command", "uname -a", "--command", 'sh -c "echo out; echo err >&2; exit 3"')


def decoded(case: dict, name: str) -> bytes:
    return base64.b64decode(next(one["content"] for one in case["attachments"] if one["pathname"] == name))


def test_only_the_commands_run(face: Face) -> None:
    face.write(test_other=OTHERS)
    result = face.run("--board=localhost", *COMMANDS, passed=1, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = face.results()
    assert set(found) == {"uname-a", "sh-c-echo-out-echo-err-2-exit-3", "lava"}
    (case,) = found["sh-c-echo-out-echo-err-2-exit-3"].values()
    assert (case["result"], case["attributes"]["returncode"]) == ("fail", "3")
    assert (decoded(case, "stdout.txt"), decoded(case, "stderr.txt")) == (b"out\n", b"err\n")
    (case,) = found["uname-a"].values()
    assert (case["result"], case["attributes"]["returncode"]) == ("pass", "0")
    assert decoded(case, "stdout.txt").decode().split()[0] == "Linux"
    result.stdout.fnmatch_lines(
        ["the command returned 3: sh -c *", "*Command stdout*", "out", "*Command stderr*", "err"]
    )


def test_commands_and_tests_run_if_a_path_is_given(face: Face) -> None:
    face.write(test_some="def test_it(shell): shell.check('true')", test_other=OTHERS)
    face.run("--board=localhost", "test_some.py", *COMMANDS, "--command", "uname -a", passed=3, failed=1)
    assert set(face.results()) == {"test-some.py", "uname-a", "uname-a-2", "sh-c-echo-out-echo-err-2-exit-3", "lava"}


def test_the_shipped_smoke_tests_run_where_nothing_is_said(face: Face) -> None:
    result = face.here("--board=localhost", "--co", "-q")
    result.stdout.fnmatch_lines(["*test_smoke.py::test_shell_answers[[]localhost]"])
    face.write(test_own="def test_own(shell): pass")
    (face.path / "pytest.ini").write_text("[pytest]\ntestpaths = .\n")
    result = face.here("--board=localhost", "--co", "-q")
    result.stdout.fnmatch_lines(["test_own.py::test_own[[]localhost]"])


def test_run_folders_are_never_collected(face: Face) -> None:
    face.write(test_some="def test_it(shell): pass")
    face.run("--board=localhost", "test_some.py", passed=1)
    (face.latest / "test_trap.py").write_text(OTHERS)
    face.run("--board=localhost", ".", passed=1)


def test_names_of_commands_are_ids_that_work(face: Face) -> None:
    commands = ["echo '[a]::b'", "echo one\necho two", "x" * 200, "uname", "uname"]
    arguments = [word for command in commands for word in ("--command", command)]
    result = face.here("--board=localhost", "--co", "-q", *arguments)
    ids = [line for line in result.outlines if line.startswith("command::")]
    assert len(set(ids)) == len(ids) == 5
    assert all(re.fullmatch(r"command::[^\[\]:\n]{1,64}\[localhost\]", one) or "' a :b'" in one for one in ids)
    result = face.here("--board=localhost", "--co", "-q", *arguments, "-k", "uname", "--deselect", "command::uname#2")
    result.stdout.fnmatch_lines(["command::uname[[]localhost]", "*1/5 tests collected (4 deselected)*"])


@pytest.fixture
def mixed(face: Face) -> pytest.RunResult:
    face.write(test_mixed=MIXED)
    result = face.run("--board=localhost", "test_mixed.py", *COMMANDS)
    result.assert_outcomes(passed=3, failed=4, errors=1, skipped=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    return result


def says_what_happened_and_hides_our_own_frames(mixed: pytest.RunResult) -> None:
    mixed.stdout.fnmatch_lines(
        [
            "board: localhost (a shell on this machine)",
            "*def broken(shell): shell.check*",
            "E   *OperationFailed: the command returned 7: echo bad >&2; exit 7: bad",
            "*def test_checks(shell): shell.check*",
            "E   *OperationFailed: the command returned 1: echo out; echo err >&2; false: err",
            "test_mixed.py:*: OperationFailed",
            "*Console of localhost*",
            "FAILED test_mixed.py::test_checks[[]localhost] - the command returned 1: *",
            "FAILED test_mixed.py::test_too_long[[]localhost] - the command did not end *",
            "*board results*",
            "report   lava-runs/*-localhost/report.html",
            "junit    lava-runs/*-localhost/junit.xml",
            "bundle   lava-runs/*-localhost/bundle.json",
            "console  lava-runs/*-localhost/console.log",
            "events   lava-runs/*-localhost/events.jsonl",
        ]
    )
    mixed.stdout.no_fnmatch_line("*pytest_lava/*.py*")
    mixed.stdout.no_fnmatch_line("*root cause*")


def page_has_board_console_link_and_excerpt(face: Face) -> None:
    page = (face.latest / "report.html").read_text()
    assert "pytest-lava: localhost" in page
    assert page.count("col-board") >= 10
    links = set(re.findall(r"console/[\w.-]+\.log", page))
    assert len(links) == 8  # all but the skipped and the plain one
    assert all((face.latest / link).is_file() for link in links)
    assert "Console of localhost" in page
    assert "(&#x27;" not in page, "a skip is no Python tuple"


def test_each_outcome_reads_the_same_everywhere(face: Face, mixed: pytest.RunResult) -> None:
    says_what_happened_and_hides_our_own_frames(mixed)
    page_has_board_console_link_and_excerpt(face)
    cases = face.results()["test-mixed.py"]
    assert face.results()["test-mixed.py-host"]["test_plain"]["result"] == "pass"
    assert {name: case["result"] for name, case in cases.items()} == {
        "test_passes": "pass", "test_fails": "fail", "test_checks": "fail", "test_skipped": "skip",
        "test_xfails": "skip", "test_error": "fail", "test_too_long": "fail",
    }  # fmt: skip
    assert cases["test_too_long"]["attributes"]["error.class"] == "CommandTimeout"
    junit = face.junit()
    tags = {"fail": "failure", "skip": "skipped"}
    for name, case in cases.items():
        found = junit[f"test_mixed::{name}"]
        expected = tags.get(case["result"])
        assert [one.tag for one in found if one.tag in ("failure", "error", "skipped")] == (
            [expected] if expected else []
        )
        assert properties(found)["board"] == "localhost"
    assert cases["test_xfails"]["message"] == junit["test_mixed::test_xfails"].find("skipped").get("message") == "known"
    assert junit["test_mixed::test_skipped"].find("skipped").text.endswith("test_mixed.py:6: Skipped: not today")
    lava = face.results()["lava"]
    assert {"wait", "power", "boot", "job"} <= set(lava)
    assert {case["result"] for case in lava.values()} == {"pass"}


def test_the_console_of_a_board_that_died_begins_with_its_test(face: Face) -> None:
    dies = r"(printf 'reboot: Power down\r\n' >/dev/tty) & sleep 5"
    face.write(
        test_it=f"""
        def test_before(shell): shell.run("echo before")
        def test_dies(shell): shell.run({dies!r})
        """
    )
    result = face.run("--board=localhost", "test_it.py", passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*Console of localhost*", "$ *reboot: Power down*sleep 5", "reboot: Power down"], consecutive=True
    )
    result.stdout.no_fnmatch_line("before")


def test_what_an_error_comes_from_is_no_part_of_its_report(face: Face) -> None:
    face.write(
        test_it="""
        def test_no_file(shell): shell.put("nosuch", "/tmp/")
        def test_ends_itself(shell): shell.run("kill -9 $$")
        """
    )
    result = face.run("--board=localhost", "test_it.py", failed=2)
    result.stdout.fnmatch_lines(
        ["E  *cannot read nosuch: *", "E  *BoardEnded: the shell that is the board has ended *"]
    )
    result.stdout.no_fnmatch_line("*pytest_lava/*.py*")
    result.stdout.no_fnmatch_line("*direct cause*")


def test_pytests_own_junit_file_has_our_properties(face: Face) -> None:
    face.write(test_it="def test_it(shell): pass")
    face.run("--board=localhost", "test_it.py", "--junit-xml=own.xml", passed=1).stdout.fnmatch_lines(
        ["junit    own.xml"]
    )
    told = properties(face.junit(face.path / "own.xml")["test_it::test_it[localhost]"])
    assert told["board"] == "localhost"
    assert told["kernel"]
    assert float(told["boot_seconds"]) > 0
    assert told["console_log"] == str(face.latest.resolve() / "console.log")
    assert told["run_folder"] == str(face.latest.resolve())


def test_results_again_from_the_journal(face: Face) -> None:
    face.write(test_it="def test_it(shell): pass")
    face.run("--board=localhost", "test_it.py", passed=1)
    made = (face.latest / "bundle.json").read_bytes()
    for kind in ("bundle", "junit"):
        command = [Path(sys.executable).with_name("pytest-lava"), kind, face.latest, "--output", f"again-{kind}"]
        subprocess.run(command, cwd=face.path, check=True)
    assert (face.path / "again-bundle").read_bytes() == made
    assert ET.parse(face.path / "again-junit").find(".//testcase").get("name") == "test_it"


def test_bundle_and_run_folder_where_they_are_wanted(face: Face) -> None:
    face.write(test_it="def test_it(shell): pass")
    options = ("--lava-dir=out", "--bundle=sub/b.json", "--bundle-format=1.7", "--html=sub/r.html")
    face.run("--board=localhost", "test_it.py", *options, passed=1)
    assert {path.name for path in (face.path / "out").iterdir()} == {
        "journal.jsonl", "events.jsonl", "console", "console.log", "console.idx", "junit.xml",
    }  # fmt: skip
    assert '"Dashboard Bundle Format 1.7"' in (face.path / "sub/b.json").read_text()
    page = (face.path / "sub/r.html").read_text()
    assert "../out/console/0001-test_it.py-test_it-localhost.log" in page
    face.run("--board=localhost", "test_it.py", "--lava-dir=out", "-q", passed=1).stdout.fnmatch_lines(
        ["board results: out"]
    )
    assert len(list(face.path.glob("out*"))) == 2, "the earlier run was moved aside"


def test_run_folder_in_which_another_run_is_going_on(face: Face) -> None:
    face.write(
        test_other="def test_other(shell): pass",
        test_it="""
            import subprocess, sys

            def test_it(shell):
                other = [sys.executable, "-m", "pytest", "--board=localhost", "--lava-dir=out", "test_other.py"]
                ended = subprocess.run(other, capture_output=True, text=True)
                assert ended.returncode == 4
                assert "another run is going on in" in ended.stderr
        """,
    )
    face.run("--board=localhost", "test_it.py", "--lava-dir=out", passed=1)
    assert (face.path / "out/bundle.json").exists()
    assert len(list(face.path.glob("out*"))) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("-p", "no:terminal"),
        ("-p", "no:logging", "-p", "no:cacheprovider", "-s"),
        ("-p", "no:html"),
        ("-p", "no:junitxml", "-p", "no:xdist", "-p", "no:capture"),
        ("--setup-show",),
        ("--setup-only",),
    ],
    ids=" ".join,
)
def test_works_without_much_of_pytest(face: Face, options: tuple[str, ...]) -> None:
    face.write(test_it="def test_it(shell): assert shell.run('echo hi').stdout == 'hi\\n'")
    assert face.run("--board=localhost", "test_it.py", *options).ret == 0
    assert (face.latest / "bundle.json").exists()
    assert (face.latest / "report.html").exists() is ("no:html" not in options)


def test_last_failed_stepwise_and_maxfail(face: Face) -> None:
    face.write(test_it=MIXED)
    result = face.run("--board=localhost", "test_it.py", "-x")
    result.assert_outcomes(passed=2, failed=1)
    result = face.run("--board=localhost", "test_it.py", "--lf", "-v")
    result.assert_outcomes(failed=1)
    result = face.run("--board=localhost", "test_it.py", "--maxfail=2")
    result.assert_outcomes(passed=2, failed=2)
    result = face.run("--board=localhost", "test_it.py", "-k", "test_passes or test_plain")
    result.assert_outcomes(passed=2, deselected=6)


def test_two_boards_each_deployed_once_and_kept_together(face: Face) -> None:
    for name in ("one", "two"):
        face.board(name, 'extends = "localhost"')
    face.write(
        conftest="""
            import pytest, random
            @pytest.hookimpl(trylast=True)
            def pytest_collection_modifyitems(items): random.Random(7).shuffle(items)
        """,
        test_a="""
            import pytest
            @pytest.mark.parametrize("n", [1, 2])
            def test_a(shell, n): pass
            def test_board(board): assert board.shell.run("true").returncode == 0
            def test_plain(): pass
        """,
        test_b="""
            class TestB:
                def test_b(self, shell): pass
                def test_kernel(self, kernel): assert kernel is None
        """,
    )
    result = face.run("--board=one", "--board=two", "--command=true", "--command=uname", ".", passed=15)
    result.stdout.fnmatch_lines(["board: one (*)", "board: two (*)"])
    assert sorted(face.deployments()) == ["one", "two"]
    order = [line["target"] for line in face.journal("start") if line["target"]]
    assert len([1 for a, b in pairwise(order) if a != b]) == 1
    assert {"true", "true-two", "uname", "uname-two"} <= set(face.results()) | {"true-one", "uname-one"}
    assert "test_a::test_a[1][one]" in face.junit()
    assert sorted(path.name for path in face.latest.glob("console*.log")) == ["console-one.log", "console-two.log"]


@pytest.mark.parametrize("boards", [["one"], ["one", "two"]])
def test_in_two_workers(face: Face, boards: list[str]) -> None:
    for name in boards:
        face.board(name, 'extends = "localhost"')
    face.write(test_mixed=MIXED)
    result = face.run(*(f"--board={name}" for name in boards), "test_mixed.py", "--command=uname", "-n2")
    n = len(boards)
    result.assert_outcomes(passed=1 + 2 * n, failed=3 * n, errors=n, skipped=n, xfailed=n)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(face.results()["test-mixed.py"]) == 7
    assert len(face.junit()) == 1 + 8 * n
    if n == 2:
        workers = {(line["target"], line["worker"]) for line in face.journal("start") if line["target"]}
        assert len(workers) == 2, "a board belongs to one worker"
    page = (face.latest / "report.html").read_text()
    links = set(re.findall(r"console/[\w.-]+\.log", page))
    assert links
    assert all((face.latest / link).is_file() for link in links)


def test_two_runs_in_the_same_second_have_folders_of_their_own(face: Face) -> None:
    face.write(test_it="def test_it(shell): pass")
    command = [sys.executable, "-m", "pytest", "-q", "--board=localhost", "test_it.py"]
    runs = [subprocess.Popen(command, cwd=face.path, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]
    folders = [path for path in (face.path / "lava-runs").iterdir() if not path.is_symlink()]
    assert len(folders) == 3
    assert all((folder / "bundle.json").is_file() for folder in folders)

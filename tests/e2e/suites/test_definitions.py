"""LAVA test definitions on a shell of this machine: what runs, what is told, and what a fault looks like."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import textwrap
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.face import Face

HEAD = "metadata:\n  format: Lava-Test Test Definition 1.0\n  name: {name}\n"


def write(face: Face, name: str, *steps: str, more: str = "") -> Path:
    """A definition in the user's folder."""
    lines = "".join(f"    - |\n{textwrap.indent(step, '      ')}\n" for step in steps)
    file = face.path / f"{name}.yaml"
    file.write_text(HEAD.format(name=name) + f"run:\n  steps:\n{lines}" + textwrap.dedent(more))
    return file


def told(face: Face, name: str) -> dict[str, str]:
    """Results of a test run by case."""
    return {case: result["result"] for case, result in face.results()[name].items()}


def junit(face: Face) -> list[ET.Element]:
    suite = ET.parse(face.latest / "junit.xml").getroot()[0]
    cases = list(suite.iter("testcase"))
    assert int(suite.get("tests", 0)) == len(cases)
    return cases


EVERYTHING = (
    "lava-test-case direct --result pass --measurement 12.5 --units MB/s",
    "lava-test-case shell --shell 'echo said so; exit 3'",
    "lava-test-case bad --result pass --measurement fast",
    "lava-test-set start net",
    "lava-test-case ping --result skip",
    "lava-test-set stop",
    "lava-test-case bench --result unknown --measurement 7",
    "lava-test-reference bug --result fail --reference http://example.org/1",
    "lava-test-event half way",
    "echo kept >kept.txt; lava-test-run-attach kept.txt text/plain; lava-test-case-attach direct kept.txt",
    "echo '<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=plain RESULT=pass>'",
    "lava-test-case unheard --result Great",
)


def test_each_case_is_a_result_of_its_own(face: Face) -> None:
    write(face, "smoke", *EVERYTHING)
    result = face.run("smoke.yaml", "--board=localhost", "-v", passed=3, failed=3, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "smoke.yaml::direct PASSED*", "smoke.yaml::shell FAILED*", "smoke.yaml::net::ping SKIPPED*",
            "smoke.yaml::bench UNKNOWN*", "smoke.yaml::bug FAILED*", "smoke.yaml::plain PASSED*",
            "smoke.yaml::smoke?localhost? FAILED*100%*", "2 of 7 cases failed: shell, bug",
            "*Remarks*", "smoke: a signal that is no result: 'Great' is no result: it is one of pass, fail, *",
            "*3 failed, 3 passed, 1 skipped, 1 unknown in *",
        ]
    )  # fmt: skip
    assert told(face, "smoke") == {
        "direct": "pass", "shell": "fail", "bad": "pass", "net.ping": "skip", "bench": "unknown", "bug": "fail",
        "plain": "pass",
    }  # fmt: skip
    found = face.results()["smoke"]
    assert (found["direct"]["measurement"], found["direct"]["units"]) == (12.5, "MB/s")
    assert "measurement" not in found["bad"]
    assert found["bad"]["attributes"]["measurement.bad"] == "its measurement 'fast' is no number"
    assert found["bug"]["attributes"]["reference"] == "http://example.org/1"
    assert (found["shell"]["message"], found["shell"]["attributes"]["returncode"]) == ("its command returned 3", "3")
    assert [one["pathname"] for one in found["direct"]["attachments"]] == ["kept.txt"]
    names = [case.get("name") for case in junit(face)]
    assert names == ["smoke", "direct", "shell", "bad", "net.ping", "bench", "bug", "plain"]
    assert "lava-test-event: half way" in (face.latest / "events.jsonl").read_text()
    html = (face.latest / "report.html").read_text()
    assert all(f"smoke.yaml::{name}" in html for name in ("direct", "net::ping", "plain"))


def test_the_line_of_a_result_is_that_of_the_log(face: Face) -> None:
    write(face, "smoke", "echo one", "lava-test-case a --result pass", "echo two", "lava-test-case b --result fail")
    face.run("smoke.yaml", "--board=localhost", passed=1, failed=2)
    (log,) = face.latest.glob("suites/*/stdout.log")
    lines = log.read_text().splitlines()
    for name, result in face.results()["smoke"].items():
        assert result["log_filename"] == "stdout.log"
        assert f"TEST_CASE_ID={name} " in lines[result["log_lineno"] - 1]


def test_a_repository_is_there_and_parameters_win(face: Face) -> None:
    folder = face.path / "automated/linux/x"
    folder.mkdir(parents=True)
    (face.path / "automated/lib").mkdir()
    (face.path / "automated/lib/sh-test-lib").write_text('report() { lava-test-case "$1" --result "$2"; }\n')
    (folder / "x.sh").write_text('#!/bin/sh\n. ../../lib/sh-test-lib\nreport "$1" pass\nreport "$2" pass\n')
    (folder / "x.sh").chmod(0o755)
    (folder / "x.yaml").write_text(
        HEAD.format(name="x") + "params:\n  ONE: first\n  TWO: second\nrun:\n  steps:\n"
        "    - cd ./automated/linux/x/\n    - ./x.sh \"${ONE}\" \"${TWO}\"\n"
    )  # fmt: skip
    face.run("automated/linux/x/x.yaml", "--board=localhost", "--param", "TWO=other", passed=3)
    assert told(face, "x") == {"first": "pass", "other": "pass"}


def test_a_git_repository_beside_it(face: Face, tmp_path: Path) -> None:
    other = tmp_path / "tools.git"
    for command in (
        ["init", "-q", "-b", "main", str(other)],
        ["-C", str(other), "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], check=True)
    more = f"install:\n  git-repos:\n    - {{url: URL, branch: main, destination: tools}}\nparams: {{URL: '{other}'}}\n"
    write(face, "x", "cd tools; lava-test-case commit --shell git -c safe.directory='*' log --format=%s", more=more)
    face.run("x.yaml", "--board=localhost", passed=2)
    write(face, "y", "true", more="install: {git-repos: [/none/there.git]}\n")
    face.run("y.yaml", "--board=localhost", failed=1)
    assert "cannot be cloned: /none/there.git: " in face.results()["y"]["y"]["message"]


def test_awkward_parameters(face: Face) -> None:
    value = ('it\'s "q" $HOME `id` \\ * ' * 250)[:5000] + "."
    write(
        face, "x", 'test "${#A}" = 5001 || exit 9', 'printf %s "$A" >/dev/null', 'lava-test-case "é-$B" --result pass'
    )
    face.run("x.yaml", "--board=localhost", "--param", f"A={value}", "--param", "B=ü", passed=2)
    assert next(line["nodeid"] for line in face.journal() if line["when"] == "call") == "x.yaml::é-ü"


def test_expected_cases_that_do_not_come_fail_and_so_do_others(face: Face) -> None:
    write(face, "x", "lava-test-case a --result pass", "lava-test-case c --result pass", more="expected: [a, b]\n")
    face.run("x.yaml", "--board=localhost", passed=1, failed=3)
    found = face.results()["x"]
    assert {name: one["result"] for name, one in found.items()} == {"a": "pass", "b": "fail", "c": "fail"}
    assert found["b"]["message"] == "it is expected, and the definition ended without it"
    assert found["c"]["message"] == "it is not among the cases that are expected; it said pass"


def test_signals_through_the_kernel_log(face: Face) -> None:
    """They are on the console, and not in what the steps print."""
    record = "[   12.345678] <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=k RESULT=fail>"
    write(face, "x", f"printf '{record}\\r\\n' >/dev/tty", "lava-test-case a --result pass", f"echo '{record}'")
    face.run("x.yaml", "--board=localhost", passed=1, failed=2)
    assert told(face, "x") == {"a": "pass", "k": "fail"}


def test_a_pattern(face: Face) -> None:
    more = (
        "parse:\n  pattern: '(?P<test_case_id>\\S+) ... (?P<result>ok|not ok)'\n  fixupdict: {ok: pass, not ok: fail}\n"
    )
    write(face, "x", "echo one ... ok; echo two ... not ok >&2", more=more)
    face.run("x.yaml", "--board=localhost", passed=1, failed=2)
    assert told(face, "x") == {"one": "pass", "two": "fail"}


def test_what_ends_it_early_is_told_and_the_cases_before_count(face: Face) -> None:
    ends = {
        "fails": (("false", "lava-test-case b --result pass"), "a step returned 1 and"),
        "leaves": (("exit 7",), "a step returned 7"),
        "leaves-well": (("exit 0",), "a step ended the definition by 'exit 0'"),
        "calls-nothing": (("./none.sh",), "a step returned 127 .*: a program, or the interpreter"),
        "raises": (("lava-test-raise no disk",), "lava-test-raise: no disk"),
        "kills-itself": (("kill -9 $$",), "a step returned 137 .*signal 9"),
    }
    for name, (steps, _) in ends.items():
        write(face, name, "lava-test-case a --result pass", *steps)
    face.run(*(f"{name}.yaml" for name in ends), "--board=localhost", passed=len(ends), failed=len(ends))
    for name, (_, why) in ends.items():
        found = face.results()[name]
        assert found["a"]["result"] == "pass", name
        assert re.match(why, found[name]["message"]), found[name]["message"]
        assert "b" not in found, name


def test_dollars_of_a_command_are_that_commands(face: Face) -> None:
    write(face, "x", """lava-test-case a --shell "echo one two | awk '{print $2}' | grep two" """)
    face.run("x.yaml", "--board=localhost", passed=2)


def test_the_users_shell_runs_the_steps(face: Face) -> None:
    shells = ("bash", "dash", "fish")
    for name in shells:
        face.board(name, f'extends = "localhost"\nconsole = "exec:env SHELL=/bin/{name} sh -i"\n')
    write(face, "x", "case ${BASH_VERSION:-} in '') r=fail;; *) r=pass;; esac; lava-test-case a --result $r")
    face.run("x.yaml", *(f"--board={name}" for name in shells))
    found = [told(face, name) for name in ("x", "x-dash", "x-fish")]  # of the first board by its own name
    assert found == [{"a": "pass"}, {"a": "fail"}, {"a": "pass"}]


def test_a_script_with_dos_line_ends_is_named(face: Face) -> None:
    (face.path / "bad.sh").write_bytes(b"#!/bin/sh\r\necho hi\r\n")
    (face.path / "bad.sh").chmod(0o755)
    write(face, "x", "./bad.sh")
    face.run("x.yaml", "--board=localhost", failed=1)
    assert "bad.sh has line ends of DOS (CRLF)" in face.results()["x"]["x"]["message"]


def test_an_installation_that_fails_runs_nothing(face: Face) -> None:
    write(face, "x", "lava-test-case a --result pass", more="install:\n  steps: [echo so, exit 4]\n")
    face.run("x.yaml", "--board=localhost", failed=1)
    assert face.results()["x"]["x"]["message"].startswith("its installation ended with status 4")
    (run,) = (
        one for one in json.loads((face.latest / "bundle.json").read_text())["test_runs"] if one["test_id"] == "x"
    )
    assert run["attachments"][0]["pathname"] == "install.log"
    assert "stdout.log" not in [one["pathname"] for one in run["attachments"]]
    face.run("x.yaml", "--board=localhost", "--skip-install", passed=2)


def test_a_definition_that_ends_its_board(face: Face) -> None:
    """The shell is gone in the middle: what came counts, and the next definition has a new one."""
    write(
        face,
        "x",
        "lava-test-case a --result pass",
        "set -- $(cat /proc/$$/stat); kill -9 $6; sleep 5",
        more="expected: [a, b]\n",
    )
    write(face, "y", "lava-test-case c --result pass")
    face.run("x.yaml", "y.yaml", "--board=localhost", passed=3, failed=2)
    assert told(face, "x") == {"x": "fail", "a": "pass", "b": "fail"}
    assert told(face, "y") == {"c": "pass"}


def test_one_case_by_its_node_id(face: Face) -> None:
    write(face, "x", "lava-test-case a --result pass", "lava-test-case b --result fail")
    face.run("x.yaml::a", "--board=localhost", passed=2)
    assert told(face, "x") == {"a": "pass"}
    face.run("x.yaml::none", "--board=localhost", failed=1)
    face.run("x.yaml::x", "--board=localhost", passed=1, failed=2)


def test_selection_is_by_definition(face: Face) -> None:
    write(face, "one", "lava-test-case a --result fail")
    write(face, "two", "lava-test-case b --result pass")
    face.run("one.yaml", "two.yaml", "--board=localhost", "-k", "two", passed=2)
    face.run("one.yaml", "two.yaml", "--board=localhost", "-x", failed=2)
    assert set(face.results()) == {"one", "lava"}
    face.run("one.yaml", "two.yaml", "--board=localhost", failed=2, passed=2)
    face.run("one.yaml", "two.yaml", "--board=localhost", "--lf", failed=2)
    assert set(face.results()) == {"one", "lava"}


def test_in_workers(face: Face) -> None:
    for name in ("one", "two", "three"):
        write(face, name, "lava-test-case a --result pass", "lava-test-case b --result fail")
    result = face.run(
        *(f"{name}.yaml" for name in ("one", "two", "three")), "--board=localhost", "-n2", passed=3, failed=6
    )
    result.stdout.fnmatch_lines(["FAILED one.yaml::b*"])
    assert all(told(face, name) == {"a": "pass", "b": "fail"} for name in ("one", "two", "three"))
    assert len(junit(face)) == 9


def test_only_what_is_named_is_collected(face: Face) -> None:
    write(face, "x", "lava-test-case a --result pass")
    (face.path / "kernel.yaml").write_text("a: b\n")
    assert face.here(".", "--board=localhost", "--co", "-q").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    (face.path / "pytest.ini").write_text("[pytest]\nlava_files = x*.yaml\n")
    face.here(".", "--board=localhost", "--co", "-q").stdout.fnmatch_lines(["x.yaml::x?localhost?"])


def test_mistakes_are_told_before_a_board_is_touched(face: Face) -> None:
    (face.path / "a.yaml").write_text("metadata: [\n")
    (face.path / "b.yaml").write_text("jobs: 1\n")
    said = face.refused("a.yaml", "b.yaml", "--board=localhost")
    assert any("a.yaml:" in line and "this is no YAML" in line for line in said)
    assert any("b.yaml:1: this is no test: " in line for line in said)


def test_much_output(face: Face) -> None:
    write(face, "x", "head -c 20000000 /dev/zero | tr '\\0' x | fold -w 100", "lava-test-case a --result pass")
    face.run("x.yaml", "--board=localhost", passed=2)
    (log,) = face.latest.glob("suites/*/stdout.log")
    assert log.stat().st_size > 20_000_000
    (run,) = (
        one for one in json.loads((face.latest / "bundle.json").read_text())["test_runs"] if one["test_id"] == "x"
    )
    text = base64.b64decode(run["attachments"][0]["content"])
    assert text[:1000] == log.read_bytes()[:1000]
    assert text.endswith(b"\n... the rest is in the run folder only\n")


def test_without_a_board_it_says_what_is_missing(face: Face) -> None:
    write(face, "x", "true")
    (face.path / "other.yaml").write_text("a: b\n")
    assert face.refused("x.yaml") == ["ERROR: x.yaml needs a board: add --board=NAME, for example --board=localhost"]
    assert not any("needs a board" in line for line in face.refused("other.yaml"))

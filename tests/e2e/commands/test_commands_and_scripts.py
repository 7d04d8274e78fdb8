"""Files of commands, scripts, commands of this machine and files that come back, on a shell of this machine."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from support.face import Face, properties


def script(face: Face, name: str, text: str | bytes) -> Path:
    file = face.path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def attached(result: dict[str, Any]) -> dict[str, bytes]:
    return {one["pathname"]: base64.b64decode(one["content"]) for one in result["attachments"]}


def test_commands_of_a_file_in_its_order(face: Face) -> None:
    script(face, "list.txt", "# kernel\nkernel: uname -r\nsh -c \\\n  'echo out; echo err >&2; exit 3'\ntrue\ntrue\n")
    result = face.run("--board=localhost", "--command-file=list.txt", "--command=echo one", "-v", passed=4, failed=1)
    result.stdout.fnmatch_lines(
        [
            "command::echo one?localhost? PASSED*",
            "list.txt::kernel?localhost? PASSED*",
            "list.txt::sh -c 'echo out; echo err >&2; exit 3'?localhost? FAILED*",
            "list.txt::true?localhost? PASSED*",
            "list.txt::true#2?localhost? PASSED*",
            "the command returned 3: sh -c *",
        ]
    )
    found = face.results()
    assert found["kernel"]["kernel"]["result"] == "pass"
    runs = {run["test_id"]: run for run in json.loads((face.latest / "bundle.json").read_text())["test_runs"]}
    assert runs["kernel"]["attributes"]["command"] == "uname -r"
    (failed,) = found["sh-c-echo-out-echo-err-2-exit-3"].values()
    assert failed["attributes"]["returncode"] == "3"
    assert (attached(failed)["stdout.txt"], attached(failed)["stderr.txt"]) == (b"out\n", b"err\n")
    assert {"command::kernel", "command::true", "command::true#2"} < set(face.junit())


def test_a_script_is_sent_and_run(face: Face) -> None:
    script(face, "größe.sh", '#!/bin/sh -e\necho "$# $1 $2"; echo err >&2; [ -z "$3" ] || exit 4\necho $0\n')
    face.run("größe.sh", "--board=localhost", "--script-args=\"it's\" 'a  b'", passed=1)
    ((name, found),) = ((test, one) for test, one in face.results().items() if test != "lava")
    (result,) = found.values()
    assert name == "groe.sh"
    out = attached(result)["stdout.txt"].decode().splitlines()
    assert out[0] == "2 it's a  b"
    assert not Path(out[1]).exists(), "it is removed"
    assert attached(result)["stderr.txt"] == b"err\n"
    face.run("größe.sh", "--board=localhost", "--script-args=a b c", failed=1)


def test_scripts_of_any_interpreter(face: Face) -> None:
    script(face, "plain.sh", "exit 0\n")  # neither a first line nor a bit
    script(face, "words", '#!/usr/bin/awk -f\nBEGIN { print "said" }\n')
    script(face, "env", "#!/usr/bin/env -S python3 -u\nimport sys\nprint(sys.argv[1:])\n")
    face.run("plain.sh", "words", "env", "--board=localhost", passed=3)
    found = face.results()
    assert attached(found["words"]["words"])["stdout.txt"] == b"said\n"
    assert attached(found["env"]["env"])["stdout.txt"] == b"[]\n"


def test_an_interpreter_that_the_board_lacks(face: Face) -> None:
    script(face, "one", "#!/opt/none/ruby\n")
    script(face, "two", "#!/usr/bin/env ruby9\n")
    face.run("one", "two", "--board=localhost", failed=2)
    for name, program in (("one", "/opt/none/ruby"), ("two", "ruby9")):
        message = face.results()[name][name]["message"]
        assert message.startswith(f"the board has no {program}, which the first line of {name} asks for")


def test_what_is_wrong_in_scripts_is_told_before_a_board_is_touched(face: Face) -> None:
    script(face, "dos.sh", b"#!/bin/sh\r\ntrue\r\n")
    script(face, "empty.sh", b"")
    said = face.refused("dos.sh", "empty.sh", "--board=localhost")
    assert any("dos.sh:1: it has line ends of DOS (CRLF)" in line for line in said)
    assert any("empty.sh: this script is empty" in line for line in said)


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--command-file=none.txt"], "--command-file none.txt: No such file"),
        (["--host-command= "], "--host-command was given without a command"),
        (["--collect-file=log.txt", "--command=true"], "--collect-file 'log.txt': give the whole path on the board"),
        (["--script-args='a", "--command=true"], '--script-args "\'a": no closing quotation'),
    ],
)
def test_wrong_options(face: Face, arguments: list[str], why: str) -> None:
    assert any(why in line for line in face.refused(*arguments, "--board=localhost"))


def test_without_a_board_they_say_what_is_missing(face: Face) -> None:
    script(face, "list.txt", "true\n")
    script(face, "check.sh", "#!/bin/sh\n")
    for arguments in (["--command-file=list.txt"], ["--host-command=true"]):
        assert any("no board was given" in line for line in face.refused(*arguments))
    assert face.refused("check.sh") == [
        "ERROR: check.sh needs a board: add --board=NAME, for example --board=localhost"
    ]


def test_other_files_are_left_alone(face: Face) -> None:
    script(face, "check.sh", "#!/bin/sh\n")
    script(face, "notes.txt", "true\n")
    assert face.here(".", "--board=localhost", "--co", "-q").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert face.here("notes.txt", "--board=localhost", "--co", "-q").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    script(face, "pytest.ini", "[pytest]\nlava_files = *.sh\n")
    face.here(".", "--board=localhost", "--co", "-q").stdout.fnmatch_lines(["check.sh::check?localhost?"])


def test_selection(face: Face) -> None:
    script(face, "list.txt", "yes: true\nno: false\n")
    script(face, "good.sh", "exit 0\n")
    arguments = "good.sh", "--command-file=list.txt", "--board=localhost"
    face.here(*arguments, "-k", "list and yes", "--co", "-q").stdout.fnmatch_lines(["list.txt::yes*", "*1/3 tests*"])
    face.run(*arguments, passed=2, failed=1)
    face.run(*arguments, "--lf", failed=1)
    given = face.here(*arguments, "--deselect", "list.txt::no[localhost]", "--co", "-q")
    given.stdout.fnmatch_lines(["*2/3 tests collected*"])
    face.run(*arguments, "-n2", passed=2, failed=1)


def test_a_command_of_this_machine_beside_the_board(face: Face) -> None:
    tool = 'echo "$LAVA_BOARD $LAVA_ARCH"; test -s "$LAVA_CONSOLE"; test -d "$LAVA_RUN_FOLDER"; echo err >&2; exit 5'
    face.run("--board=localhost", "--host-command", tool, "--host-command=pwd", passed=1, failed=1)
    found = {name: one for name, one in face.results().items() if name != "lava"}
    (failed,), (passed,) = (one.values() for one in found.values())
    assert failed["message"].startswith("the host command returned 5: echo ")
    assert attached(failed)["stdout.txt"].startswith(b"localhost ")
    assert attached(failed)["stderr.txt"] == b"err\n"
    assert failed["attributes"]["runs_on"] == "host"
    assert attached(passed)["stdout.txt"].decode().strip() == str(face.path)
    assert {properties(case).get("runs_on") for case in face.junit().values()} == {"host"}
    assert not (face.latest / "host").exists() or not list((face.latest / "host").iterdir())


def test_the_duration_of_a_host_command_and_its_limit(face: Face) -> None:
    face.run("--board=localhost", "--host-command=echo so far; sleep 60 & wait", "--command-timeout=1", failed=1)
    ((result,),) = (one.values() for name, one in face.results().items() if name != "lava")
    assert result["message"].startswith("the host command did not end within 1 s (--command-timeout)")
    assert attached(result)["stdout.txt"] == b"so far\n"


def test_files_come_back_after_each(face: Face, tmp_path: Path) -> None:
    face.write(test_x="def test_x(shell): shell.check('true')")
    face.path.joinpath("x.yaml").write_text(
        "metadata: {format: Lava-Test Test Definition 1.0, name: x}\n"
        f"run: {{steps: [echo 3 >{tmp_path}/three.log]}}\n"
    )
    script(face, "two.sh", f"echo 2 >{tmp_path}/two.log; exit 1\n")
    face.run(
        "two.sh", "x.yaml", "test_x.py", "--board=localhost", "--command", f"echo 1 >'{tmp_path}/one a.log'",
        f"--collect-file={tmp_path}/*.log", "--collect-file=/none", passed=3, failed=1,
    )  # fmt: skip
    found = face.results()
    assert attached(found["two.sh"]["two.sh"])["two.log"] == b"2\n"
    (run,) = (
        one for one in json.loads((face.latest / "bundle.json").read_text())["test_runs"] if one["test_id"] == "x"
    )
    assert {"two.log", "three.log"} <= {one["pathname"] for one in run["attachments"]}
    (python,) = (one["test_x"] for one in found.values() if "test_x" in one)
    assert not any("log" in name for name in attached_names(python))
    ((command,),) = (one.values() for name, one in found.items() if name.startswith("echo"))
    assert {"one a.log", "two.log"} <= attached_names(command)


def attached_names(result: dict[str, Any]) -> set[str]:
    return {one["pathname"] for one in result.get("attachments", ())}

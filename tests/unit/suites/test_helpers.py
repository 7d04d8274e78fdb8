"""The helpers on the target, in the shells that targets have: what they print is what the reader reads."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from pathlib import Path

import pytest

import pytest_lava.suites.running
from pytest_lava.suites.signals import Signal, outcome_of, scan

HELPERS = Path(pytest_lava.suites.running.__file__).parent / "helpers"
SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"]]


class Target:
    """Runs helpers as a definition does."""

    def __init__(self, folder: Path, shell: list[str]) -> None:
        self.bin, self.results, self._shell = folder / "bin", folder / "results", shell
        #: more than it has by itself; None: without
        self.environment: dict[str, str | None] = {}
        shutil.copytree(HELPERS, self.bin)
        for helper in self.bin.iterdir():
            helper.chmod(0o755)
        (self.results / "attachments").mkdir(parents=True)

    def run(self, name: str, *arguments: str, status: int = 0) -> str:
        given = {
            **os.environ, "LAVA_RESULT_DIR": str(self.results), "PATH": f"{self.bin}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8", **self.environment,
        }  # fmt: skip
        environment = {key: value for key, value in given.items() if value is not None}
        done = subprocess.run(
            [*self._shell, str(self.bin / name), *arguments],
            check=False, env=environment, cwd=self.results, capture_output=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == status, done
        return done.stdout.decode()

    def signals(self, name: str, *arguments: str, status: int = 0) -> list[Signal]:
        found = [signal for line in self.run(name, *arguments, status=status).splitlines() for signal in scan(line)]
        assert all(signal.sets is not None for signal in found)
        return found


@pytest.fixture(params=SHELLS, ids=" ".join)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """A folder with helpers, and the shell that runs them."""
    return Target(tmp_path, request.param)


def test_a_result(target: Target) -> None:
    arguments = "mem", "--result", "pass", "--measurement", "1.5", "--units", "MB/s"
    (signal,) = target.signals("lava-test-case", *arguments)
    assert signal.raw == "TESTCASE TEST_CASE_ID=mem RESULT=pass UNITS=MB/s MEASUREMENT=1.5"


@pytest.mark.parametrize("option", ["--units", "--measurement"])
def test_a_last_option_whose_variable_is_empty(target: Target, option: str) -> None:
    """``--units $UNITS``: LAVA's helper takes it, in bash and in busybox."""
    (signal,) = target.signals("lava-test-case", "mem", "--result", "pass", option)
    assert signal.raw == "TESTCASE TEST_CASE_ID=mem RESULT=pass"
    assert not target.signals("lava-test-case", "mem", "--result", status=1)


def test_what_a_command_sees_of_the_helper(target: Target) -> None:
    text = target.run("lava-test-case", "a b", "--shell", 'echo "$TEST_CASE_ID $LC_ALL"')
    assert text.splitlines()[1] == "a b C.UTF-8"
    target.environment["LC_ALL"] = None
    text = target.run("lava-test-case", "x", "--shell", 'echo "${LC_ALL-unset}"')
    assert text.splitlines()[1] == "unset"


def test_names_become_one_word_and_keep_their_letters(target: Target) -> None:
    (signal,) = target.signals("lava-test-case", "größe <1> a", "--result", "skip")
    assert outcome_of(signal, {}).id == "größe__1__a"


@pytest.mark.parametrize(
    "command, result, said",
    [(["true"], "pass", ""), (["exit 3"], "fail", ""), (["echo a | tr a b;", "test 1 = 2"], "fail", "b\n")],
)
def test_a_command(target: Target, command: list[str], result: str, said: str) -> None:
    text = target.run("lava-test-case", "x", "--shell", *command)
    lines = text.splitlines()
    (start,), (end,), (told,) = (list(scan(line)) for line in (lines[0], *lines[-2:]))
    assert (start.raw, end.raw) == ("STARTTC x", "ENDTC x")
    assert outcome_of(told, {}).result == result
    assert "".join(f"{line}\n" for line in lines[1:-2]) == said


def test_sets_are_counted(target: Target) -> None:
    found = [
        signal
        for name, *arguments in (
            ("lava-test-set", "start", "a b"), ("lava-test-case", "x", "--result", "pass"), ("lava-test-set", "stop"),
            ("lava-test-case", "y", "--result", "pass"),
        )
        for signal in target.signals(name, *arguments)
    ]  # fmt: skip
    assert [(one.kind, one.sets) for one in found] == [("TESTSET", 0), ("TESTCASE", 1), ("TESTSET", 1), ("TESTCASE", 2)]
    assert found[0].text == "START a_b"


def test_raise_reference_and_event(target: Target) -> None:
    assert target.signals("lava-test-raise", "no <disk>", "here", status=1)[0].raw == "TESTRAISE no (disk) here"
    assert target.signals("lava-test-event", "50 %d")[0].text == "50 %d"
    (signal,) = target.signals("lava-test-reference", "x", "--result", "fail", "--reference", "http://a/b?c=d")
    assert signal.raw == "TESTREFERENCE x fail http://a/b?c=d"


def test_a_file_is_kept_with_its_name(target: Target, tmp_path: Path) -> None:
    (tmp_path / "some log").write_text("x")
    target.run("lava-test-case-attach", "mem", str(tmp_path / "some log"), "text/plain")
    target.run("lava-test-run-attach", str(tmp_path / "some log"))
    about = [(target.results / f"attachments/{at}/about").read_text() for at in (0, 1)]
    assert about == ["mem\nsome log\ntext/plain\n", "-\nsome log\napplication/octet-stream\n"]


@pytest.mark.parametrize(
    "call",
    [
        ["lava-test-case"], ["lava-test-case", "x"], ["lava-test-case", "x", "--result"],
        ["lava-test-case", "x", "--reslut", "pass"], ["lava-test-set", "begin"], ["lava-test-set", "start"],
        ["lava-test-reference", "x", "--result", "pass"], ["lava-background-process-stop", "none"],
        ["lava-test-case-attach", "x", "/none"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_call_says_nothing_and_fails(target: Target, call: list[str]) -> None:
    assert target.run(*call, status=1) == ""


def test_a_process_beside_the_test(target: Target) -> None:
    mark = target.results / "beat"
    target.run("lava-background-process-start", "w", "--cmd", f"mkfifo {mark}; echo x >{mark}; sleep 600")
    deadline = 100
    while not mark.exists() and deadline:
        subprocess.run(["sleep", "0.05"], check=True)
        deadline -= 1
    assert mark.read_text() == "x\n"  # it waits for the reader
    with os.fdopen(os.pidfd_open(int((target.results / ".background-w").read_text()))) as process:
        target.run("lava-background-process-stop", "w")
        assert select.select([process], [], [], 10)[0]
    assert not [one for one in Path("/proc").glob("[0-9]*/environ") if str(target.results).encode() in quietly(one)]
    assert target.run("lava-background-process-stop", "w", status=1) == ""


def quietly(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_what_a_target_says_of_itself(target: Target) -> None:
    assert target.run("lava-os-build").strip()
    assert target.run("lava-installed-packages")

"""LAVA jobs on a shell of this machine: what is run and skipped, limits, where definitions come from, and mistakes."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from support.face import Face
from support.webserver import web_server

HEAD = "device_type: desk\njob_name: a job\ntimeouts: {job: {minutes: 3}, action: {minutes: 1}}\nactions:\n"
BOOT = "- boot: {method: minimal, prompts: ['[$#] $']}\n"
BOARD = 'extends = "localhost"\nlava_device_types = ["desk"]\n'


def inline(name: str, *steps: str, more: str = "") -> str:
    """A ``test`` action of one definition."""
    return (
        f"- test:\n    {more or 'timeout: {minutes: 1}'}\n    definitions:\n    - from: inline\n      name: {name}\n"
        f"      path: {name}.yaml\n      repository:\n"
        "        metadata: {format: Lava-Test Test Definition 1.0, name: other}\n"
        f"        run: {{steps: {json.dumps(steps)}}}\n"
    )


def write(face: Face, *actions: str, head: str = HEAD) -> None:
    face.board("here", BOARD)
    (face.path / "job.yaml").write_text(head + "".join(actions))


def repository(folder: Path) -> str:
    """A git repository with a definition; its URL."""
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/x.yaml").write_text(
        "metadata: {format: Lava-Test Test Definition 1.0, name: x}\nparams: {ONE: own, TWO: own}\n"
        'run: {steps: [\'./sub/x.sh "$ONE" "$TWO"\']}\n'
    )
    (folder / "sub/x.sh").write_text('#!/bin/sh\nlava-test-case "$1-$2" --result pass\n')
    (folder / "sub/x.sh").chmod(0o755)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    (folder / "sub/x.sh").write_text("#!/bin/sh\nlava-test-case newer --result pass\n")
    subprocess.run([*git, "commit", "-q", "-a", "-m", "second"], check=True)
    return f"file://{folder}"


def told(face: Face, name: str) -> dict[str, str]:
    return {case: result["result"] for case, result in face.results()[name].items()}


def test_definitions_of_all_kinds(face: Face, tmp_path: Path) -> None:
    url = repository(tmp_path / "repo")
    first = subprocess.run(
        ["git", "-C", str(tmp_path / "repo"), "rev-parse", "HEAD~1"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with tarfile.open(tmp_path / "defs.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "repo/sub", "sub")
    with web_server(tmp_path) as server:
        git = f"- {{from: git, repository: '{url}', path: sub/x.yaml, name: NAME, parameters: {{ONE: job}}"
        write(
            face, BOOT, inline("here", "lava-test-case env --shell '[ \"$COLOUR\" = red ]'", "ls >ls; [ ! -e sub ]"),
            "- test:\n    definitions:\n",
            f"    {git.replace('NAME', 'newest')}}}\n",
            f"    {git.replace('NAME', 'older')}, revision: {first}, branch: main}}\n",
            f"    - {{from: url, repository: '{server.url('defs.tar.gz')}', path: sub/x.yaml, name: packed}}\n",
            head="environment: {COLOUR: red}\nmetadata: {build: '12'}\n" + HEAD,
        )  # fmt: skip
        face.run("job.yaml", "--param", "TWO=option", passed=8)
    assert told(face, "here") == {"env": "pass"}
    assert told(face, "newest") == {"newer": "pass"}
    assert told(face, "older") == {"job-option": "pass"}
    assert told(face, "packed") == {"newer": "pass"}
    (run,) = (
        run for run in json.loads((face.latest / "bundle.json").read_text())["test_runs"] if run["test_id"] == "here"
    )
    assert (run["attributes"]["job_name"], run["attributes"]["job.build"]) == ("a job", "12")
    assert not list(face.latest.glob("checkouts*"))
    assert face.latest.resolve().name.endswith("-job")


def test_what_ends_a_job_and_what_does_not(face: Face) -> None:
    write(
        face, BOOT,
        inline("aborts", "lava-test-case a --result pass", "false", "lava-test-case b --result pass"),
        inline("slow", "lava-test-case c --result fail", "sleep 20", more="timeout: {seconds: 2, skip: true}"),
        inline("raises", "lava-test-raise enough"),
        inline("never", "lava-test-case d --result pass"),
    )  # fmt: skip
    face.run("job.yaml", passed=1, failed=4, skipped=1)
    assert face.results()["never"]["never"]["message"] == "the job ended with raises: lava-test-raise: enough"
    assert face.results()["slow"]["slow"]["message"] == "the time of its action (2 s) is over"
    assert told(face, "slow")["c"] == "fail"
    assert told(face, "never") == {"never": "skip"}


def test_the_jobs_own_limit(face: Face) -> None:
    head = HEAD.replace("minutes: 3", "seconds: 3")
    write(
        face,
        BOOT,
        inline("slow", "sleep 20", more="timeout: {seconds: 30, skip: true}"),
        inline("never", "true"),
        head=head,
    )
    result = face.run("job.yaml", failed=1, skipped=1)
    assert result.duration < 30
    found = face.results()
    assert found["slow"]["slow"]["message"] == "the time of the job (3 s) is over"
    assert found["never"]["never"]["message"] == "the time of the job (3 s) is over"


def test_one_item_of_it_and_two_workers(face: Face) -> None:
    write(
        face,
        BOOT,
        inline("one", "lava-test-case a --result pass", "echo 1 >/dev/null"),
        inline("two", "lava-test-case b --result pass"),
    )
    face.run("job.yaml::two::b", passed=2)
    assert told(face, "two") == {"b": "pass"}
    assert "one" not in face.results()
    (face.path / "other.yaml").write_text((face.path / "job.yaml").read_text().replace("name: ", "name: x"))
    face.run("job.yaml", "other.yaml", "-n2", passed=8)
    workers = {line["nodeid"].partition("::")[0]: line["worker"] for line in face.journal("start")}
    assert len(set(workers.values())) == 2
    assert told(face, "xtwo") == {"b": "pass"}


def test_what_cannot_be_cloned_fails_alone(face: Face, tmp_path: Path) -> None:
    entries = "".join(
        f"    - {{from: git, repository: '{url}', path: {path}, name: {name}}}\n"
        for url, path, name in (
            (tmp_path / "none.git", "x.yaml", "none"),
            (repository(tmp_path / "r"), "y.yaml", "nofile"),
        )
    )
    write(face, BOOT, f"- test:\n    definitions:\n{entries}", inline("good", "lava-test-case a --result pass"))
    face.run("job.yaml", passed=2, errors=2)
    found = face.results()
    assert "cannot be cloned" in found["none"]["none"]["message"]
    assert "has no file y.yaml: correct 'path'" in found["nofile"]["nofile"]["message"]
    assert found["none"]["none"]["attributes"]["error_type"] == "Job"


TALKER = """\
import sys, time
def say(text, wait=0.0):
    sys.stdout.write(text)
    sys.stdout.flush()
    time.sleep(wait)
say("RESULT early: pass 1 ms\\n", 0.2)
say("begin here\\n")
for n in range(300):
    say(f"[    {n}.1] a word of the kernel\\nRESULT case{n}: {'pass' if n % 100 else 'fail'} {n * 7} ms\\n")
say("RESULT torn: pa", 0.3)
say("ss 12", 0.3)
say("34 ms\\nRESULT odd: maybe 1 ms\\nall done $ ", 60)
"""


def test_a_monitor_reads_whole_lines_from_begin_to_end(face: Face) -> None:
    (face.path / "talker.py").write_text(TALKER)
    face.board(
        "talker",
        f'arch = "host"\nemulated = true\nconsole = "exec:python3 {face.path}/talker.py"\npower = "none"\n'
        'boot = "login"\nlava_device_types = ["talker"]\n',
    )
    pattern = r"RESULT (?P<test_case_id>\w+): (?P<result>\w+) (?P<measurement>\d+) (?P<units>\w+)"
    monitor = {"name": "m", "start": "begin here", "end": r"done \$ ", "pattern": pattern}
    (face.path / "job.yaml").write_text(
        HEAD.replace("desk", "talker") + "- boot: {method: monitor}\n"
        f"- test: {{timeout: {{seconds: 60}}, monitors: [{json.dumps(monitor)}]}}\n"
    )
    face.run("job.yaml", passed=298, failed=4)
    found = face.results()["m"]
    assert {name: (one["result"], one["measurement"]) for name, one in found.items()} == {
        "torn": ("pass", 1234),
        **{f"case{number}": ("pass" if number % 100 else "fail", number * 7) for number in range(300)},
    }
    assert "'maybe' is no result" in (face.latest / "events.jsonl").read_text()


def test_json(face: Face, tmp_path: Path) -> None:
    face.board("here", BOARD)
    actions = [
        {"command": "lava_test_shell", "parameters": {
            "testdef_repos": [{"git-repo": repository(tmp_path / "r"), "testdef": "sub/x.yaml"}]}},
        {"command": "lava_command_run", "parameters": {"commands": ["echo 'it : PASS'; echo \"$0\"", "exit 3"]}},
    ]  # fmt: skip
    (face.path / "old.json").write_text(json.dumps({"job_name": "old", "device_type": "desk", "actions": actions}))
    face.run("old.json", passed=4, failed=2)
    assert told(face, "lava-command") == {"it": "pass", "echo-it-PASS-echo-0": "pass", "exit-3": "fail"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("device_type: desk", "device_type: nothing", "no board file serves device type 'nothing': add --board=NAME"),
        ("method: minimal", "method: grub", "job.yaml:5: 'method' 'grub' is not supported"),
        ("- boot", "- deploy: {to: tftp, kernel: {url: file:///none}}\n- boot", "there is no such file: /none"),
        ("- boot", "- deploy: {to: tftp, kernel: {url: 'http://127.0.0.1:1/k'}}\n- boot", "cannot take a kernel"),
    ],
)
def test_mistakes_are_told_before_a_board_is_touched(face: Face, old: str, new: str, said: str) -> None:
    write(face, BOOT, inline("x", "true"))
    (face.path / "job.yaml").write_text((face.path / "job.yaml").read_text().replace(old, new, 1))
    assert any(said in line for line in face.refused("job.yaml"))

"""``git bisect run pytest-lava bisect``, as a user types it, over real kernels that differ."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lava_desk import SOAK, Desk, missing, until
from support.bisecting import Tree

pytestmark = [pytest.mark.e2e, pytest.mark.emulated]

BIN = Path(sys.executable).parent
TEST = """
    def test_ostype(shell):
        assert shell.run("cat /proc/sys/kernel/ostype").stdout == "Linux\\n"
"""
#: a lab that is out of order for some commits: for those in `never`, and once for those in `once`
QEMU = """\
#!/bin/sh
cd "$(dirname "$0")"
commit=$(git -C tree log -1 --format=%s)
grep -qx "$commit" never && { echo out of order >&2; exit 1; }
grep -qx "$commit" once && { sed -i "/^$commit\\$/d" once; echo out of order once >&2; exit 1; }
exec qemu-system-aarch64 "$@"
"""
FEW = [
    ("start", "good"), ("no compiler", "build"), ("fix", "good"), ("header", "load"), ("again", "good"),
    ("flaky lab", "good"), ("cleanup", "good"), ("new value", "value"), ("no init", "panic"), ("end", "value"),
]  # fmt: skip
MANY = [
    *FEW[:1],
    *((f"work {number}", ("good", "good", "build", "good", "load", "good")[number % 6]) for number in range(40)),
    *FEW[1:],
    *((f"more {number}", ("value", "panic", "value", "build", "load")[number % 5]) for number in range(20)),
    ("last", "value"),
]


class Place:
    """A tree, a lab that has its days, and a test."""

    def __init__(self, desk: Desk, commits: list[tuple[str, str]]) -> None:
        self.desk = desk
        self.tree = Tree(desk.folder / "tree", commits)
        desk.env |= {"XDG_CONFIG_HOME": str(desk.folder / "config"), "GIT_CONFIG_GLOBAL": "/dev/null"}
        boards = desk.folder / "config" / "pytest-lava" / "boards"
        boards.mkdir(parents=True)
        (boards / "lab.toml").write_text(
            f'extends = "qemu-arm64"\n[power]\nbinary = "{desk.write("qemu", QEMU)}"\n'
            '[deploy]\nappend = "console=ttyAMA0 sysrq_always_enabled panic=0"\n'
        )
        (desk.folder / "qemu").chmod(0o755)
        for name in ("never", "once"):
            desk.write(name, "")
        desk.write("test_it.py", TEST)

    def command(self, *options: str, build: str = "") -> list[str]:
        """The command behind ``git bisect run``."""
        tests = ["--board=lab", "--kernel-tree=.", f"--lava-cache={self.desk.folder / 'cache'}", "../test_it.py", "-q"]
        return [str(BIN / "pytest-lava"), "bisect", "--build", build or self.tree.build, *options, "--", *tests]

    def at(self, subject: str, *options: str, build: str = "") -> tuple[int, str]:
        """Status and last line for one commit."""
        self.tree.git("checkout", "-q", self.tree.commits[subject])
        done = self.run(self.command(*options, build=build), 300)
        return done.returncode, done.stdout.splitlines()[-1]

    def run(self, command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        """In the tree."""
        return subprocess.run(
            command, cwd=self.tree.folder, env=self.desk.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=seconds, check=False,
        )  # fmt: skip


@pytest.fixture
def place(desk: Desk) -> Place:
    if names := missing("qemu-system-aarch64", "git", "make"):
        pytest.fail(f"not installed: {names} (scripts/setup-host test installs them)")
    return Place(desk, MANY if SOAK else FEW)


def test_first_bad_commit_is_found_unattended(place: Place) -> None:
    place.desk.write("never", "again\n")
    place.desk.write("once", "cleanup\nflaky lab\n")
    tree, subjects = place.tree, list(place.tree.commits)
    tree.git("bisect", "start", tree.commits[subjects[-1]], tree.commits[subjects[0]])
    done = place.run(["git", "bisect", "run", *place.command()], 3000 if SOAK else 600)
    assert done.returncode == 0, done.stdout
    assert f"{tree.commits['new value']} is the first bad commit" in done.stdout
    log = (tree.folder / "lava-runs" / "bisect.log").read_text()
    judged = dict(re.findall(r"  ([0-9a-f]{12}) (\w+) \(", log))
    kept = {folder.name.split("-")[1][:12] for folder in (tree.folder / "lava-runs").glob("bisect-*")}
    assert kept == set(judged)  # each commit that was judged has the run folder that says why
    for subject, commit in tree.commits.items():
        if (word := judged.get(commit[:12])) is not None:
            bad = subjects.index(subject) >= subjects.index("new value")
            assert word in ("skip", "bad" if bad else "good"), log
    if not SOAK:  # it is in the middle, so git begins there
        assert f"{tree.commits['again'][:12]} skip (125): lab fault on lab: " in log
    assert judged[tree.commits["new value"][:12]] == "bad"
    assert judged[tree.commits["cleanup"][:12]] == "good"
    place.desk.assert_clean()


def test_each_kind_of_commit(place: Place) -> None:
    place.desk.write("never", "fix\n")
    status, told = place.at("no compiler")
    assert (status, "it does not build (status 2)" in told) == (125, True)
    status, told = place.at("header")
    assert status == 125
    assert "it came to no kernel: U-Boot could not start the kernel: ERROR: RD image overlaps OS image" in told
    status, told = place.at("no init")
    assert status == 1
    assert "it does not boot: the kernel crashed: Kernel panic - not syncing: VFS: Unable to mount root fs" in told
    assert place.at("fix", "--lab-retries=0")[0] == 125


def test_a_build_that_makes_no_new_kernel_is_told(place: Place) -> None:
    def judged(build: str) -> str:
        done = place.run(
            [*place.command(build=build)[:4], "--", "--board=lab", "--kernel-tree=.", "--kernel=nosuch"], 60
        )
        assert done.returncode == 132, done.stdout
        return done.stdout.splitlines()[-1]

    note = "(the build left the kernel as it was)"
    assert note not in judged(place.tree.build)
    place.tree.git("checkout", "-q", place.tree.commits["start"])
    assert note in judged("true")
    assert note not in judged(place.tree.build)


def test_another_kernel_than_that_of_the_build_is_no_verdict(place: Place) -> None:
    def judged(uname: str, test: str) -> tuple[int, str]:
        place.desk.write("test_it.py", test)
        words = [*place.command("--uname", uname, build="true")[:6], "--", "--board=localhost", "../test_it.py"]
        done = place.run(words, 60)
        return done.returncode, done.stdout.splitlines()[-1]

    bad = "def test_it(shell): shell.check('false')"
    assert judged("uname -r", "def test_it(shell): shell.check('true')")[0] == 0
    assert judged("uname -v", bad)[0] == 1
    status, told = judged("echo 1.2.3-another", bad)
    assert (status, "was booted, but --uname says 1.2.3-another" in told) == (125, True), told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_an_interrupt_ends_build_and_bisection(place: Place, number: signal.Signals) -> None:
    command = place.command(build="touch built; sleep 600")
    process = subprocess.Popen(
        command, cwd=place.tree.folder, env=place.desk.env, stdout=subprocess.PIPE, text=True, process_group=0
    )
    until((place.tree.folder / "built").exists, 30, "build")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, shlex.join(command)
    last = list(place.tree.commits.values())[-1]
    assert out.splitlines()[-1].startswith(f"bisect: {last[:12]} abort ({128 + number}): interrupted")
    place.desk.assert_clean()


def test_an_interrupt_ends_the_run(place: Place) -> None:
    place.desk.write("test_it.py", """
        def test_it(shell):
            open("reached", "w").close()
            shell.run("sleep 600", timeout=600)
    """)  # fmt: skip
    command = [*place.command(build="true")[:4], "--", "--board=localhost", "../test_it.py"]
    process = subprocess.Popen(
        command, cwd=place.tree.folder, env=place.desk.env, stdout=subprocess.PIPE, text=True, process_group=0
    )
    until((place.tree.folder / "reached").exists, 60, "test")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    (folder,) = (place.tree.folder / "lava-runs").glob("bisect-*")
    assert json.loads((folder / "bundle.json").read_text())["test_runs"]
    place.desk.assert_clean()

"""``pytest-lava health`` on a board with a power switch of its own, and the check that a run makes by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lava_desk import Desk, bench_board

pytestmark = pytest.mark.e2e

TEST = """
    def test_it(shell):
        assert shell.run("echo here").stdout == "here\\n"
"""


class Bench:
    """A board whose switch fails as often as the file ``broken`` says, and then works."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.env["XDG_STATE_HOME"] = str(desk.folder / "state-of-user")
        bench_board(desk, "bench")
        switch = desk.folder / "boards" / "bench"
        text = switch.read_text().replace(
            "case $1 in\n",
            "left=$(cat ../broken 2>/dev/null || echo 0)\n"
            'if [ "$1" = on ] && [ "$left" -gt 0 ]; then\n'
            '    echo $((left - 1)) >../broken; echo "outlet 3 does not answer" >&2; exit 1\nfi\ncase $1 in\n',
        )
        switch.write_text(text)
        board = desk.folder / "boards" / "bench.toml"
        board.write_text(board.read_text() + "[retry]\npower = 1\nboot = 1\n[health]\nafter = 2\n")
        desk.write("test_it.py", TEST)

    def broken(self, times: int) -> None:
        self.desk.write("broken", f"{times}\n")

    def run(self, name: str) -> tuple[int, str]:
        status, session = self.desk.run("--board=bench", "test_it.py", run=name)
        return status, session.output

    @property
    def quarantined(self) -> bool:
        return (self.desk.locks / "quarantine" / "bench.toml").exists()


@pytest.fixture
def bench(desk: Desk) -> Bench:
    return Bench(desk)


def test_healthy(bench: Bench) -> None:
    done = bench.desk.cli("health", "bench", "localhost")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("  ")]
    names = ("files", "deploy", "boot", "shell", "reset", "network")
    assert steps == [[name, "-" if name == "network" else "ok"] for name in names] * 2
    assert "bench is healthy (" in done.stdout
    # a reset is off and on, and the board is off in the end
    assert [word for word, _ in bench.desk.switches("bench")][-4:] == ["on", "off", "on", "off"]
    (folder,) = (bench.desk.folder / "lava-runs").glob("*-health-bench")
    assert bench.desk.cli("bundle", str(folder)).returncode == 0
    runs = json.loads((folder / "bundle.json").read_text())["test_runs"]
    results = {
        result["test_case_id"]: result["result"]
        for run in runs if run["test_id"] == "health" for result in run["test_results"]
    }  # fmt: skip
    assert results == dict.fromkeys(names, "pass") | {"network": "skip"}
    told = bench.desk.cli("health", "--history", "bench").stdout
    assert len(told.splitlines()) == 1
    assert "healthy (files" in told
    bench.desk.assert_clean()


def test_not_healthy(bench: Bench) -> None:
    bench.broken(99)
    done = bench.desk.cli("health", "bench", "--quarantine")
    assert done.returncode == 69, done.stdout + done.stderr
    assert "boot     FAILED" in done.stdout
    assert "reset    -                 not tried" in done.stdout
    assert "bench is not healthy: boot: the power command for bench failed (exit status 1)" in done.stdout
    assert bench.quarantined
    assert bench.run("quarantined")[0] == 69
    bench.broken(0)
    assert "bench stays in quarantine" in bench.desk.cli("health", "bench").stdout
    done = bench.desk.cli("health", "bench", "--release")
    assert done.returncode == 0
    assert "bench can be used again: it was in quarantine since" in done.stdout
    assert bench.run("free")[0] == 0
    assert [line.split()[5].rstrip(":") for line in bench.desk.cli("health", "--history").stdout.splitlines()] == [
        "NOT", "healthy", "healthy",
    ]  # fmt: skip
    bench.desk.assert_clean()


def test_a_run_checks_a_board_that_fails_too_often(bench: Bench) -> None:
    bench.broken(99)
    status, told = bench.run("first")
    assert status == 69
    assert "health" not in told
    status, told = bench.run("second")
    assert status == 69
    assert "board bench had 2 lab faults of late: checking its health ...\nbench is not healthy: boot: " in told
    assert "bench is in quarantine, no run uses it: " in told
    assert bench.quarantined
    assert (bench.desk.folder / "second" / "health-bench" / "journal.jsonl").exists()
    status, told = bench.run("third")
    assert status == 69
    assert "checking its health" not in told
    assert "pytest-lava boards --release bench" in told
    bench.desk.assert_clean()


def test_a_board_that_is_found_healthy_is_used_on(bench: Bench) -> None:
    bench.broken(2)
    assert bench.run("first")[0] == 69
    status, told = bench.run("second")
    assert status == 69
    assert "bench is healthy (" in told
    assert not bench.quarantined
    bench.broken(1)
    status, told = bench.run("third")  # counted anew
    assert status == 69
    assert "health" not in told
    bench.desk.assert_clean()


def test_a_mistake_in_the_call(bench: Bench) -> None:
    assert bench.desk.cli("health").returncode == 4
    assert bench.desk.cli("health", "nosuch").returncode == 4
    assert not (bench.desk.folder / "lava-runs").exists()


def test_another_run_has_the_board(bench: Bench) -> None:
    bench.desk.write("test_it.py", """
        import pathlib
        def test_it(shell):
            pathlib.Path("reached").touch()
            shell.run("sleep 60")
    """)  # fmt: skip
    session = bench.desk.start("--board=bench", "test_it.py")
    session.reach("reached")
    done = bench.desk.cli("health", "bench")
    assert done.returncode == 69
    assert "bench was not checked: " in done.stdout
    session.signal(2)
    session.wait()
    bench.desk.assert_clean()
    assert not Path(bench.desk.env["XDG_STATE_HOME"], "pytest-lava", "health.jsonl").exists()

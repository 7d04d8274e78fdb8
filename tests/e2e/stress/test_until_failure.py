"""Tests in rounds until one fails: how often each passed, what is kept of it, and that it ends."""

from __future__ import annotations

import pytest
from support.face import Face, properties

pytestmark = pytest.mark.e2e

ROUNDS = """
    import pytest
    count, fixtures = [], []

    @pytest.fixture(scope="session")
    def costly():
        fixtures.append(1)
        yield
        fixtures.append(-1)

    def test_good(shell, costly):
        print("said in every round")
        shell.check("true")

    def test_flaky(shell):
        count.append(1)
        print("this is round", len(count))
        shell.check(f"echo number {len(count)}; [ {len(count)} -lt 5 ]")

    def test_plain(): assert sum(fixtures) == 1
"""


def test_rounds_until_one_fails(face: Face) -> None:
    face.write(test_it=ROUNDS)
    result = face.run("--board=localhost", "--until-failure", "test_it.py")
    result.assert_outcomes(passed=3 * 4 + 1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "this is round 5",
            "test_it.py::test_good[[]localhost]: passed 5 of 5 (100.00 %)",
            "test_it.py::test_flaky[[]localhost]: passed 4 of 5 (80.00 %)",
            "test_it.py::test_plain: passed 4 of 4 (100.00 %)",
            "ran * s, 5 rounds, until: a test failed",
        ]
    )
    result.stdout.no_fnmatch_line("this is round 4")  # each report has its own output
    found = face.results()["test-it.py"]
    assert found["test_flaky"]["result"] == "fail"
    assert found["test_flaky"]["attributes"].items() >= {"runs": "5", "passes": "4", "pass_rate": "80.00 %"}.items()
    assert found["test_good"]["attributes"]["runs"] == "5"
    assert properties(face.junit()["test_it::test_flaky"])["pass_rate"] == "80.00 %"
    slices = sorted(path.name for path in (face.latest / "console").iterdir())
    assert len(slices) == 2  # one for each test, that of its last run
    assert "number 5" in (face.latest / "console" / slices[1]).read_text()
    assert len([line for line in face.journal() if line["when"] == "call"]) == 3  # read() has the last of each


def test_a_limit_of_rounds_and_of_time(face: Face) -> None:
    face.write(test_it="def test_good(shell): shell.check('true')")
    result = face.run("--board=localhost", "--until-failure", "--stress-iterations=4", "test_it.py", passed=4)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["ran * s, 4 rounds, until: the limit of 4 rounds was met"])
    result = face.run("--board=localhost", "--until-failure", "--stress-limit=0.5s", "--command=true")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "command::true[[]localhost]: passed * of * (100.00 %)",
            "ran * s, * round*, until: the limit of 0.5 s was met",
        ]
    )


def test_it_ends_where_nothing_runs(face: Face) -> None:
    face.board("gone", 'extends = "localhost"\nconsole = "exec:false"\n')
    face.write(test_it="def test_it(shell): pass")
    result = face.run("--board=gone", "--until-failure", "test_it.py")
    assert result.ret == 69
    result.stdout.fnmatch_lines(["ran * s, 1 round, until: a test failed"])
    face.write(test_it="import pytest\n@pytest.mark.skip\ndef test_it(shell): pass")
    result = face.run("--board=localhost", "--until-failure", "test_it.py", skipped=1)
    result.stdout.fnmatch_lines(["test_it.py::test_it[[]localhost]: skipped", "*until: all tests were skipped"])


def test_not_with_workers_and_not_without_a_board(face: Face) -> None:
    face.write(test_it="def test_it(shell): pass")
    assert "leave out -n" in face.refused("--board=localhost", "--until-failure", "-n2", "test_it.py")[0]
    assert "no board was given" in face.refused("--until-failure", "test_it.py")[0]

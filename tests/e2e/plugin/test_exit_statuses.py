"""The exit status of whole runs, as docs/results.md tells it to those who configure CI."""

from __future__ import annotations

import pytest
from support.face import Face

GOOD = "def test_good(shell): shell.check('true')"
BAD = "def test_bad(shell): shell.check('false')"
DEAD = """
    extends = "localhost"
    console = "{line}"
    power = "none"
    [retry]
    boot = 1
    [timeouts]
    power = 1
"""


@pytest.mark.parametrize(
    ("arguments", "tests", "status"),
    [
        pytest.param(["--board=localhost"], [GOOD], 0, id="good"),
        pytest.param(["--board=localhost"], [GOOD, BAD], 1, id="a-test-failed"),
        pytest.param(["--board=localhost", "--board=dead"], [GOOD], 69, id="the-lab"),
        pytest.param(["--board=dead", "--board=localhost"], [GOOD, BAD], 1, id="a-test-wins-over-the-lab"),
        pytest.param(["--board=localhost", "--kernel=nosuch"], [GOOD], 4, id="a-mistake"),
        pytest.param(["--board=localhost", "-k", "nothing"], [GOOD], 5, id="no-tests"),
        pytest.param(["--board=localhost"], ["import nosuch"], 2, id="a-test-file-that-cannot-be-imported"),
    ],
)
def test_status(face: Face, arguments: list[str], tests: list[str], status: int) -> None:
    face.board("dead", DEAD.format(line=face.path / "no-such-line"))
    face.write(test_it="\n".join(tests))
    result = face.run(*arguments, "test_it.py")
    assert result.ret == status, result.outlines
    if status in (0, 1, 69):
        assert face.journal("end")[0]["status"] == status

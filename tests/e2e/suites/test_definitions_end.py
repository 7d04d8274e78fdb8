"""However a definition on a shell of this machine ends, no file and no process of it stays."""

from __future__ import annotations

import signal

import pytest
from lava_desk import Desk, until

STAYS = """\
metadata: {format: Lava-Test Test Definition 1.0, name: stays}
run:
  steps:
    - lava-background-process-start w --cmd sleep 1234
    - sleep 1234 &
    - lava-test-case a --result pass
    - touch %s/there
    - %s
"""


@pytest.mark.parametrize(
    "last, status", [("true", 0), ("false", 1), ("set -- $(cat /proc/$$/stat); kill -9 $6; sleep 9", 1)]
)
def test_by_itself(desk: Desk, last: str, status: int) -> None:
    desk.write("stays.yaml", STAYS % (desk.folder, f"'{last}'"))
    found, session = desk.run("stays.yaml", "--board=localhost")
    assert found == status, session.output
    desk.assert_clean()
    assert session.bundle()["a[localhost]"] == "pass"


def test_over_its_time(desk: Desk) -> None:
    desk.write("stays.yaml", STAYS % (desk.folder, "sleep 60"))
    found, session = desk.run("stays.yaml", "--board=localhost", "--suite-timeout=4")
    assert found == 1, session.output
    desk.assert_clean()
    assert session.bundle()["a[localhost]"] == "pass"
    assert "the definition is over its limit of 4 s (--suite-timeout)" in session.output
    assert "its last command, behind which nothing ran: sleep 60" in session.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_killed(desk: Desk, number: int) -> None:
    desk.write("stays.yaml", STAYS % (desk.folder, "sleep 60"))
    session = desk.start("stays.yaml", "--board=localhost")
    session.reach("there")
    until(lambda: "stays.yaml::a" in (session.folder / "journal.jsonl").read_text(), 10, "result")
    session.signal(number)
    session.wait()
    desk.assert_clean(10)
    assert session.rebuilt()["a[localhost]"] == "pass"

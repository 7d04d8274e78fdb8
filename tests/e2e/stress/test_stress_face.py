"""Stress runs as a user types them: results everywhere, also when somebody or something ends the run itself."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import datetime
from typing import Any

import pytest
from lava_desk import Desk, Session, until
from support.face import Face, properties

from pytest_lava.results.journal import read

pytestmark = pytest.mark.e2e

AFTER = "def test_after(shell): assert shell.run('echo after').stdout == 'after\\n'"


def case(session: Session, name: str) -> dict[str, Any]:
    """One result of a bundle."""
    bundle = json.loads((session.folder / "bundle.json").read_text())
    found = {result["test_case_id"]: result for run in bundle["test_runs"] for result in run["test_results"]}
    return dict(found[name])


def progress(session: Session) -> list[dict[str, Any]]:
    """What is in the journal by now."""
    path = session.folder / "journal.jsonl"
    return [line for line in read(path) if line["kind"] == "progress"] if path.exists() else []


# -- results ---------------------------------------------------------------------------------------------------------


def test_limits_and_failures(face: Face) -> None:
    face.write(test_it=AFTER)
    result = face.run(
        "--board=localhost", "--stress=echo hi; sleep 0.01", "--stress=echo no; exit 3", "--stress-iterations=20",
        "test_it.py", passed=2, failed=1,
    )  # fmt: skip
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "ran 0.* s, 1 iteration, until: the command returned 3: echo no; exit 3",
            "*Command stdout*",
            "no",
            "*= stress =*",
            "stress::echo hi; sleep 0.01[[]localhost]: ran *, 20 iterations, until: the limit of 20 iterations was met",
            "stress::echo no; exit 3[[]localhost]: ran *, 1 iteration, until: the command returned 3: echo no; exit 3",
        ]
    )
    (good,), (bad,) = face.results()["echo-hi-sleep-0.01"].values(), face.results()["echo-no-exit-3"].values()
    assert (good["result"], good["units"], good["attributes"]["stress.cause"]) == ("pass", "seconds", "limit")
    assert 0.2 < good["measurement"] < 5
    assert good["attributes"]["stress.iterations"] == "20"
    assert (bad["result"], bad["attributes"]["stress.cause"]) == ("fail", "command failed")
    assert bad["attributes"]["error.class"] == "OperationFailed"
    assert float(properties(face.junit()["command::echo no; exit 3"])["measurement"]) == bad["measurement"]
    page = (face.latest / "report.html").read_text()
    assert "the limit of 20 iterations was met" in page
    assert "until: the command returned 3" in page


@pytest.mark.emulated
def test_a_crash_fails_with_its_time_and_the_next_test_passes(face: Face) -> None:
    face.snapshots = True
    face.write(test_it=f"{AFTER}\ndef test_again(board): assert board.boot_id == 2")
    face.write(
        conftest="def pytest_collection_modifyitems(items): items.sort(key=lambda item: 'stress' not in item.nodeid)"
    )
    crash = "sleep 2; echo c >/proc/sysrq-trigger"
    result = face.run("--board=qemu-arm64", f"--stress={crash}", "test_it.py", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "ran 2.* s, until: the kernel crashed: Kernel panic - not syncing: sysrq triggered crash",
            "stress::*: ran 2.* s, until: the kernel crashed: Kernel panic - not syncing: sysrq triggered crash",
        ]
    )
    (found,) = face.results()["sleep-2-echo-c-proc-sysrq-trigger"].values()
    assert (found["result"], found["units"]) == ("fail", "seconds")
    assert (found["attributes"]["stress.cause"], found["attributes"]["error.class"]) == ("crash", "KernelCrash")
    assert abs(found["measurement"] - float(found["attributes"]["stress.board_seconds"])) < 0.2
    assert any(one["pathname"] == "evidence.txt" for one in found["attachments"])


def test_a_marked_test_is_called_again_until_it_fails(face: Face) -> None:
    face.write(
        test_it="""
            import pytest
            count = []
            @pytest.fixture
            def fresh(): return []
            @pytest.mark.stress(iterations=50)
            def test_breaks(shell, fresh):
                count.append(1); fresh.append(1)
                assert len(fresh) == len(count)
                assert shell.run(f"echo {len(count)}").stdout != "7\\n"
            @pytest.mark.stress(limit="0.5s")
            def test_holds(shell): shell.check("true")
            @pytest.mark.stress
            class TestMany:
                def test_option(self, shell): shell.check("true")
        """
    )
    result = face.run("--board=localhost", "--stress-iterations=3", "test_it.py", passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_breaks[[]localhost]: ran *, 6 iterations, until: assert '7\\n' != '7\\n'",
            "test_it.py::test_holds[[]localhost]: ran 0.5 s, * iterations, until: the limit of 0.5 s was met",
            "test_it.py::TestMany::test_option[[]localhost]: *, 3 iterations, until: the limit of 3 iterations was met",
        ]
    )
    found = face.results()["test-it.py"]["test_breaks"]
    assert (found["result"], found["attributes"]["stress.iterations"]) == ("fail", "6")
    assert 0 < found["measurement"] < 10


def test_what_cannot_be_meant_is_a_usage_error(face: Face) -> None:
    face.write(test_it="import pytest\n@pytest.mark.stress(time=3)\ndef test_it(shell): pass")
    assert "there is no 'time'; there are limit, iterations" in face.refused("--board=localhost", "test_it.py")[0]
    face.write(test_it="import pytest\n@pytest.mark.stress(limit='soon')\ndef test_it(shell): pass")
    assert "write a time such as" in face.refused("--board=localhost", "test_it.py")[0]
    assert "write a time such as" in face.refused("--board=localhost", "--stress=true", "--stress-limit=ever")[0]
    assert "without a command" in face.refused("--board=localhost", "--stress= ")[0]
    assert "no board was given" in face.refused("--stress=true")[0]


def test_the_limit_of_the_session_holds_too(face: Face) -> None:
    face.write(
        test_it="""
            import pytest

            @pytest.mark.stress
            def test_stressed(shell): shell.check("sleep 0.1")
            """
    )
    for given in ("--stress=sleep 1000", "test_it.py"):
        result = face.run("--board=localhost", "--session-timeout=1", given, passed=1)
        assert result.ret == 1
        result.stdout.fnmatch_lines(["*until: the limit of *s was met", "*session-timeout: 1.0 sec exceeded*"])


# -- ends of the run itself ------------------------------------------------------------------------------------------


def started(desk: Desk) -> Session:
    """A load that never ends, some of which is in the journal by now."""
    desk.write("test_it.py", AFTER)
    session = desk.start("--board=localhost", "--stress=sleep 0.2", "--stress-report=0.3", "test_it.py")
    until(lambda: [line for line in progress(session) if dict(line["properties"])["stress.iterations"]], 60, "progress")
    return session


def test_kill_9_leaves_the_time_so_far(desk: Desk) -> None:
    session = started(desk)
    begun = time.monotonic()
    session.process.kill()
    session.wait()
    desk.assert_clean(6)  # the load ends by its leash
    assert time.monotonic() - begun < 8
    found = session.rebuilt()
    told = found["sleep-0.2[localhost]"]
    assert told.startswith("the run ended while this test was running: has run ")
    result = case(session, "sleep-0.2")
    assert (result["result"], result["units"]) == ("unknown", "seconds")
    assert result["measurement"] == progress(session)[-1]["properties"][0][1] > 0.2
    assert result["attributes"]["stress.cause"] == "running"
    assert int(result["attributes"]["stress.iterations"]) >= 1
    assert found["test_after[localhost]"] == "pass"


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 2), (signal.SIGTERM, 143)], ids=["Ctrl-C", "TERM"])
def test_an_interrupt_keeps_the_time(desk: Desk, number: int, status: int) -> None:
    session = started(desk)
    before = progress(session)[-1]["properties"][0][1]
    sent = session.signal(number, group=number == signal.SIGINT)
    assert session.wait() == status
    desk.assert_clean()
    told = datetime.fromisoformat(progress(session)[-1]["time"]).timestamp()
    assert told - sent < 2
    result = case(session, "sleep-0.2")
    assert result["attributes"]["stress.cause"] == "interrupted"
    assert result["measurement"] > before
    assert re.search(r"ran .* s, \d+ iterations?, until: interrupted$", result["message"])
    if number == signal.SIGINT:  # pytest has no summary after the other one
        assert re.search(r"sleep 0.2\[localhost\]: ran .* s, \d+ iterations?, until: interrupted\n", session.output)
    assert session.bundle() == session.rebuilt()

"""However a run ends, nothing of a host command stays, and no file of a script."""

from __future__ import annotations

import signal

import pytest
from lava_desk import Desk


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_host_command(desk: Desk, number: int) -> None:
    command = f"setsid sleep 1234 & sleep 1234 & touch {desk.folder}/there; wait"
    session = desk.start("--board=localhost", "--host-command", command)
    session.reach("there")
    session.signal(number)
    session.wait()
    desk.assert_clean(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_script(desk: Desk, number: int) -> None:
    desk.write("stays.sh", f"touch {desk.folder}/there; sleep 60\n")
    session = desk.start("stays.sh", "--board=localhost")
    session.reach("there")
    session.signal(number)
    session.wait()
    desk.assert_clean(10)

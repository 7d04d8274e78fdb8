from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, PowerError
from pytest_lava.events import EventLog
from pytest_lava.lab.guardian import Guardian
from pytest_lava.power.api import PowerContext
from pytest_lava.power.command import CommandPower
from pytest_lava.power.none import NoPower

LONG = Deadline.after(3600)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[PowerContext]:
    events = EventLog(tmp_path / "events.jsonl")
    with Guardian() as guardian:
        yield PowerContext("panda", tmp_path, guardian, events)
    events.close()


def power(context: PowerContext, **options: object) -> CommandPower:
    settings = {"on": "echo on >> log", "off": "echo off >> log", "settle": 0.0, **options}
    return CommandPower(CommandPower.Options.model_validate(settings), context)


def log(context: PowerContext) -> list[str]:
    return (context.folder / "log").read_text().split()


def living_in_group(group: str) -> list[str]:
    """The commands of a process group, 2 s after it was killed at the latest, that are no zombies."""
    deadline = Deadline.after(2)
    while (found := in_group(group)) and not deadline.expired:
        pass
    return found


def in_group(group: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            command, _, rest = entry.read_text().rpartition(")")
            state, _, its_group = rest.split()[:3]
            if state != "Z" and its_group == group.strip():
                found.append(command)
    return found


def living(pid: str) -> bool:
    """Whether the process runs, and is no zombie; it may take a moment to die."""
    deadline = Deadline.after(2)
    while not deadline.expired:
        try:
            if Path(f"/proc/{pid.strip()}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
    return True


def test_on_and_off_are_not_repeated(context: PowerContext) -> None:
    board = power(context)
    board.on(LONG)
    board.on(LONG)
    board.off(LONG)
    board.off(LONG)
    assert log(context) == ["on", "off"]


def test_off_of_an_unknown_state_is_run(context: PowerContext) -> None:
    power(context).off(LONG)
    assert log(context) == ["off"]


def test_cycle_waits_between(context: PowerContext) -> None:
    board = power(context, settle=0.2)
    start = time.monotonic()
    board.cycle(LONG)
    assert time.monotonic() - start >= 0.2
    assert log(context) == ["off", "on"]


def test_cycle_command(context: PowerContext) -> None:
    board = power(context, cycle="echo cycle >> log")
    board.cycle(LONG)
    board.on(LONG)
    board.off(LONG)
    assert log(context) == ["cycle", "off"]


def test_cycle_without_time_for_settling(context: PowerContext) -> None:
    with pytest.raises(PowerError, match="allow the power cycle more time"):
        power(context, settle=60).cycle(Deadline.after(5))


def test_board_name_is_in_the_environment(context: PowerContext) -> None:
    power(context, on="echo $LAVA_BOARD >> log").on(LONG)
    assert log(context) == ["panda"]


def test_failing_command_is_quoted_with_its_last_words(context: PowerContext) -> None:
    board = power(context, on="echo first >&2; echo 'no such outlet' >&2; echo; exit 3")
    with pytest.raises(PowerError) as caught:
        board.on(LONG)
    assert str(caught.value) == (
        "the power command for panda failed (exit status 3): "
        "`echo first >&2; echo 'no such outlet' >&2; echo; exit 3`: no such outlet"
    )


def test_daemon_of_the_command_is_not_waited_for_and_lives_on(context: PowerContext) -> None:
    board = power(context, on="sleep 600 & echo $! > pid", off="kill $(cat pid)")
    start = time.monotonic()
    board.on(LONG)
    assert time.monotonic() - start < 2
    pid = int((context.folder / "pid").read_text())
    os.kill(pid, 0)
    board.off(LONG)


@pytest.mark.parametrize("own_limit", [True, False])
def test_hanging_command_leaves_no_process(context: PowerContext, own_limit: bool) -> None:
    board = power(context, on="sleep 600 & echo $$ > group; sleep 601", timeout=0.3 if own_limit else 30)
    with pytest.raises(PowerError, match=r"failed \(not done after 0.[23]"):
        board.on(LONG if own_limit else Deadline.after(0.3))
    assert not living_in_group((context.folder / "group").read_text())


DIE = """
import os, sys
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.events import EventLog
from pytest_lava.lab.guardian import Guardian
from pytest_lava.power.api import PowerContext
from pytest_lava.power.command import CommandPower
folder = Path(sys.argv[1])
off = "kill $(cat pid); echo $LAVA_BOARD $PWD > off; " + sys.argv[2]
options = CommandPower.Options(on="sleep 600 & echo $! > pid", off=off)
guardian = Guardian()
board = CommandPower(options, PowerContext("it's", folder, guardian, EventLog()))
board.on(Deadline.after(30))
try:
    board.off(Deadline.after(30)) if sys.argv[3] == "off" else None
except Exception as error:
    print(error, flush=True)
print(guardian.pid, flush=True)
sys.stdin.read()
"""


def die(folder: Path, *arguments: str) -> None:
    """Let a process with a board that is on be killed, and wait until its guardian is done."""
    process = subprocess.Popen(
        [sys.executable, "-c", DIE, str(folder), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    lines = [process.stdout.readline()]
    while not lines[-1].strip().isdigit():
        lines.append(process.stdout.readline())
    guardian = os.pidfd_open(int(lines[-1]))
    process.kill()
    process.communicate()
    assert select.select([guardian], [], [], 5)[0]
    os.close(guardian)


def test_killed_run_switches_off(tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    die(folder, "true", "on")
    assert (folder / "off").read_text() == f"it's {folder}\n"
    assert not living((folder / "pid").read_text())


def test_after_a_successful_off_the_guardian_does_nothing(tmp_path: Path) -> None:
    die(tmp_path, "echo x >> count", "off")
    assert (tmp_path / "count").read_text() == "x\n"


def test_after_a_failed_off_the_guardian_tries_again(tmp_path: Path) -> None:
    die(tmp_path, "echo x >> count; exit 1", "off")
    assert (tmp_path / "count").read_text() == "x\nx\n"


def test_interrupt_during_a_command_ends_it(context: PowerContext) -> None:
    board = power(context, on="echo $$ > group; sleep 0.2; kill -INT $PPID; sleep 600")
    with pytest.raises(KeyboardInterrupt):
        board.on(LONG)
    assert not living_in_group((context.folder / "group").read_text())


def test_check(context: PowerContext) -> None:
    power(context, cycle="echo a && b").check()
    (context.folder / "switch").write_text("#!/bin/sh\n")
    (context.folder / "switch").chmod(0o755)
    for good in (
        "./switch on",
        "if true; then nosuch; fi",
        "POWER=1 nosuch",
        "(nosuch)",
        "$TOOL on",
        "! false",
        "[ 1 ]",
    ):
        power(context, on=good).check()
    with pytest.raises(ConfigurationError, match=r"power.off of board panda is no valid shell command: `kill \$\(`"):
        power(context, off="kill $(").check()
    for missing in ("nosuch-pdu off 3", "./nosuch", "/nosuch/pdu;"):
        with pytest.raises(
            ConfigurationError, match=r"power.off of board panda cannot run: there is no program '\S*nosuch"
        ):
            power(context, off=missing).check()


@pytest.mark.parametrize("command", ["true && nosuch-pdu on 3", "true && ./switch"])
def test_a_program_that_is_missing_is_no_fault_of_the_power(context: PowerContext, command: str) -> None:
    (context.folder / "switch").touch()
    board = power(context, on=command)
    board.check()
    with pytest.raises(
        ConfigurationError, match=r"needs a program that is not there \(exit status 12[67]\): `true && "
    ):
        board.on(LONG)


@pytest.mark.parametrize("options", [{}, {"on": "a", "off": ""}, {"on": "a", "off": "b", "of": "c"}])
def test_wrong_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        CommandPower.Options.model_validate(options)


def test_no_power_cannot_cycle(context: PowerContext) -> None:
    board = NoPower(NoPower.Options(), context)
    board.check()
    board.on(LONG)
    board.off(LONG)
    with pytest.raises(PowerError, match="by hand"):
        board.cycle(LONG)

"""Deployment by commands: real programs, whose words arrive as they are meant."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.boards import NobodyToGuard

from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import DeployContext
from pytest_lava.deploy.command import CommandDeploy
from pytest_lava.errors import ConfigurationError, DeployFailed, InfrastructureError
from pytest_lava.events import EventLog
from pytest_lava.images.kernel import KernelFile
from pytest_lava.images.shelf import Shelf
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import PowerContext
from pytest_lava.power.command import CommandPower

#: writes its words to the file that it is given, one JSON list a line
TELL = "import json, sys; print(json.dumps(sys.argv[2:]), file=open(sys.argv[1], 'a'))"
TELLS = [sys.executable, "-c", TELL, "told"]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., CommandDeploy]]:
    with closing(EventLog(tmp_path / "events.jsonl")) as events:
        guard = NobodyToGuard()
        switch = CommandPower.Options(on="echo on >>power", off="echo off >>power", settle=0)
        power = CommandPower(switch, PowerContext("b", tmp_path, guard, events))

        def build(**options: Any) -> CommandDeploy:
            context = DeployContext("b", tmp_path, power, events, guard, Shelf(tmp_path / "cache"), "/dev/ttyUSB7")
            return CommandDeploy(CommandDeploy.Options(**options), context)

        yield build


def kernel(folder: Path, name: str = "Image", *, given: bool = True, append: str = "quiet") -> KernelPlan:
    path = folder / name
    path.write_bytes(b"a kernel")
    return KernelPlan("k", KernelFile(path, "Image", "arm64", None, "0" * 64), append=append, given=given)


def told(folder: Path) -> list[list[str]]:
    path = folder / "told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def soon() -> Deadline:
    return Deadline.after(20)


NASTY = "a b'c\"d;$(touch pwned)`touch pwned`&|\\{image}"


def test_values_are_words_whatever_is_in_them(tmp_path: Path, make: Callable[..., CommandDeploy]) -> None:
    python = f'{sys.executable} -c "{TELL.replace(chr(34), chr(39))}" told'
    deploy = make(
        commands=[
            [*TELLS, "--kernel={kernel}", "{append}", "{serial}", "{console}", "{board}", "{{x}}"],
            python + " 'two words' --kernel={kernel} {append}",
        ],
        serial=NASTY,
    )
    given = kernel(tmp_path, NASTY.replace("/", "_"), append=NASTY)
    found = deploy.deploy(given, None, soon())
    path = str(given.file.path)
    assert told(tmp_path) == [
        [f"--kernel={path}", NASTY, NASTY, "/dev/ttyUSB7", "b", "{x}"],
        ["two words", f"--kernel={path}", NASTY],
    ]
    assert not (tmp_path / "pwned").exists()
    assert found.files == {"kernel": "Image", "append": NASTY}


def test_what_is_not_there_leaves_its_command_out(tmp_path: Path, make: Callable[..., CommandDeploy]) -> None:
    commands = [
        [*TELLS, word] for word in ("always", "{kernel}", "{initrd}", "{image}", "{image.root}", "{image.boot}")
    ]
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"")
    image = ImagePlan("i", {"": tmp_path / "one", "root": tmp_path / "two"})
    make(commands=commands).deploy(None, image, soon())
    assert told(tmp_path) == [["always"], [str(tmp_path / "one")], [str(tmp_path / "two")]]


def test_environment_folder_and_event_log(tmp_path: Path, make: Callable[..., CommandDeploy]) -> None:
    (tmp_path / "flash").write_text('#!/bin/sh\necho "$LAVA_BOARD in $PWD" >&2\nread x || echo no input\n')
    (tmp_path / "flash").chmod(0o755)
    make(commands=["./flash"]).deploy(None, None, soon())
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(event["message"], event["output"], event["status"]) for event in events] == [
        ("deploy command done", f"b in {tmp_path}\nno input\n", 0)
    ]


def test_the_board_is_on_only_as_long_as_it_has_to_be(tmp_path: Path, make: Callable[..., CommandDeploy]) -> None:
    make(commands=["cp power seen"], when="on").deploy(None, None, soon())
    assert (tmp_path / "seen").read_text() == "on\n"
    assert (tmp_path / "power").read_text() == "on\noff\n"
    with pytest.raises(InfrastructureError):
        make(commands=["false"], when="on").deploy(None, None, soon())
    assert (tmp_path / "power").read_text() == "on\noff\non\noff\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("sh -c 'echo one; echo two >&2; exit 3'", r"^`sh -c .*` exited with status 3: one \| two$"),
        ("sh -c 'kill -9 $$'", r"was killed by SIGKILL$"),
        ("false", r"^`false` exited with status 1$"),
        ("sh -c 'printf \"1 %%\\r2 %%\\rno card\"; exit 1'", r": 1 % \| 2 % \| no card$"),
    ],
)
def test_programs_that_fail(tmp_path: Path, make: Callable[..., CommandDeploy], command: str, message: str) -> None:
    deploy = make(commands=[command, [*TELLS, "never"], [*TELLS, "{kernel}"]])
    with pytest.raises(DeployFailed, match=message):
        deploy.deploy(kernel(tmp_path), None, soon())
    with pytest.raises(InfrastructureError, match=message):  # nothing of the user's was deployed
        deploy.deploy(kernel(tmp_path, given=False), None, soon())
    assert told(tmp_path) == []


def test_a_program_over_its_time_is_ended_with_its_children(tmp_path: Path, make: Callable[..., CommandDeploy]) -> None:
    deploy = make(commands=["sh -c 'echo writing; sleep 60 & echo $! >child; wait'"], timeout=0.5)
    with pytest.raises(InfrastructureError, match=r"was not done after 0\.5 s and was ended: writing$"):
        deploy.deploy(None, None, soon())
    assert ended(int((tmp_path / "child").read_text()))


def test_an_interrupt_ends_the_program(tmp_path: Path, make: Callable[..., CommandDeploy]) -> None:
    os.mkfifo(tmp_path / "fifo")
    deploy = make(commands=["sh -c 'sleep 0.3; echo $$ >fifo; exec sleep 60'"])
    seen: list[int] = []

    def interrupt() -> None:
        seen.append(int((tmp_path / "fifo").read_text()))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        deploy.deploy(None, None, soon())
    thread.join()
    assert ended(seen[0])


def ended(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        if not state.exists() or state.read_text().split(") ")[1][0] == "Z":
            return True
        threading.Event().wait(0.05)
    return False


@pytest.mark.parametrize(
    ("options", "kernel_given", "images", "message"),
    [
        ({"commands": ["nosuchprogram {kernel}"]}, True, [], "the program 'nosuchprogram', which deploys to board 'b'"),
        ({"commands": ["./nosuch {kernel}"]}, True, [], "the program './nosuch'"),
        ({"commands": ["true {image}"]}, True, [], r"uses \{kernel\}: leave out --kernel"),
        ({"commands": ["true {kernel}"]}, True, [""], "uses --image without a name: it takes none"),
        (
            {"commands": ["true {image.boot}", "true {image} {image.root}"]}, False, ["rot"],
            "uses --image rot=: it takes one without a name, boot=, root=",
        ),
    ],
)  # fmt: skip
def test_checked_before_a_board_is_touched(
    make: Callable[..., CommandDeploy], options: Any, kernel_given: bool, images: list[str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(**options).check(kernel_given, images)


def test_what_fits_passes(make: Callable[..., CommandDeploy]) -> None:
    deploy = make(commands=["true {kernel}", "true {image.root}"])
    deploy.check(False, [])
    deploy.check(True, ["root"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"commands": []}, "at least 1 item"),
        ({"commands": [""]}, "at least 1 item"),
        ({"commands": ["say 'never ends"]}, "this is not a command: No closing quotation"),
        ({"commands": ["x {kernl}"]}, r"no placeholder \{kernl\}; did you mean \{kernel\}\?"),
        ({"commands": [["x", "{foo}"]]}, r"no placeholder \{foo\}; there are \{kernel\}, \{initrd\}"),
        ({"commands": ["x {image.a.b}"]}, r"no placeholder"),
        ({"commands": ["x {serial}"]}, r"a command names \{serial\}: set serial"),
        ({"commands": ["x"], "serve": "ums 0 mmc 0"}, 'they are for when = "bootloader"'),
        ({"commands": ["x"], "when": "maybe"}, "'off', 'on' or 'bootloader'"),
        ({"commands": ["x"], "timeout": 0}, "greater than 0"),
        ({"commands": ["x"], "comands": 1}, "Extra inputs"),
    ],
)
def test_board_files_that_are_wrong(options: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CommandDeploy.Options(**options)

"""Logging in chooses the protocol: the agent, markers where it cannot live, or what ``[login] protocol`` says."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.lines import SHELLS, soon
from support.poor import own_mounts

from pytest_lava.boot.api import BootContext
from pytest_lava.boot.login import log_in
from pytest_lava.config.model import Login
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.process import open_process
from pytest_lava.console.shell import Shell
from pytest_lava.errors import BootFailed
from pytest_lava.events import EventLog

TOOLS = ["head", "wc", "sed", "rm", "cat"]
PLACES = ("/dev/shm", "/run", "/tmp", "/var/tmp")


@contextmanager
def logged_in(folder: Path, line: str | FdTransport, **login: Any) -> Iterator[Shell]:
    with closing(Console(folder / "console.log")) as console, closing(EventLog(folder / "events.jsonl")) as events:
        console.attach(open_process(line)[0] if isinstance(line, str) else line)
        yield log_in(BootContext("here", console, Login(**login), events, 60), soon(30))


def warnings(folder: Path) -> list[dict[str, str]]:
    events = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    return [event for event in events if event["level"] == "warning"]


def fine(shell: Shell) -> bool:
    result = shell.run("cat; echo err >&2; exit 3", input="out", timeout=5)
    return (result.returncode, result.stdout, result.stderr) == (3, "out", "err\n")


def poor(folder: Path, *tools: str) -> str:
    """A shell of busybox that finds nothing but these tools."""
    (folder / "bin").mkdir()
    for tool in ["sh", *tools]:
        (folder / "bin" / tool).symlink_to("/usr/bin/busybox")
    return f"/usr/bin/env PATH={folder}/bin {folder}/bin/sh -i"


@pytest.mark.parametrize("name", sorted(SHELLS))
def test_the_agent_is_first(tmp_path: Path, name: str) -> None:
    with logged_in(tmp_path, SHELLS[name]) as shell:
        assert isinstance(shell, AgentShell)
        assert fine(shell)
    assert warnings(tmp_path) == []


def test_markers_where_the_agent_cannot_live(tmp_path: Path) -> None:
    with logged_in(tmp_path, poor(tmp_path, *TOOLS), commands=("echo hello",)) as shell:
        assert isinstance(shell, MarkerShell)
        assert fine(shell)
    (warning,) = warnings(tmp_path)
    assert warning["message"].startswith("commands go by the marker protocol: its tty cannot be set: there is no stty")
    assert warning["protocol"] == "marker"


def test_markers_on_a_line_without_a_tty(tmp_path: Path) -> None:
    """As a shell behind a bare TCP port has."""
    ours, theirs = socket.socketpair()
    with theirs, subprocess.Popen(["dash", "-i"], stdin=theirs, stdout=theirs, stderr=theirs) as process:
        with logged_in(tmp_path, FdTransport(ours, "bare", why_closed=lambda: "it ended")) as shell:
            assert isinstance(shell, MarkerShell)
            assert fine(shell)
        process.kill()
    (warning,) = warnings(tmp_path)
    assert "or it is no tty" in warning["message"]


def test_markers_on_demand(tmp_path: Path) -> None:
    with logged_in(tmp_path, SHELLS["dash"], protocol="marker") as shell:
        assert isinstance(shell, MarkerShell)
        assert fine(shell)
    assert warnings(tmp_path) == []


def test_agent_on_demand(tmp_path: Path) -> None:
    with logged_in(tmp_path, SHELLS["dash"], protocol="agent") as shell:
        assert isinstance(shell, AgentShell)
        assert fine(shell)
    why = r"^commands go by the agent alone \(\[login\] protocol\), but it cannot live on here: its tty cannot be set"
    with (
        pytest.raises(BootFailed, match=why),
        logged_in(tmp_path, poor(tmp_path, *TOOLS), protocol="agent"),
    ):
        pass


@pytest.mark.parametrize("tools", [["stty"], ["stty", "base64"], ["stty", "od"], ["stty", "md5sum"]], ids="-".join)
def test_agent_with_few_tools(tmp_path: Path, tools: list[str]) -> None:
    with logged_in(tmp_path, poor(tmp_path, *TOOLS, *tools)) as shell:
        assert isinstance(shell, AgentShell)
        assert fine(shell)
        assert shell.run("head -c 5000 /dev/zero").stdout_bytes == bytes(5000)


def test_full_tmpfs_is_not_used(tmp_path: Path) -> None:
    full = "mount -t tmpfs -o size=64k none /dev/shm; head -c 65536 /dev/zero >/dev/shm/full"
    with logged_in(tmp_path, own_mounts(full)) as shell:
        assert isinstance(shell, AgentShell)
        assert fine(shell)
        assert shell.run("ls -a /dev/shm").stdout.split() == [".", "..", "full"]


@pytest.mark.parametrize("options", ["ro", "size=64k"])
@pytest.mark.parametrize("protocol", ["auto", "agent"])
def test_nowhere_to_write(tmp_path: Path, options: str, protocol: str) -> None:
    """Markers would lose output there without saying so."""
    fill = "head -c 65536 /dev/zero >{0}/full 2>/dev/null" if options != "ro" else ":"
    command = own_mounts(*(f"mount -t tmpfs -o {options} none {at}; {fill.format(at)}" for at in PLACES))
    with (
        pytest.raises(BootFailed, match="no folder can be written, or there is no space left"),
        logged_in(tmp_path, command, protocol=protocol),
    ):
        pass

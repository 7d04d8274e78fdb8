"""The agent on boards that lack tools, space or a folder, and on those that take its files away."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lines import SHELLS, FaultLine, open_agent, soon
from support.poor import TOOLS, fine, own_mounts, restricted

from pytest_lava.console.agent import AgentShell, AgentUnfit
from pytest_lava.console.console import Console
from pytest_lava.console.process import open_process
from pytest_lava.errors import (
    InfrastructureError,
)

ALL = pytest.mark.parametrize("name", sorted(SHELLS))


@pytest.mark.parametrize(
    "tools", [["md5sum", "base64"], ["od"], ["hexdump", "+cksum"], [], ["cksum", "md5sum"]], ids="-".join
)
def test_few_tools(tmp_path: Path, tools: list[str]) -> None:
    line = FaultLine(open_process(restricted(tmp_path, *TOOLS, *tools))[0], hit=0.4, seed=8)
    with open_agent(tmp_path, line=line) as shell:
        for size in (0, 1, 300, 5000) * 5:
            result = shell.run("cat; echo err >&2", input="x" * size, timeout=20)
            assert (result.stdout, result.stderr) == ("x" * size, "err\n")
        assert shell.run("seq 10", max_output=4).stdout == "1\n2\n"
        live = shell.run("seq 300", on_output=lambda data: None)
        assert live.stdout == "".join(f"{number}\n" for number in range(1, 301))


@pytest.mark.parametrize("missing", ["cat", "wc", "sed", "+cksum"])
def test_one_tool_too_few(tmp_path: Path, missing: str) -> None:
    command = restricted(tmp_path, *(tool for tool in [*TOOLS, "+cksum"] if tool != missing))
    with open_agent(tmp_path, command) as shell:
        for _ in range(2):
            assert shell.run("seq 10; echo err >&2; exit 3", max_output=4).stdout == "1\n2\n"
        assert fine(shell)


def test_board_that_cannot_count(tmp_path: Path) -> None:
    command = restricted(tmp_path, *(tool for tool in TOOLS if tool != "wc"))
    with open_agent(tmp_path, command) as shell:
        assert shell.run("exit 3").returncode == 3
        for _ in range(2):
            with pytest.raises(InfrastructureError, match="lacks cksum and wc"):
                shell.run("echo out")
        assert shell.run("exit 4").returncode == 4


@pytest.mark.parametrize("missing", ["stty", "head"])
def test_too_few_tools(tmp_path: Path, missing: str) -> None:
    command = restricted(tmp_path, *(tool for tool in TOOLS if tool != missing))
    with pytest.raises(AgentUnfit, match=missing) as caught, open_agent(tmp_path, command):
        pass
    assert caught.value.markers == (missing == "stty")


def test_no_space_left(tmp_path: Path) -> None:
    command = own_mounts("mount -t tmpfs -o size=256k none /dev/shm")
    with open_agent(tmp_path, command) as shell:
        assert len(shell.run("head -c 100000 /dev/zero").stdout) == 100000
        with pytest.raises(InfrastructureError, match="no space left on the board for the output of: head -c 9"):
            shell.run("head -c 900000 /dev/zero")
        assert fine(shell)
        with pytest.raises(InfrastructureError, match="no space left"):
            shell.run("head -c 900000 /dev/zero >/dev/shm/full; echo lost; true")
        assert shell.run("rm -f /dev/shm/full; true", timeout=5).returncode == 0
        assert fine(shell)


@pytest.mark.parametrize("gone", ["rm -f {0}.*", "rm -f {0}.*.o", "rm -f {0}.*.e"])
@ALL
def test_output_whose_files_are_removed_is_not_taken_for_none(tmp_path: Path, name: str, gone: str) -> None:
    """By the command or by somebody else on the board; it once came back empty."""
    with open_agent(tmp_path, SHELLS[name]) as shell:
        files = shell.run("echo $__f").stdout.strip()
        with pytest.raises(InfrastructureError, match="the files for its output are gone"):
            shell.run(f"echo lost; echo lost >&2; {gone.format(files)}")
        assert fine(shell)
        with pytest.raises(InfrastructureError, match="the files for its output are gone"):
            shell.run(f"echo lost; sleep 0.2; {gone.format(files)}", on_output=lambda data: None)
        assert fine(shell)


def test_folder_that_something_is_mounted_over(tmp_path: Path) -> None:
    with open_agent(tmp_path, own_mounts("true")) as shell:
        with pytest.raises(InfrastructureError, match="mounted something over them"):
            shell.run("mount -t tmpfs none /dev/shm; echo lost")
        assert fine(shell)
        with pytest.raises(InfrastructureError, match="mounted something over them"):
            shell.run("mount -t tmpfs -o ro none /dev/shm; echo lost")
        assert fine(shell)
        assert not shell.run("echo $__f").stdout.startswith("/dev/shm")


def test_read_only_board(tmp_path: Path) -> None:
    places = ("/dev/shm", "/run", "/tmp", "/var/tmp", "$HOME")
    command = own_mounts(*(f"mount -t tmpfs -o ro none {place}" for place in places))
    console = Console(tmp_path / "console.log")
    try:
        console.attach(open_process(command)[0])
        shell = AgentShell(console)
        with pytest.raises(AgentUnfit, match="no folder can be written"):
            shell.take_over(soon())
        start = console.end
        console.write(b"echo back at the pro''mpt\n", soon())
        console.wait(lambda: b"at the prompt" in console.read(start) or None, soon(), what="prompt")
    finally:
        console.close()

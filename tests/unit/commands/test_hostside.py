"""Commands of this machine: streams, status, limits; and whatever they started is gone with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_lava.commands.hostside import HostResult, run_here
from pytest_lava.errors import CommandTimeout, InfrastructureError
from pytest_lava.lab.guardian import Guardian


class Bench:
    """Runs a command, and tells which of its processes live."""

    def __init__(self, folder: Path, guardian: Guardian) -> None:
        self.folder, self._guardian = folder, guardian

    def run(self, command: str, timeout: float = 20.0, folder: Path | None = None) -> HostResult:
        return run_here(
            command, folder=folder or self.folder, work=self.folder, environment={"BENCH": str(self.folder)},
            timeout=timeout, guard=self._guardian,
        )  # fmt: skip

    def living(self) -> list[str]:
        """Those that have our folder in their environment, or wrote their number into it."""
        pids = [one for file in self.folder.glob("pid*") for one in file.read_text().split()]
        found = [pid for pid in pids if _state(pid) not in "Z"]
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"BENCH={self.folder}\0".encode() in environ.read_bytes():
                    found.append(environ.parent.name)
            except OSError:
                continue
        return found


def _state(pid: str) -> str:
    """``Z`` of one that is dead and not reaped; nothing if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A folder for commands of this machine."""
    with Guardian() as guardian:
        yield Bench(tmp_path, guardian)


def test_streams_apart_and_the_status(bench: Bench) -> None:
    result = bench.run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.returncode) == (b"out\n", b"err\n", 3)
    assert bench.run("kill -9 $$").returncode == 137


def test_its_input_is_empty_and_its_folder_is_the_given_one(bench: Bench) -> None:
    assert bench.run("cat; pwd").stdout == f"{bench.folder}\n".encode()
    with pytest.raises(InfrastructureError, match="cannot be started in"):
        bench.run("true", folder=bench.folder / "none")


def test_much_output(bench: Bench) -> None:
    result = bench.run("head -c 20000000 /dev/zero")
    assert (len(result.stdout), result.truncated) == (16 << 20, True)
    assert (bench.folder / "host-stdout").stat().st_size == 20_000_000


LEAVES = {
    "in its group": "sleep 1000 &",
    "in a session of its own": "setsid sleep 1000 &",
    "deaf": "(trap '' TERM HUP INT; setsid sh -c 'while :; do sleep 1000; done') &",
    "without its environment": "env -i sh -c 'echo $$ >pid; exec sleep 1000' & while [ ! -s pid ]; do :; done;",
}


@pytest.mark.parametrize("command", LEAVES.values(), ids=LEAVES.keys())
def test_what_it_leaves_is_ended(bench: Bench, command: str) -> None:
    result = bench.run(f"{command} echo said")
    assert result.stdout == b"said\n"
    assert bench.living() == []


@pytest.mark.parametrize("command", LEAVES.values(), ids=LEAVES.keys())
def test_at_its_limit_all_of_it_ends(bench: Bench, command: str) -> None:
    with pytest.raises(CommandTimeout, match=r"did not end within 1 s \(--command-timeout\)") as error:
        bench.run(f"echo so far; {command} sleep 1000", timeout=1.0)
    assert error.value.evidence.startswith("so far\n")
    assert bench.living() == []


def test_a_command_that_ends_in_order_at_its_limit(bench: Bench) -> None:
    with pytest.raises(CommandTimeout):
        bench.run("trap 'echo bye >last; exit' TERM; sleep 1000 & wait", timeout=0.5)
    assert (bench.folder / "last").read_text() == "bye\n"

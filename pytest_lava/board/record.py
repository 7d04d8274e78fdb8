"""What a boot that reached a shell leaves behind, and whether it is the kernel that was deployed."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_lava.board.inventory import Inventory
from pytest_lava.board.survey import survey
from pytest_lava.console.console import Console
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import monotonic
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import WrongKernel
from pytest_lava.events import EventLog
from pytest_lava.plan import KernelPlan

__all__ = ["BootRecord", "Booted", "Resumed", "check_release", "record_boot"]

#: tells whether the kernel would answer SysRq: its silence then proves something. No fork; some shells read one byte
#: at a time, of which this file has only the first to give.
_SYSRQ = 'q=; { read -r q </proc/sys/kernel/sysrq; } 2>/dev/null; echo "$q"'
_ANSWER = 20.0  # seconds that a shell has to tell of its kernel


@dataclass(frozen=True)
class BootRecord:
    """One boot that reached a shell; ``console`` is its range in the log.

    ``seconds`` are from the moment when switching on began, so a first cycle's time without power is in it.
    ``resumed`` is when the state was kept in which the board was switched on (ISO time): then it has not booted now.
    ``inventory`` is what the board is made of; of its packages only the first boot of a ``deployment`` tells.
    """

    boot_id: int
    seconds: float
    release: str
    version: str
    machine: str
    console: tuple[int, int]
    resumed: str = ""
    inventory: Inventory = field(default_factory=Inventory)
    deployment: Deployment | None = None


@dataclass(frozen=True)
class Resumed:
    """Of a resumed state: when it was kept (ISO time), commands that set its clock, and what the board is made of."""

    saved: str
    before: str
    inventory: Inventory


@dataclass(frozen=True)
class Booted:
    """What is known of a boot before its kernel is asked: its number, when it was switched on (monotonic clock), where
    its console begins, and what was deployed."""

    boot_id: int
    powered_at: float
    start: int
    deployment: Deployment
    resumed: Resumed | None = None


def record_boot(
    shell: Shell, console: Console, booted: Booted, events: EventLog, last: BootRecord | None = None
) -> BootRecord:
    """Ask a board that has just come to its shell who its kernel is, and what it is made of itself.

    ``last`` is its boot before.
    """
    resumed = booted.resumed or Resumed("", "", Inventory())
    # one fork; only the version has spaces
    with console.typed.aside():
        done = shell.run(f"{resumed.before}uname -rvm; {_SYSRQ}", timeout=_ANSWER)
    if resumed.before and done.stderr:
        events.emit(f"clock or random numbers are those of {resumed.saved}: {done.stderr.strip()}", level="warning")
    names, _, console.sysrq = done.stdout.strip().partition("\n")
    release, _, rest = names.partition(" ")
    version, _, machine = rest.rpartition(" ")
    seconds, inventory = monotonic() - booted.powered_at, resumed.inventory
    if booted.resumed is None:
        with console.typed.aside():
            inventory = survey(shell, events, packages=last is None or last.deployment is not booted.deployment)
    extent = booted.start, console.end
    return BootRecord(
        booted.boot_id, seconds, release, version, machine, extent, resumed.saved, inventory, booted.deployment
    )


def check_release(board: str, record: BootRecord, kernel: KernelPlan | None) -> None:
    """``WrongKernel`` if another kernel runs than the one deployed."""
    # the build tells apart two kernels of one release
    told = ((record.release, kernel.file.release), (record.version, kernel.file.build)) if kernel else ()
    for booted, deployed in told:
        if deployed and deployed != booted:
            raise WrongKernel(f"{board} booted another kernel than the one deployed: {booted}, not {deployed}")

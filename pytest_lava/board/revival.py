"""Getting a board back without its power: a shell in place of one that ended, and restarts: its own, or by SysRq."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from pytest_lava.boot.api import BootContext
from pytest_lava.boot.login import after_login, log_in
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.shell import Shell
from pytest_lava.console.watch import FindingKind
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, Hang, InfrastructureError, KernelCrash, LavaError, Timeout
from pytest_lava.events import EventLog

__all__ = ["answers", "await_restart", "may_reset", "own_restart", "reset_by_kernel", "shell_again"]

_PROBE = 5.0  # seconds that a shell has to show that it is alive
_IN_A_ROW = 4  # answers that prove a shell: a program that reads from the line too takes only some of what is typed
_SAME = 0.5  # seconds that the shell we know has to answer, which is at its prompt if all is well
_STIRS = 1.0  # seconds until a shell or getty answers a newline at least with its prompt
_OTHER = 6.0  # seconds that another one has to be found and taken over
_HEALS = 1.5  # seconds that a silent one gets after that
_ANSWER = 2.0  # seconds that a kernel has to begin a restart
_REBOOT = 128  # of kernel.sysrq (Documentation/admin-guide/sysrq.rst)
_RESETTING = re.compile(rb"sysrq: Resetting")
_REBOOTING = re.compile(rb"Rebooting in (\d+) seconds?\.\.")  # kernel/panic.c, with panic=SECONDS
_STAYS_OFF = re.compile(r"Power down|System halted")  # kernel/reboot.c
_FIRMWARE = 15.0  # seconds until firmware says something
_LAST_WORDS = 1 << 16  # bytes of a panic
_SIGN = re.compile(rb"\S")


@dataclass(frozen=True)
class _Restart:
    """A board starts anew by itself: where in the log, and the seconds until it does so."""

    offset: int
    seconds: float


def answers(shell: Shell, console: Console, events: EventLog) -> bool:
    """Whether a shell answers each time now; a few commands, of which reports tell nothing."""
    if not console.attached:
        return False
    try:
        with console.typed.aside(heard=True):
            return all(shell.run("true", timeout=_PROBE).returncode == 0 for _ in range(_IN_A_ROW))
    except Hang as hang:
        events.emit(f"the shell hangs: {hang}", level="warning", **hang.facts)
        return False
    except (Timeout, ConsoleLost, KernelCrash):
        return False


def shell_again(context: BootContext, shell: Shell | None, limit: Deadline) -> Shell:
    """The shell that was lost, once it answers again, or the one that init started in its place.

    A new one gets the board's login commands. ``Timeout``, or another ``LavaError``, if there is none.
    """
    console = context.console
    if isinstance(shell, AgentShell) and shell.alive(limit.at_most(_SAME)):
        return shell
    start = console.end
    console.write(b"\x03", limit)
    stirs = _stirs(console, start, limit)
    try:
        return log_in(context, limit.at_most(_OTHER if stirs else 0.0), start=start, nudge_at_once=stirs)
    except (ConsoleLost, KernelCrash):
        raise
    except LavaError:  # something is in its way that takes no Ctrl-C, or the tty is in no mode for people
        if not (isinstance(shell, AgentShell) and shell.resync(limit if stirs else limit.at_most(_HEALS))):
            raise
    for command in after_login(context.login):  # most likely it is another one
        shell.check(command, timeout=max(1.0, limit.remaining()))
    return shell


def _stirs(console: Console, start: int, limit: Deadline) -> bool:
    """Whether anything but the kernel answers a newline; what is stopped does not, and is not worth waiting for."""
    console.write(b"\n", limit)
    with suppress(Timeout):
        said = lambda: excise(console.read(start)).strip() or None  # noqa: E731
        console.wait(said, limit.at_most(_STIRS), what="answer", watched=False)
        return True
    return False


def may_reset(sysrq: str) -> bool:
    """Whether a kernel with this ``kernel.sysrq`` restarts when asked to; one digit of it may be all we know."""
    return sysrq.isdigit() and (sysrq == "1" or bool(int(sysrq) & _REBOOT))


def own_restart(console: Console, since: int) -> _Restart | None:
    """Whether a board that died since that offset has said that it restarts by itself, or has begun to."""
    found = [one for one in console.findings(since) if one.kind in (FindingKind.FATAL, FindingKind.BOOT)]
    for finding in found:
        if finding.kind is FindingKind.BOOT:
            return None if _STAYS_OFF.search(finding.message) else _Restart(finding.offset, 0.0)
        said = console.read(finding.offset, finding.offset + _LAST_WORDS)
        if match := _REBOOTING.search(said):
            return _Restart(finding.offset + match.end(), float(match[1]))
    return None


def await_restart(console: Console, since: int) -> None:
    """Until a board that restarts by itself says something. ``InfrastructureError``, ``Timeout``, ``ConsoleLost``."""
    restart = own_restart(console, since)
    if restart is None:
        raise InfrastructureError("the board does not restart by itself")
    console.arm()
    console.mark_boundary(restart.offset)
    limit = Deadline.after(restart.seconds + _FIRMWARE)
    console.expect([_SIGN], start=restart.offset, deadline=limit, what="sign of a restart", watched=False)


def reset_by_kernel(console: Console, limit: Deadline) -> None:
    """BREAK and b: the kernel restarts the board at once. ``Timeout`` if it does not say so, ``ConsoleLost``.

    What memory holds stays there, unlike after a cut of the power.
    """
    console.arm()
    start = console.mark_boundary()  # before: the boot loader's first words come at once
    console.mark("BREAK b")
    try:
        console.send_break()
    except OSError as error:
        raise ConsoleLost(f"a BREAK could not be sent: {error}") from error
    console.write(b"b", limit)
    try:
        console.expect(
            [_RESETTING], start=start, deadline=limit.at_most(_ANSWER), what="restart by SysRq b", watched=False
        )
    except Timeout as error:
        raise InfrastructureError("the kernel does not restart by SysRq b", evidence=error.evidence) from error

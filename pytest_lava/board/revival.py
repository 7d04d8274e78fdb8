"""Getting a board back without its power: a shell in place of one that ended, and a restart by the kernel's SysRq."""

from __future__ import annotations

import re

from pytest_lava.boot.api import BootContext
from pytest_lava.boot.login import after_login, log_in
from pytest_lava.console.agent import AgentShell
from pytest_lava.console.console import Console
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, InfrastructureError, KernelCrash, LavaError, Timeout

__all__ = ["may_reset", "reset_by_kernel", "shell_again"]

_SAME = 0.5  # seconds that the shell we know has to answer, which is at its prompt if all is well
_OTHER = 6.0  # seconds that another one has to be found and taken over
_ANSWER = 2.0  # seconds that a kernel has to begin a restart
_REBOOT = 128  # of kernel.sysrq (Documentation/admin-guide/sysrq.rst)
_RESETTING = re.compile(rb"sysrq: Resetting")


def shell_again(context: BootContext, shell: Shell | None, limit: Deadline) -> Shell:
    """The shell that was lost, once it answers again, or the one that init started in its place.

    A new one gets the board's login commands. ``Timeout``, or another ``LavaError``, if there is none.
    """
    console = context.console
    if isinstance(shell, AgentShell) and shell.alive(limit.at_most(_SAME)):
        return shell
    start = console.end
    console.write(b"\x03", limit)
    try:
        return log_in(context, limit.at_most(_OTHER), start=start, nudge_at_once=True)
    except (ConsoleLost, KernelCrash):
        raise
    except LavaError:  # something is in its way that takes no Ctrl-C, or the tty is in no mode for people
        if not (isinstance(shell, AgentShell) and shell.resync(limit)):
            raise
    for command in after_login(context.login):  # most likely it is another one
        shell.check(command, timeout=max(1.0, limit.remaining()))
    return shell


def may_reset(sysrq: str) -> bool:
    """Whether a kernel with this ``kernel.sysrq`` restarts when asked to; one digit of it may be all we know."""
    return sysrq.isdigit() and (sysrq == "1" or bool(int(sysrq) & _REBOOT))


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

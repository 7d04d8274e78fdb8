"""From the kernel's messages to a command line of ours: prompts, user, password, login commands."""

from __future__ import annotations

import re

from pytest_lava.boot.api import BootContext, Bootloader
from pytest_lava.config.model import Strict
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import BootFailed, ConfigurationError, OperationFailed, Timeout

__all__ = ["LoginBoot", "log_in"]

_NUDGE_AFTER = 3.0  # seconds without any output after which a newline is tried: a prompt may have been printed over
_ANSWER = 10.0  # seconds that a shell has to answer once its prompt is seen


class LoginBoot:
    """No boot loader to talk to: power-on leads to the kernel (QEMU's ``-kernel``, a board that boots itself)."""

    class Options(Strict):
        """There are none."""

    has_bootloader = False
    attaches = False

    def __init__(self, options: Options, context: BootContext) -> None:
        self._context = context

    def bootloader(self, deadline: Deadline) -> Bootloader:
        """There is none."""
        raise ConfigurationError(f'board {self._context.board!r} has no boot loader prompt (boot = "login")')

    def kernel(self, bootloader: Bootloader | None, deployment: Deployment, deadline: Deadline) -> None:
        """Nothing to do: the kernel starts by itself."""

    def shell(self, deadline: Deadline) -> Shell:
        """Log in."""
        return log_in(self._context, deadline)


def log_in(context: BootContext, deadline: Deadline, *, nudge_at_once: bool = False) -> Shell:
    """Wait for a login or shell prompt, log in if asked, take the shell over and run the board's login commands.

    Raises ``BootFailed`` if the login is refused or a login command fails, ``Timeout`` if no prompt comes.
    """
    shell = _await_shell(context, deadline, nudge_at_once)
    for command in context.login.commands:
        try:
            shell.check(command, timeout=max(1.0, deadline.remaining()))
        except (OperationFailed, Timeout) as error:
            raise BootFailed(f"login command failed on {context.board}: {error}", evidence=error.evidence) from error
    return shell


def _await_shell(context: BootContext, deadline: Deadline, nudge: bool) -> MarkerShell:
    console, login = context.console, context.login
    prompts = {
        "refused": login.refused,
        "login": login.login_prompt,
        "password": login.password_prompt,
        "shell": login.shell_prompt,
    }
    patterns = [re.compile(text.encode()) for text in prompts.values()]
    start = console.boundary
    if nudge:
        console.write(b"\n", deadline)
    while True:
        try:
            quiet = deadline.at_most(_NUDGE_AFTER)
            found = console.expect(patterns, start=start, deadline=quiet, what="login or shell prompt")
        except Timeout:
            if deadline.expired:
                raise
            if console.end == start or _silent(context, deadline):
                console.write(b"\n", deadline)
            continue
        start = found.end
        match list(prompts)[found.index]:
            case "refused":
                raise BootFailed(
                    f"the login of user {login.user!r} was refused on {context.board}: set [login] user and password",
                    evidence=console.text(console.boundary)[-2000:],
                )
            case "login":
                console.write(login.user.encode() + b"\n", deadline)
            case "password":
                console.write(login.password.encode() + b"\n", deadline)
            case "shell":
                shell = MarkerShell(console)
                try:
                    shell.take_over(deadline.at_most(_ANSWER))
                except Timeout:
                    continue  # it only looked like a prompt
                return shell


def _silent(context: BootContext, deadline: Deadline) -> bool:
    """Whether nothing at all comes for a while."""
    seen = context.console.end
    try:
        context.console.wait(lambda: context.console.end > seen or None, deadline.at_most(_NUDGE_AFTER), what="output")
    except Timeout:
        return not deadline.expired
    return False

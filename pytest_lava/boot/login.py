"""From the kernel's messages to a command line of ours: prompts, user, password, login commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from contextlib import suppress

from pytest_lava.boot.api import BootContext, Bootloader
from pytest_lava.config.model import Login, Strict
from pytest_lava.console.agent import AgentShell, AgentUnfit
from pytest_lava.console.console import Console
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.search import Found
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import BootFailed, ConfigurationError, LavaError, OperationFailed, Timeout

__all__ = ["LoginBoot", "after_login", "log_in"]

_NUDGE_AFTER = 3.0  # seconds without program output after which a newline is tried: a prompt may be printed over
_CURSOR_QUERY = b"\x1b[6n"  # busybox asks the terminal where it stands: now it waits for input
_SETTLE = 0.02  # seconds after which a prompt still stands at the end: "#1 SMP", "Last login: ..." come on
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


def log_in(
    context: BootContext,
    deadline: Deadline,
    *,
    start: int | None = None,
    nudge_at_once: bool = False,
    not_a_shell: Mapping[str, LavaError] | None = None,
) -> Shell:
    """Wait for a login or shell prompt, log in if asked, take the shell over and run the board's login commands.

    ``start`` is the offset in the console log to look from (default: the last boundary). ``not_a_shell`` are patterns
    which say that none will come, with what is raised then. Raises ``BootFailed`` if the login is refused, a login
    command fails or no command can be run, ``Timeout`` if no prompt comes.
    """
    start = context.console.boundary if start is None else start
    shell = _await_shell(context, deadline, start, nudge_at_once, not_a_shell or {})
    for command in after_login(context.login):
        try:
            shell.check(command, timeout=max(1.0, deadline.remaining()))
        except (OperationFailed, Timeout) as error:
            raise BootFailed(f"login command failed on {context.board}: {error}", evidence=error.evidence) from error
    return shell


def after_login(login: Login) -> tuple[str, ...]:
    """What a shell that was taken over has to do with status 0: show its variables, then the login commands."""
    came = [f'[ "${name}" = {shlex.quote(value)} ]' for name, value in login.environment.items()]
    return (*filter(None, [" && ".join(came)]), *login.commands)


def _await_shell(
    context: BootContext, deadline: Deadline, start: int, nudge: bool, not_a_shell: Mapping[str, LavaError]
) -> Shell:
    console, login = context.console, context.login
    prompts = {
        "refused": login.refused,
        "login": login.login_prompt,
        "password": login.password_prompt,
        "shell": login.shell_prompt,
    }
    patterns = [re.compile(text.encode()) for text in (*not_a_shell, *prompts.values())]
    if nudge:
        console.write(b"\n", deadline)
    while True:
        before = console.end
        try:
            quiet = deadline.at_most(_NUDGE_AFTER)
            found = console.expect(patterns, start=start, deadline=quiet, what="login or shell prompt")
        except Timeout:
            if deadline.expired:
                raise
            if not excise(console.read(before)):
                console.write(b"\n", deadline)
            continue
        if found.index < len(not_a_shell):
            error = list(not_a_shell.values())[found.index]
            error.evidence = console.text(max(start, found.end - 2000))
            raise error
        kind = list(prompts)[found.index - len(not_a_shell)]
        if kind == "refused":
            raise BootFailed(
                f"the login of user {login.user!r} was refused on {context.board}: set [login] user and password",
                evidence=console.text(max(start, found.end - 2000)),
            )
        if not _stands(console, found, patterns[found.index], deadline):
            start = max(start, found.start)  # what came behind it may hold the real one
            continue
        start = found.end
        match kind:
            case "login":
                console.write(login.user.encode() + b"\n", deadline)
            case "password":
                console.write(login.password.encode() + b"\n", deadline)
            case "shell":
                try:
                    with console.typed.aside():
                        return _take_over(context, deadline)
                except Timeout:
                    continue  # it only looked like a prompt


def _exports(environment: Mapping[str, str]) -> bytes:
    """Lines for the shell at its prompt, of which ours and its commands inherit. A backslash passes by aliases."""
    return "".join(f"\\export {name}={shlex.quote(value)}\n" for name, value in environment.items()).encode()


def _take_over(context: BootContext, deadline: Deadline) -> Shell:
    """By the agent or, where it cannot live, by markers, as ``[login] protocol`` has it. ``Timeout``: no answer."""
    if context.login.environment:
        context.console.write(_exports(context.login.environment), deadline)
    wanted = context.login.protocol
    if wanted != "marker":
        agent = AgentShell(context.console, timeout=context.command_timeout, silence=context.silence, tag=context.tag)
        try:
            agent.take_over(deadline)
        except AgentUnfit as error:
            if wanted == "agent":
                why = (
                    f"commands go by the agent alone ([login] protocol), but it cannot live on {context.board}: {error}"
                )
                raise BootFailed(why, evidence=error.evidence) from error
            if not error.markers:
                raise BootFailed(
                    f"no command can be run on {context.board}: {error}", evidence=error.evidence
                ) from error
            reason = str(error)
            context.events.emit(
                f"commands go by the marker protocol: {reason}", level="warning", protocol="marker", reason=reason
            )
        else:
            return agent
    if context.silence is not None:
        context.events.emit("[timeouts] silence does not hold: without an agent output is not live", level="warning")
    markers = MarkerShell(context.console, timeout=context.command_timeout, tag=context.tag)
    markers.take_over(deadline.at_most(_ANSWER))
    return markers


def _stands(console: Console, found: Found, pattern: re.Pattern[bytes], deadline: Deadline) -> bool:
    """Whether a prompt is still the last that came after a moment, but for messages of the kernel."""
    if found.match[0].endswith(_CURSOR_QUERY):
        return True
    with suppress(Timeout):
        console.wait(lambda: console.end > found.end or None, deadline.at_most(_SETTLE), what="more")
    return pattern.search(excise(console.read(found.start))) is not None

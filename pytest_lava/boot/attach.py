"""A board that is already running: probe for shell, login or boot loader and use what is there."""

from __future__ import annotations

import re

from pytest_lava.boot.api import BootContext, Bootloader
from pytest_lava.boot.login import log_in
from pytest_lava.boot.uboot import UBoot
from pytest_lava.config.model import Regex, Strict
from pytest_lava.console.shell import Shell
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import InfrastructureError, Timeout

__all__ = ["AttachBoot"]


class AttachBoot:
    """Takes the board as it stands; never switches it."""

    class Options(Strict):
        """Keys of ``[boot]``."""

        bootloader_prompt: Regex = r"=> $"

    has_bootloader = True
    attaches = True

    def __init__(self, options: Options, context: BootContext) -> None:
        self._options = options
        self._context = context

    def bootloader(self, deadline: Deadline) -> Bootloader:
        """The prompt, if a newline brings it."""
        console = self._context.console
        prompt = re.compile(self._options.bootloader_prompt.encode())
        start = console.end
        console.write(b"\n", deadline)
        try:
            console.expect([prompt], start=start, deadline=deadline, what="boot loader prompt")
        except Timeout as error:
            raise InfrastructureError(
                f"board {self._context.board!r} is not at its boot loader's prompt", evidence=error.evidence
            ) from error
        return UBoot(console, prompt)

    def kernel(self, bootloader: Bootloader | None, deployment: Deployment, deadline: Deadline) -> None:
        """It runs already."""

    def shell(self, deadline: Deadline) -> Shell:
        """Ask at once with a newline, and log in if a login answers. Where a boot loader does, there is no shell."""
        board, prompt = self._context.board, rf"(?:^|[\r\n]){self._options.bootloader_prompt}"
        stands_there = InfrastructureError(
            f"board {board!r} stands at its boot loader's prompt: boot it first, or test with the fixture 'bootloader'"
        )
        return log_in(self._context, deadline, nudge_at_once=True, not_a_shell={prompt: stands_there})

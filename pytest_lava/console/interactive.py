"""What every shell of ours offers to people: interactive programs as in pexpect, and commands that must succeed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pytest_lava.console.console import Console
from pytest_lava.console.shell import CommandResult
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.errors import OperationFailed

__all__ = ["Interactive"]


class Interactive(ABC):
    """A part of a :class:`~pytest_lava.console.shell.Shell`; the protocol adds ``run``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spawn: ConsoleSpawn | None = None

    @abstractmethod
    def run(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        max_output: int = 16 << 20,
    ) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.run`."""

    def check(self, command: str, **options: Any) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.check`."""
        result = self.run(command, **options)
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip().splitlines()
            last = f": {said[-1]}" if said else ""
            raise OperationFailed(
                f"the command returned {result.returncode}: {command}{last}", evidence=result.stdout + result.stderr
            )
        return result

    @property
    def spawn(self) -> ConsoleSpawn:
        """pexpect's interface, made at its first use."""
        if self._spawn is None:
            self._spawn = ConsoleSpawn(self._console)
        return self._spawn

    def send(self, text: str) -> int:
        """Type text."""
        return self.spawn.send(text)

    def sendline(self, text: str = "") -> int:
        """Type a line; when it ends the shell prints ``prompt``."""
        return self.spawn.sendline(text)

    def sendcontrol(self, char: str) -> int:
        """Type a control character."""
        return self.spawn.sendcontrol(char)

    def expect(self, pattern: Any, timeout: float = -1) -> int:
        """Wait for output; as pexpect's ``expect``."""
        return int(self.spawn.expect(pattern, timeout=timeout))

    def _skip_output(self) -> None:
        """What came until now belongs to a command, not to the interactive programs after it."""
        if self._spawn is not None:
            self._spawn.skip_to(self._console.end)

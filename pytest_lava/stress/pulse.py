"""Who asks for heartbeats: the agent's own question, or where there is no agent, short commands."""

from __future__ import annotations

from typing import Protocol

from pytest_lava.console.heartbeat import Beat
from pytest_lava.console.requests import quoted
from pytest_lava.console.shell import Shell
from pytest_lava.errors import CommandTimeout

__all__ = ["CommandPulse", "Pulses"]


class Pulses(Protocol):
    """Asks the board for a sign of life; see :class:`pytest_lava.console.heartbeat.Heartbeat`."""

    def ask(self) -> None:
        """Ask."""

    def answer(self) -> Beat | None:
        """The answer, if it has come."""


class CommandPulse:
    """For a shell without an agent: a command each, which has ``seconds`` to answer; then the hang ladder judges."""

    def __init__(self, shell: Shell, file: str, seconds: float) -> None:
        name = quoted(file).decode()
        self._ask = f"read -r u w </proc/uptime; read -r n <{name}; echo $u; echo $n"
        self._shell, self._seconds = shell, seconds
        self._beat: Beat | None = None

    def ask(self) -> None:
        """Ask and wait. A board that is only slow costs the load's shell nothing but that time. ``Hang``."""
        try:
            said = self._shell.run(self._ask, timeout=self._seconds).stdout.splitlines()
        except CommandTimeout:
            said = []
        uptime = float(said[0]) if said and said[0] else None
        self._beat = Beat(uptime, said[1] if len(said) > 1 else "")

    def answer(self) -> Beat | None:
        """What came."""
        return self._beat

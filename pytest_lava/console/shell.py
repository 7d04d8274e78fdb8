"""The seam between tests and a command line: ``Shell``, and what a command gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_lava.console.files import Files
from pytest_lava.deadline import Deadline

__all__ = ["DEFAULT_OUTPUT", "DEFAULT_TIMEOUT", "CommandResult", "OnOutput", "Shell"]

DEFAULT_TIMEOUT = 60.0
DEFAULT_OUTPUT = 16 << 20

#: is called with what a command wrote, as it comes
OnOutput = Callable[[bytes], None]


@dataclass(frozen=True, repr=False)
class CommandResult:
    """What a command did. ``duration`` is in seconds on this machine's clock; ``console`` is its range in the log.

    ``device_seconds`` is how long it ran on the board's clock (10 ms steps), where the board can tell.
    """

    command: str
    returncode: int
    stdout_bytes: bytes
    stderr_bytes: bytes
    duration: float
    console: tuple[int, int] = (0, 0)
    truncated: bool = False
    device_seconds: float | None = None

    def __repr__(self) -> str:
        """Short, as failing assertions show it."""
        out, err = (f"{text[:60]!r}{'...' if len(text) > 60 else ''}" for text in (self.stdout, self.stderr))
        return f"<`{self.command}` returned {self.returncode}, stdout {out}, stderr {err}>"

    @property
    def stdout(self) -> str:
        """Standard output as text; bytes that are no UTF-8 are replaced."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error as text."""
        return self.stderr_bytes.decode(errors="replace")


class Shell(Files, Protocol):
    """A booted command line; its files are those of the board.

    ::

        def test_memory(shell):
            result = shell.run("free -m", timeout=10)
            assert result.returncode == 0
            assert "Mem:" in result.stdout
    """

    #: what the shell prints when an interactive command ended; for ``expect``
    prompt: str

    def run(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        max_output: int = DEFAULT_OUTPUT,
        on_output: OnOutput | None = None,
        silence: float | None = None,
    ) -> CommandResult:
        """Run a command in a subshell of its own and wait for it.

        ``timeout`` in seconds; without one the board file's ``[timeouts] command`` holds.
        Standard input is ``input`` or empty. ``max_output`` bytes of each stream are kept; the result says if cut.
        ``on_output`` gets the output live, both streams and perhaps kernel messages mixed as they come; the result is
        exact all the same. A shell without an agent has it only when the command has ended, and calls it once.
        ``silence`` is a second limit, for commands that take long: so many seconds without any output, of the command
        or the kernel. It needs an agent (``ConfigurationError``), and a program that does not buffer what it writes.
        Raises ``CommandTimeout`` (after Ctrl-C, so that the shell stays usable), ``KernelCrash``, ``ConsoleLost``,
        ``ValueError`` for what cannot be sent (a NUL, a negative timeout, a name that is no variable's).
        """

    def run_many(
        self,
        commands: Sequence[str],
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        max_output: int = DEFAULT_OUTPUT,
    ) -> list[CommandResult]:
        """Many small commands, each in its own subshell, in one request: less time on the line and fewer processes.

        ``timeout`` is for all together. A shell without an agent runs them one by one.
        """

    def leave(self, deadline: Deadline) -> None:
        """Give the line back to the shell that was there before; this one is over."""

    def check(self, command: str, **options: Any) -> CommandResult:
        """Like :meth:`run`, but a status other than 0 raises ``OperationFailed``."""

    def send(self, text: str) -> int:
        """Type text, for interactive programs."""

    def sendline(self, text: str = "") -> int:
        """Type a line."""

    def sendcontrol(self, char: str) -> int:
        """Type a control character: ``sendcontrol("c")``."""

    def expect(self, pattern: Any, timeout: float = -1) -> int:
        """Wait for output of an interactive program; as pexpect's ``expect``."""

"""What every shell of ours offers: interactive programs as in pexpect, commands that must succeed, and files."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pytest_lava.console.console import Console
from pytest_lava.console.files import Files, Progress
from pytest_lava.console.readable import one_line
from pytest_lava.console.shell import DEFAULT_OUTPUT, CommandResult, OnOutput
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.deadline import Deadline
from pytest_lava.errors import BoardEnded, ConfigurationError, ConsoleLost, OperationFailed, Timeout

__all__ = ["AT_PROMPT", "Interactive"]

AT_PROMPT = 10.0  # seconds a shell at its prompt has to answer
_END = 0.5  # seconds
_LINE = 300  # characters of a program's last line in a message


class Interactive(ABC):
    """A part of a :class:`~pytest_lava.console.shell.Shell`; the protocol adds ``run``."""

    #: what the shell prints when an interactive command ended
    prompt: str

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spawn: ConsoleSpawn | None = None
        self._make_files: Callable[[], Files] | None = None
        self._made_files: Files | None = None

    def __repr__(self) -> str:
        """Short, as tracebacks show it."""
        return f"<shell on {self._console.log.name}>"

    @abstractmethod
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
        """See :meth:`pytest_lava.console.shell.Shell.run`."""

    def check(self, command: str, **options: Any) -> CommandResult:
        """See :meth:`pytest_lava.console.shell.Shell.check`."""
        result = self.run(command, **options)
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip().splitlines()
            last = f": {_legible(said[-1])}" if said else ""
            raise OperationFailed(
                f"the command returned {result.returncode}: {one_line(command)}{last}",
                evidence=result.stdout + result.stderr,
            )
        return result

    @property
    def spawn(self) -> ConsoleSpawn:
        """pexpect's interface, made at its first use."""
        if self._spawn is None:
            self._spawn = ConsoleSpawn(self._console, prompt=self.prompt)
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

    # -- files --------------------------------------------------------------------------------------------------

    def carry_files_by(self, make: Callable[[], Files]) -> None:
        """See :class:`pytest_lava.console.files.TakesFiles`."""
        self._make_files, self._made_files = make, None

    def put(
        self,
        local: str | os.PathLike[str],
        remote: str,
        *,
        mode: int | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """See :meth:`pytest_lava.console.files.Files.put`."""
        self._files_of_board.put(local, remote, mode=mode, timeout=timeout, progress=progress)

    def get(
        self,
        remote: str,
        local: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """See :meth:`pytest_lava.console.files.Files.get`."""
        return self._files_of_board.get(remote, local, timeout=timeout, progress=progress)

    def read_bytes(self, remote: str, *, timeout: float | None = None) -> bytes:
        """See :meth:`pytest_lava.console.files.Files.read_bytes`."""
        return self._files_of_board.read_bytes(remote, timeout=timeout)

    def write_bytes(self, remote: str, data: bytes, *, mode: int | None = None, timeout: float | None = None) -> None:
        """See :meth:`pytest_lava.console.files.Files.write_bytes`."""
        self._files_of_board.write_bytes(remote, data, mode=mode, timeout=timeout)

    @property
    def _files_of_board(self) -> Files:
        if self._made_files is None:
            if self._make_files is None:
                raise ConfigurationError("this shell was made without a board: give it files with carry_files_by")
            self._made_files = self._make_files()
        return self._made_files

    @contextmanager
    def _carrying_out(self, command: str) -> Iterator[None]:
        """Around what a test asked for. ``BoardEnded`` if the shell is a process of this machine and ended.

        ssh, which may be that process, says by a status of 255 that its network failed: that is the lab's fault.
        """
        try:
            yield
        except ConsoleLost as error:
            with suppress(Timeout, ConsoleLost):  # a write may meet the end before the reader does
                self._console.wait(lambda: None, Deadline.after(_END), what="end of the line", watched=False)
            lost = self._console.lost or ""
            if lost.startswith("exec:") and not lost.endswith(" exited with status 255"):
                why = lost.rpartition(": ")[2]
                message = f"the shell that is the board has ended ({why}): {one_line(command)}"
                raise BoardEnded(message, evidence=error.evidence) from None  # what it says is in the message
            raise

    def _skip_output(self) -> None:
        """What came until now belongs to a command, not to the interactive programs after it."""
        if self._spawn is not None:
            self._spawn.skip_to(self._console.end)


def _legible(line: str) -> str:
    """A line of a program for a message: what would move a terminal's cursor is escaped, and it is not endless."""
    cut = line if len(line) <= _LINE else line[:_LINE] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)

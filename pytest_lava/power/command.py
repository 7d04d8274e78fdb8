"""Power by shell commands: whatever switches the board from this machine's command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field

from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConfigurationError, PowerError
from pytest_lava.power._process import kill_group, undisturbed, wait_exit
from pytest_lava.power.api import Forget, PowerContext

__all__ = ["CommandPower"]

_TAIL = 4096
#: a word that the shell takes as it is; what is behind it does not matter
_WORD = re.compile(r"\s*([\w./+-]+)(?:[\s;&|]|$)")
_SHELL_CANNOT = (126, 127)  # not executable, not found (POSIX, 2.8.2 Exit Status for Commands)


class CommandPower:
    """Implements :class:`pytest_lava.power.api.Power` for ``power.method = "command"``.

    Commands run with ``/bin/sh -c`` in the folder of the board file, in a session of their own, with ``LAVA_BOARD``
    in the environment. A command is over when its shell is: what it leaves in the background lives on.
    ``off`` must succeed also when the board is off already, as a first cycle begins with it.
    """

    class Options(BaseModel):
        """The ``[power]`` table: commands; ``settle``: seconds from off to on; ``timeout``: seconds for one command."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        on: str = Field(min_length=1)
        off: str = Field(min_length=1)
        cycle: str | None = Field(default=None, min_length=1)
        settle: float = Field(default=2.0, ge=0)
        timeout: float = Field(default=30.0, gt=0)

    def __init__(self, options: Options, context: PowerContext) -> None:
        self._options = options
        self._context = context
        self._is_on: bool | None = None
        self._off_since = 0.0
        self._forget: Forget | None = None

    def check(self) -> None:
        """``ConfigurationError`` if a command is no valid shell, its program or the folder is not there."""
        if not self._context.folder.is_dir():
            raise ConfigurationError(f"the folder of board {self._context.board} is gone: {self._context.folder}")
        for key in ("on", "off", "cycle"):
            command = getattr(self._options, key)
            if command is None:
                continue
            parsed = subprocess.run(["/bin/sh", "-n", "-c", command], capture_output=True, text=True, check=False)
            if parsed.returncode:
                raise ConfigurationError(
                    f"power.{key} of board {self._context.board} is no valid shell command: `{command}`: "
                    + _last_line(parsed.stderr)
                )
            if (word := _WORD.match(command)) and not self._finds(word[1]):
                raise ConfigurationError(
                    f"power.{key} of board {self._context.board} cannot run: there is no program {word[1]!r} "
                    f"(looked for from {self._context.folder}): install it, or correct `{command}`"
                )

    def _finds(self, word: str) -> bool:
        """Whether the shell would find what a command begins with: a program, a builtin, a word of its own."""
        asked = ["/bin/sh", "-c", 'command -v -- "$1"', "sh", word]
        folder = self._context.folder
        return subprocess.run(asked, cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode == 0

    def on(self, deadline: Deadline) -> None:
        """Run the on command, unless it is known to be on."""
        if not self._is_on:
            self._switch_on("on", self._options.on, deadline)

    def off(self, deadline: Deadline) -> None:
        """Run the off command, unless it is known to be off."""
        if self._is_on is False:
            return
        self._is_on = None
        self._run("off", self._options.off, deadline)
        self._is_on, self._off_since = False, monotonic()
        if self._forget is not None:
            self._forget()
            self._forget = None

    def cycle(self, deadline: Deadline) -> None:
        """The cycle command, or off, the settle time, on."""
        if self._options.cycle is not None:
            self._switch_on("cycle", self._options.cycle, deadline)
            return
        self.off(deadline)
        left = self._options.settle - (monotonic() - self._off_since)
        if left > deadline.remaining():
            raise PowerError(
                f"no time to switch {self._context.board} on again: it stays off for {self._options.settle:g} s "
                "(power.settle), allow the power cycle more time"
            )
        if left > 0:
            threading.Event().wait(left)
        self.on(deadline)

    def _switch_on(self, what: str, command: str, deadline: Deadline) -> None:
        # before the command: it may have switched already when we die or it fails
        if self._forget is None:
            self._forget = self._context.guard.command(
                f"cd {shlex.quote(str(self._context.folder))}; "
                f"LAVA_BOARD={shlex.quote(self._context.board)}; export LAVA_BOARD; {self._options.off}"
            )
        self._is_on = None
        self._run(what, command, deadline)
        self._is_on = True

    def _run(self, what: str, command: str, deadline: Deadline) -> None:
        start, limit = monotonic(), deadline.at_most(self._options.timeout)
        seconds = limit.remaining()
        # files, as a daemon that the command starts keeps the descriptors open: a pipe would never end
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = None
            try:
                with undisturbed():
                    process = self._start(command, out, err)
                ended = wait_exit(process, limit)
            except BaseException:
                if process is not None:
                    kill_group(process)
                raise
            if not ended:
                kill_group(process)
            said = _last_line(_tail(err)) or _last_line(_tail(out))
        problem = f"exit status {process.returncode}" if ended else f"not done after {seconds:.3g} s"
        if ended and process.returncode in _SHELL_CANNOT:
            raise ConfigurationError(
                f"the power command for {self._context.board} needs a program that is not there ({problem}): "
                f"`{command}`" + (said and f": {said}")
            )
        if not ended or process.returncode:
            raise PowerError(
                f"the power command for {self._context.board} failed ({problem}): `{command}`" + (said and f": {said}")
            )
        self._context.events.emit(f"power {what}", command=command, seconds=round(monotonic() - start, 6))

    def _start(self, command: str, out: IO[bytes], err: IO[bytes]) -> subprocess.Popen[bytes]:
        folder: Path = self._context.folder
        try:
            return subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, "LAVA_BOARD": self._context.board},
                start_new_session=True,
            )
        except OSError as error:
            raise PowerError(f"the power command for {self._context.board} cannot be started: {error}") from error


def _tail(file: IO[bytes]) -> str:
    """The end of a file that others may still write to (at an offset they share with us: so pread only)."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _TAIL, max(0, size - _TAIL)).decode(errors="replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""

"""What is to run besides suites and Python tests, as options say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Command", "CommandFile", "OutOfTree"]


@dataclass(frozen=True)
class Command:
    """A command of a file: ``name`` is that of its results, its own text if nobody gave it one."""

    text: str
    name: str
    line: int


@dataclass(frozen=True)
class CommandFile:
    """A file of commands, in its order."""

    path: Path
    commands: tuple[Command, ...]


@dataclass(frozen=True)
class OutOfTree:
    """``host`` commands run on this machine; ``collect`` are patterns of files on the board; ``script_args`` words."""

    files: tuple[CommandFile, ...] = ()
    host: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    script_args: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether there is anything to run that has no file of its own."""
        return bool(self.files or self.host)

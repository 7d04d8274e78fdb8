"""The log of a suite of our own: what each command wrote, under a line that says which it was."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_lava.suites.api import STDOUT

__all__ = ["SuiteLog"]


class SuiteLog:
    """A file in ``folder``. Lines count from 1."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / STDOUT).open("wb")
        self._lines = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self, name: str, command: str) -> int:
        """A command is about to run; the line that says so. Its output begins at the next one."""
        first, *more = command.splitlines() or [""]
        self._write(f"==== {name}: {first}{' ...' if more else ''}\n".encode())
        return self._lines

    def end(self, output: bytes) -> None:
        """What it wrote."""
        self._write(output if output.endswith(b"\n") or not output else output + b"\n")

    def add(self, name: str, command: str, output: bytes) -> int:
        """A command that has run; the line that says so."""
        line = self.begin(name, command)
        self.end(output)
        return line

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        self._lines += data.count(b"\n")

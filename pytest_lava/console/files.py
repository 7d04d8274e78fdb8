"""The seam for files to and from a board: ``Files``, whatever way they go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = ["Files", "Progress", "TakesFiles"]

#: is called with the bytes of a file that are through and with its size
Progress = Callable[[int, int], None]


class Files(Protocol):
    """Files of a board, exact: a sum of the whole is checked at the end.

    ::

        def test_firmware(shell, tmp_path):
            shell.put("firmware.bin", "/lib/firmware/")
            shell.write_bytes("/etc/mode", b"fast")
            assert shell.read_bytes("/proc/cmdline").startswith(b"console=")
            trace = shell.get("/sys/kernel/tracing/trace", tmp_path)

    A file appears under its name only when it is complete, also here; what a cut leaves of it is gone on with by the
    same call later, and what is there already is not sent. Names may hold anything but NUL and start, unless absolute,
    at the shell's folder. ``timeout`` is in seconds; without one it is as long as a slow line takes.

    All raise ``OperationFailed`` for what is wrong with a file or folder here or there, ``Timeout``, ``ValueError`` for
    what cannot be (a NUL in a name, a negative time): the shell is usable after these. ``KernelCrash``, ``ConsoleLost``
    if the board or its line dies; ``NetworkError`` if ``--transfer`` insists on a network that does not work.
    """

    def put(
        self,
        local: str | os.PathLike[str],
        remote: str,
        *,
        mode: int | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Bring a file to the board, with its mode (or ``mode``) and time of change. ``remote`` may be a folder."""

    def get(
        self,
        remote: str,
        local: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Bring a file from the board, with mode and time of change; ``local`` may be a folder. Where it is now."""

    def read_bytes(self, remote: str, *, timeout: float | None = None) -> bytes:
        """Contents of a file on the board."""

    def write_bytes(self, remote: str, data: bytes, *, mode: int | None = None, timeout: float | None = None) -> None:
        """Make a file on the board, or replace its contents and keep its mode. ``mode`` sets one."""


@runtime_checkable
class TakesFiles(Protocol):
    """A shell that leaves its files to somebody else; those who bring a board to a shell tell it who that is."""

    def carry_files_by(self, make: Callable[[], Files]) -> None:
        """Use what ``make`` gives from the first file on."""

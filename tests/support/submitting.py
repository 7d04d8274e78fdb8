"""``pytest-lava`` in processes of its own that are quick to start, and can be killed at any step they take.

A step is whatever Python tells its audit hooks of: a file opened, renamed or made, a connection, a lock. So "killed at
any point" is a number, and all of them can be tried.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Submitter"]

_STEPS = ("open", "os.", "shutil.", "socket.", "fcntl.")
_LOADED = (
    "pytest_lava.bisect.commands", "pytest_lava.images.cache_commands", "pytest_lava.images.commands",
    "pytest_lava.lab.commands", "pytest_lava.lab.health_parser", "pytest_lava.results.commands",
    "pytest_lava.results.bundle.schema", "pytest_lava.stress.plan", "platformdirs",
    "pytest_lava.cli", "pytest_lava.config.boards", "pytest_lava.spool.commands", "pytest_lava.spool.runfolder",
    "pytest_lava.spool.sending", "pytest_lava.sinks.folder", "pytest_lava.sinks.http", "pytest_lava.sinks.choosing",
    "support.submitting",
)  # fmt: skip


class Submitter:
    """Runs commands in ``folder`` with a spool of its own."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.env = dict(env or {})
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_LOADED))
        self._count = 0

    def start(self, *words: object, step: int = 0, name: str = "") -> multiprocessing.process.BaseProcess:
        """Start a command; with ``step`` it kills itself (SIGKILL) right before that step."""
        argv = [str(word) for word in words]
        out = self.folder / f"out{name}.txt"
        given = (argv, str(self.folder), str(out), self.env, step)
        process = self._context.Process(target=_run, args=given)
        process.start()
        return process

    def run(self, *words: object, step: int = 0) -> tuple[int, str]:
        """Its exit status (-9: it was killed) and what it printed."""
        process = self.start(*words, step=step)
        process.join(120)
        assert process.exitcode is not None, f"{words} does not end"
        return process.exitcode, (self.folder / "out.txt").read_text()

    def places(self) -> dict[str, list[str]]:
        """What the spool has in each of its folders."""
        return {path.name: sorted(one.name for one in path.iterdir()) for path in sorted(self.spool.iterdir())}


def _run(argv: Sequence[str], folder: str, out: str, env: Mapping[str, str], step: int) -> None:
    os.chdir(folder)
    os.environ.update(env)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from pytest_lava.cli import main

    if step:
        _kill_at(step)
    words = [*argv, f"--lava-spool={folder}/spool"]
    sys.exit(main(words))


def _kill_at(step: int) -> None:
    taken = 0

    def hook(event: str, arguments: object) -> None:
        nonlocal taken
        if event.startswith(_STEPS):
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)

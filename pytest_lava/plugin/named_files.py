"""What the command line names, at a glance: is there a LAVA job, or a definition? Every run of pytest asks this."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["definition_without_board", "jobs_named", "may_be_job"]

_LOOK = 4 << 20  # bytes of a file
_SUITE = re.compile(rb"^suite\s*:", re.MULTILINE)
_JOB = re.compile(rb"^[\s{,]*[\"']?job_name[\"']?\s*:", re.MULTILINE)


def jobs_named(config: pytest.Config) -> list[Path]:
    """Files that look like LAVA jobs, which bring their board along."""
    return [path for _, path in _named(config) if may_be_job(path)]


def may_be_job(path: Path) -> bool:
    """Whether it is worth a closer look: its text has the keys of a job."""
    text = _beginning(path, _LOOK)
    return b"actions" in text and _JOB.search(text) is not None


def definition_without_board(config: pytest.Config) -> str:
    """A LAVA test definition or a suite of our own that was named, though nothing asks for a board."""
    return next((name for name, path in _named(config) if _is_suite(_beginning(path, 4096))), "")


def _is_suite(text: bytes) -> bool:
    return b"Lava-Test" in text or _SUITE.search(text) is not None


def _named(config: pytest.Config) -> Iterator[tuple[str, Path]]:
    for argument in config.args:
        name = argument.partition("::")[0]
        if name.endswith((".yaml", ".yml", ".json")):
            yield name, config.invocation_params.dir / name


def _beginning(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""

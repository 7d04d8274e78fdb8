"""The vmlinux files of a plan: they have to be readable before a board is touched, as a crash comes once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_lava.errors import ConfigurationError, ToolMissing
from pytest_lava.images.artefact import local_path
from pytest_lava.planning.mistakes import Mistakes
from pytest_lava.symbols.addr2line import tool_for
from pytest_lava.symbols.elf import ElfFile
from pytest_lava.symbols.symbolizer import unusable

__all__ = ["given_vmlinux"]


def given_vmlinux(texts: Sequence[str], mistakes: Mistakes) -> tuple[Path, ...]:
    """What ``--vmlinux`` named."""
    return tuple(found for text in dict.fromkeys(texts) if (found := mistakes.collect(_vmlinux, text)))


def _vmlinux(text: str) -> Path:
    path = local_path(text).absolute()
    if path.is_dir():
        path /= "vmlinux"
    if why := unusable(path):
        raise ConfigurationError(f"--vmlinux {path} {why}")
    with ElfFile(path) as elf:
        if tool_for(elf.machine) is None:
            raise ToolMissing("--vmlinux needs addr2line, which is not on this machine: install binutils or llvm")
    return path

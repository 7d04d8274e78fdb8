"""Runs addr2line, of binutils or LLVM, for all addresses of one file at once."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.symbols.elf import ElfFile
from pytest_lava.symbols.trace import Frame

__all__ = ["Addr2lineFailed", "lines_at", "tool_for"]

#: e_machine -> prefixes of a cross toolchain's programs (Debian's names); on such a machine the plain program does
_TRIPLES = {
    3: ("i686-linux-gnu",),
    8: ("mips-linux-gnu", "mipsel-linux-gnu"),
    20: ("powerpc-linux-gnu",),
    21: ("powerpc64le-linux-gnu", "powerpc64-linux-gnu"),
    40: ("arm-linux-gnueabihf", "arm-linux-gnueabi"),
    62: ("x86_64-linux-gnu",),
    183: ("aarch64-linux-gnu",),
    243: ("riscv64-linux-gnu",),
}
_PLACE = re.compile(r"(.*?):(\d+|\?)(?: \(discriminator \d+\))?")


class Addr2lineFailed(Exception):
    """It is not installed, did not end in time or did not understand the file; the message says what to do."""


def tool_for(machine: int) -> str | None:
    """A program that reads the debug information of this architecture; None if this machine has none."""
    names = [f"{triple}-addr2line" for triple in _TRIPLES.get(machine, ())] + ["llvm-addr2line", "addr2line"]
    return next(filter(None, map(shutil.which, names)), None)


def lines_at(elf: ElfFile, section: str, addresses: Sequence[int], deadline: Deadline) -> list[list[Frame]]:
    """The functions and lines of source at each address, those that were inlined first; none where nothing is known.

    Only in modules, whose sections all begin at 0, does ``section`` count. ``Addr2lineFailed``.
    """
    tool = tool_for(elf.machine)
    if tool is None:
        raise Addr2lineFailed("there is no addr2line on this machine: install binutils or llvm")
    argv = [tool, "-a", "-f", "-i", "-e", str(elf.path)]
    if elf.relocatable and "llvm" not in Path(tool).name:
        argv += ["-j", section]
    try:
        done = subprocess.run(
            argv, input="".join(f"{address:#x}\n" for address in addresses), capture_output=True, text=True,
            errors="replace", timeout=deadline.remaining(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Addr2lineFailed(f"{tool} did not read {elf.path} in time") from None
    except OSError as error:
        raise Addr2lineFailed(f"cannot run {tool}: {error.strerror}") from error
    if done.returncode:
        raise Addr2lineFailed(f"{tool} cannot read {elf.path}: {done.stderr.strip() or done.returncode}")
    found = _parse(done.stdout)
    if len(found) != len(addresses):
        raise Addr2lineFailed(f"{tool} answered {len(found)} of {len(addresses)} questions about {elf.path}")
    return found


def _parse(answer: str) -> list[list[Frame]]:
    """Of each address a line with it, then pairs of lines: function, and ``file:line``."""
    found: list[list[Frame]] = []
    lines = iter(answer.splitlines())
    for line in lines:
        if line.startswith("0x"):
            found.append([])
            continue
        place = _PLACE.fullmatch(next(lines, ""))
        if found and place and place[2] not in ("0", "?"):
            found[-1].append(Frame(line, place[1], int(place[2])))
    return found

"""Reads what symbolisation needs of an ELF file: its functions, build id, the kernel's banner, a module's release.

The format is that of the System V ABI (``elf.h``). Files of every architecture can be read on each machine.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

__all__ = ["ARM", "ElfError", "ElfFile", "Function", "Section"]

ARM = 40  # e_machine
_RELOCATABLE = 1  # e_type of objects and modules
_SYMTAB, _NOBITS, _NOTE = 2, 8, 7  # sh_type
_ALLOC, _EXEC = 2, 4  # sh_flags
_NOTYPE, _FUNC = 0, 2  # of st_info
_BUILD_ID = 3  # n_type of a note of GNU
_GNU = b"GNU\0"
#: init/version-timestamp.c; the kernel says it as its first line. There is a draft of it too, with a # but no number
_BANNER = re.compile(rb"Linux version \d+\.\d+[^\s\0]* \([^\n\0]*\) #\d[^\n\0]*\n")
_VERMAGIC = re.compile(rb"(?:^|\0)vermagic=([^\s\0]+)")


class ElfError(Exception):
    """The file is no ELF file, or is damaged."""


@dataclass(frozen=True)
class Section:
    """One section; ``address`` is 0 in objects and modules."""

    index: int
    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class Function:
    """Code that has a name. ``extent`` goes to the next one, as ``kallsyms`` counts it."""

    address: int
    size: int
    extent: int
    section: str


class ElfFile:
    """One file, mapped into memory while it is used as a context."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            try:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise ElfError(f"{path}: an empty file") from None
        try:
            self._read_head()
        except (struct.error, IndexError) as error:
            self.close()
            raise ElfError(f"{path}: a damaged ELF file: {error}") from error
        except ElfError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back; what was read stays."""
        self._data.close()

    def _read_head(self) -> None:
        data = self._data
        if data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
            raise ElfError(f"{self.path}: no ELF file")
        self.wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
        kind, self.machine = struct.unpack_from(order + "HH", data, 16)
        self.relocatable = kind == _RELOCATABLE
        start = struct.unpack_from(order + ("Q" if self.wide else "I"), data, 40 if self.wide else 32)[0]
        each, count, names = struct.unpack_from(order + "HHH", data, 58 if self.wide else 46)
        head = struct.Struct(order + ("IIQQQQIIQQ" if self.wide else "IIIIIIIIII"))
        if start and not count:  # more than fit into 16 bits: the first one has the number
            count = head.unpack_from(data, start)[5]
        raw = [head.unpack_from(data, start + number * each) for number in range(count)]
        table = raw[names if names < count else raw[0][6]][4] if raw else 0
        self._order = order
        self.sections = [
            Section(index, self._text(table + one[0]), one[1], one[2], one[3], one[4], one[5], one[6])
            for index, one in enumerate(raw)
        ]

    # -- what it says of itself ---------------------------------------------------------------------------------

    @property
    def has_symbols(self) -> bool:
        """Whether its names were not stripped."""
        return any(section.kind == _SYMTAB for section in self.sections)

    @property
    def has_lines(self) -> bool:
        """Whether it has debug information."""
        return any(section.name in (".debug_line", ".zdebug_line") for section in self.sections)

    @cached_property
    def build_id(self) -> str:
        """In hexadecimal; empty if it has none."""
        for section in self.sections:
            if section.kind == _NOTE and (found := self._gnu_note(section)):
                return found
        return ""

    @cached_property
    def banner(self) -> str:
        """What a kernel says first: ``Linux version 6.1.0 (me@here) (gcc) #1 SMP ...``; empty for a module."""
        for section in self.sections:
            if section.flags & _ALLOC and section.kind != _NOBITS:
                found = _BANNER.search(self._data, section.offset, section.offset + section.size)
                if found:
                    return found[0].decode(errors="replace").strip()
        return ""

    @cached_property
    def release(self) -> str:
        """Of the kernel that a module was built for; empty for a kernel."""
        for section in self.sections:
            if section.name == ".modinfo":
                found = _VERMAGIC.search(self._content(section))
                return found[1].decode(errors="replace") if found else ""
        return ""

    # -- functions ----------------------------------------------------------------------------------------------

    @cached_property
    def functions(self) -> dict[str, list[Function]]:
        """By name; static functions may share one."""
        by_section: dict[int, list[tuple[int, int, str]]] = {}
        try:
            for name, address, size, index in self._code_symbols():
                by_section.setdefault(index, []).append((address, size, name))
        except (struct.error, IndexError) as error:
            raise ElfError(f"{self.path}: a damaged symbol table: {error}") from error
        found: dict[str, list[Function]] = {}
        for index, symbols in by_section.items():
            section = self.sections[index]
            starts = sorted({address for address, _, _ in symbols})
            following = dict(zip(starts, [*starts[1:], section.address + section.size], strict=True))
            for address, size, name in sorted(symbols):
                one = Function(address, size, following[address] - address, section.name)
                if one not in found.setdefault(name, []):
                    found[name].append(one)
        return found

    def _code_symbols(self) -> Iterator[tuple[str, int, int, int]]:
        """Name, address, size and section of each symbol that stands for code."""
        code = {section.index for section in self.sections if section.flags & _EXEC}
        entry = struct.Struct(self._order + ("IBBHQQ" if self.wide else "IIIBBH"))
        for table in self.sections:
            if table.kind != _SYMTAB:
                continue
            names = self.sections[table.link].offset
            whole = self._content(table)
            for fields in entry.iter_unpack(whole[: len(whole) // entry.size * entry.size]):
                if self.wide:
                    name, info, _, section, address, size = fields
                else:
                    name, address, size, info, _, section = fields
                if section not in code or info & 15 not in (_NOTYPE, _FUNC):
                    continue
                text = self._text(names + name)
                if text and text[0] not in "$.":  # mapping symbols and labels
                    yield text, address & ~1 if self.machine == ARM else address, size, section

    # -- inside -------------------------------------------------------------------------------------------------

    def _content(self, section: Section) -> bytes:
        return b"" if section.kind == _NOBITS else self._data[section.offset : section.offset + section.size]

    def _text(self, at: int) -> str:
        return self._data[at : self._data.find(b"\0", at)].decode(errors="replace")

    def _gnu_note(self, section: Section) -> str:
        content, at = self._content(section), 0
        while at + 12 <= len(content):
            name, size, kind = struct.unpack_from(self._order + "III", content, at)
            start = at + 12 + (name + 3) // 4 * 4
            if kind == _BUILD_ID and content[at + 12 : at + 12 + name] == _GNU:
                return content[start : start + size].hex()
            at = start + (size + 3) // 4 * 4
        return ""

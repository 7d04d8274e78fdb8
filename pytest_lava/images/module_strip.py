"""Kernel modules without their debugging information, which is most of their size and of no use on a board.

What ``strip --strip-debug`` leaves out is left out, for any architecture: sections that are not loaded and are named as
those of a debugger, and the relocations of these. Their headers stay, with a size of 0, so that no other section gets
another number; so nothing that points to a section has to be changed.

Format: ELF, as elf(5) has it; the mark of a signature: include/linux/module_signature.h of the kernel.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["without_debug"]

_SIGNED = b"~Module signature appended~\n"
_DEBUG = re.compile(rb"\.z?debug_.*|\.gdb_index|\.line|\.stab(?:str)?|\.gnu\.linkonce\.wi\..*")
_RELOCATABLE = 1  # e_type
_NOBITS, _RELOCATIONS = 8, (4, 9)  # sh_type
_ALLOC = 2  # sh_flags
#: of 64 and of 32 bits: the header from e_type on, and a section's header
_FORMS = {2: ("HHIQQQIHHHHHH", "IIQQQQIIQQ"), 1: ("HHIIIIIHHHHHH", "IIIIIIIIII")}
_AT = 16  # byte of e_type


@dataclass(frozen=True)
class _Section:
    """A section's header, as elf(5) names its fields."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int

    @property
    def stored(self) -> int:
        """Bytes in the file."""
        return 0 if self.type == _NOBITS else self.size


@dataclass(frozen=True)
class _Module:
    """``header`` holds the fields from e_type on, ``form`` and ``row`` how header and sections are packed."""

    header: tuple[int, ...]
    sections: tuple[_Section, ...]
    form: str
    row: str


def without_debug(module: bytes | memoryview) -> list[bytes | memoryview] | None:
    """The pieces of the smaller module; ``None`` if there is nothing to leave out.

    A module that is signed stays as it is, as its signature would be wrong; so does what is no module.
    """
    data = memoryview(module)
    if bytes(data[-len(_SIGNED) :]) == _SIGNED or (found := _read(data)) is None:
        return None
    names = found.sections[found.header[12]]
    dropped = {
        number
        for number, one in enumerate(found.sections)
        if not one.flags & _ALLOC and _DEBUG.fullmatch(_word(data, names.offset + one.name))
    }
    dropped |= {number for number, one in enumerate(found.sections) if one.type in _RELOCATIONS and one.info in dropped}
    return list(_pieces(data, found, dropped)) if any(found.sections[n].stored for n in dropped) else None


def _read(data: memoryview) -> _Module | None:
    """The headers of a module; ``None`` for anything else, or one that is damaged: the board will tell."""
    if len(data) < 64 or bytes(data[:4]) != b"\x7fELF" or data[4] not in _FORMS or data[5] not in (1, 2):
        return None
    order = "<" if data[5] == 1 else ">"
    form, row = (f"{order}{fields}" for fields in _FORMS[data[4]])
    header = struct.unpack_from(form, data, _AT)
    kind, table, segments, size, count, names = header[0], header[5], header[9], header[10], header[11], header[12]
    if kind != _RELOCATABLE or segments or size != struct.calcsize(row) or not names < count:
        return None
    if table + count * size > len(data):
        return None
    sections = tuple(_Section(*struct.unpack_from(row, data, table + n * size)) for n in range(count))
    if any(one.offset + one.stored > len(data) for one in sections):
        return None
    return _Module(header, sections, form, row)


def _pieces(data: memoryview, module: _Module, dropped: set[int]) -> Iterator[bytes | memoryview]:
    """The header, what stays, moved together, and the table of sections behind it."""
    at = _AT + struct.calcsize(module.form)
    moved = dict(enumerate(module.sections))
    kept: list[bytes | memoryview] = []
    for number, one in sorted(moved.items(), key=lambda item: item[1].offset):
        if number in dropped:
            moved[number] = replace(one, offset=at, size=0)
            continue
        if one.stored:
            gap = -at % max(one.align, 1)
            kept += [bytes(gap), data[one.offset : one.offset + one.stored]]
            at += gap
        moved[number] = replace(one, offset=at if one.type else one.offset)
        at += one.stored
    gap = -at % 8
    header = (*module.header[:5], at + gap, *module.header[6:])
    yield data[:_AT]
    yield struct.pack(module.form, *header)
    yield from kept
    yield bytes(gap)
    for number in range(len(moved)):
        one = moved[number]
        fields = (one.name, one.type, one.flags, one.address, one.offset, one.size, one.link, one.info, one.align)
        yield struct.pack(module.row, *fields, one.entry)


def _word(data: memoryview, at: int) -> bytes:
    """A name in the table of names."""
    return bytes(data[at : at + 64]).partition(b"\0")[0]

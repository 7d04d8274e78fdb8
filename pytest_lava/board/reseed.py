"""A program of some 250 bytes that gives a Linux kernel random bits and makes it use them, for boards without one.

Two boards that resume one state would give the same random numbers until their kernels reseed by themselves. What is
written to ``/dev/urandom`` counts only from then on, and no program of a busybox can ask for more.
"""

from __future__ import annotations

import struct

__all__ = ["reseeding"]

#: what ``uname -m`` says -> e_machine, and code: ``ioctl(0, RNDADDENTROPY, &data)``, ``exit(ioctl(0, RNDRESEEDCRNG))``
#: (include/uapi/linux/random.h). The first counts where the kernel has no random numbers yet, the second where it has.
_PROGRAMS = {
    "x86_64": (
        62,
        bytes.fromhex(
            "31ff be03520840 488d151e000000 b810000000 0f05 31ff be07520000 b810000000 0f05 89c7 b83c000000 0f05"
        ),
    ),
    "aarch64": (
        183,
        struct.pack(
            "<11I", 0xD2800000, 0xD28A4061, 0xF2A80101, 0x10000102, 0xD28003A8, 0xD4000001,
            0xD2800000, 0xD28A40E1, 0xD4000001, 0xD2800BA8, 0xD4000001,
        ),
    ),
    "armv7l": (
        40,
        struct.pack(
            "<11I", 0xE3A00000, 0xE3051203, 0xE3441008, 0xE28F2018, 0xE3A07036, 0xEF000000,
            0xE3A00000, 0xE3051207, 0xEF000000, 0xE3A07001, 0xEF000000,
        ),
    ),
}  # fmt: skip
_BASE = 0x10000
_ARM_EABI5 = 0x05000000
_FAILED = "echo 'random numbers are stirred, but not reseeded' >&2"


def reseeding(machine: str, noise: bytes, file: str) -> str:
    """Shell commands that have ``noise`` used; ``file`` is executable, and empty before and after.

    ``machine`` is what ``uname -m`` says. On stderr they tell if the kernel does not reseed.
    """
    if machine not in _PROGRAMS:
        return f"printf %b '{_octal(noise)}' >/dev/urandom; {_FAILED}; "
    number, code = _PROGRAMS[machine]
    program = _octal(_elf(number, code + struct.pack("<II", len(noise) * 8, len(noise)) + noise))
    return f"printf %b '{program}' >{file} && {file} </dev/urandom || {_FAILED}; : >{file}; "


def _elf(machine: int, code: bytes) -> bytes:
    """A static program of one segment (ELF, System V ABI, chapters 4 and 5)."""
    wide = machine != _PROGRAMS["armv7l"][0]
    head, entry = (64, 56) if wide else (52, 32)
    begin, size = head + entry, head + entry + len(code)
    flags = 0 if wide else _ARM_EABI5
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    words = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    header = ident + struct.pack(words, 2, machine, 1, _BASE + begin, head, 0, flags, head, entry, 1, 0, 0, 0)
    if wide:
        segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    else:
        segment = struct.pack("<IIIIIIII", 1, 0, _BASE, _BASE, size, size, 5, 0x1000)
    return header + segment + code


def _octal(data: bytes) -> str:
    """As ``printf %b`` takes it; in a format some shells would see a ``%`` in it."""
    return "".join(f"\\0{byte:o}" for byte in data)

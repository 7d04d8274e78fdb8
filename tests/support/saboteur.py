"""Modules that break a real kernel in a chosen way: assembled here, of the layout that its own modules have."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support.elves import assembled
from support.kernels import debian_modules

__all__ = ["FAULTS", "faulty_modules"]

_BUG = """
    .section .rodata.str,"aMS",@progbits,1
    1: .asciz "drivers/lava/faulty.c"
    .section __bug_table,"aw"
    .align 2
    2: .long 3f - .
    .long 1b - .
    .short 7, {flags}
    .section .init.text,"ax"
    3: brk #0x800
"""
#: what the first function of such a module does, by name; the kernel's own BUG() and WARN() are just this
FAULTS = {
    "oopses": "mov x0, #0\n str x0, [x0]",
    "bugs": _BUG.format(flags=0),
    "warns": _BUG.format(flags=1 | 9 << 8),
    "spins": "4: b 4b",
    "dies": "msr daifset, #15\n 4: b 4b",
    "blocks": "mov x0, #4000\n bl msleep",
    "overflows": "4: sub sp, sp, #256\n str xzr, [sp]\n b 4b",
}
_MODULE = """
    .section .modinfo,"a"
    .asciz "license=GPL"
    .asciz "name={name}"
    .asciz "{vermagic}"
    .section __versions,"a"
    .incbin "{versions}"
    .section .gnu.linkonce.this_module,"aw"
    .align 6
    .zero 24
    .asciz "{name}"
    .zero {init} - 24 - {length} - 1
    .quad init_module
    .zero {size} - {init} - 8
    .section .plt,"ax"
    .byte 0
    .section .init.plt,"a"
    .byte 0
    .section .text.ftrace_trampoline,"ax"
    .byte 0
    .section .init.text,"ax"
    .align 2
    .globl init_module
    .type init_module,%function
init_module:
    stp x29, x30, [sp, #-16]!
    mov x29, sp
    {fault}
    mov w0, #0
    ldp x29, x30, [sp], #16
    ret
    .size init_module, .-init_module
"""


def faulty_modules(folder: Path) -> dict[str, Path]:
    """All of :data:`FAULTS` for the default kernel of arm64 boards: ``insmod`` of one does it."""
    ((_, content),) = debian_modules("microchip_t1").items()  # a small one that calls msleep
    model = folder / "model.ko"
    versions = folder / "versions"
    model.write_bytes(content)
    told = _said("llvm-readelf", "-S", "-r", "--wide", str(model))
    _said("llvm-objcopy", f"--dump-section=__versions={versions}", str(model), "/dev/null")
    size = re.search(r"\.gnu\.linkonce\.this_module +PROGBITS +\w+ \w+ (\w+)", told)
    init = re.search(r"rela\.gnu\.linkonce\.this_module'.*\n.*\n0*(\w+) .* init_module", told)
    vermagic = re.search(rb"vermagic=[^\0]+", content)
    assert size
    assert init
    assert vermagic
    layout: dict[str, object] = {"size": int(size[1], 16), "init": int(init[1], 16)}
    layout |= {"versions": versions, "vermagic": vermagic[0].decode()}
    return {
        name: assembled(
            folder / f"{name}.ko",
            "aarch64-linux-gnu",
            _MODULE.format(name=name, length=len(name), fault=fault, **layout),
        )
        for name, fault in FAULTS.items()
    }


def _said(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout

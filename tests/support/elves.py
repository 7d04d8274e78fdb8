"""Small real ELF files with debug information, made by the tools that make kernels."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["BANNER", "RELEASE", "VERSION", "assembled", "compiled_vmlinux"]

RELEASE = "6.1.0-lava"
VERSION = "#7 SMP Mon Jan  5 10:00:00 UTC 2026"
BANNER = f"Linux version {RELEASE} (me@here) (gcc (Debian) 12.2.0, GNU ld 2.40) {VERSION}"
_MAIN = """
const char draft[] = "DRAFT # SMP \\n";
const char linux_banner[] = "BANNER\\n";
int kernel_init(void);
#include "../drivers/tty/sysrq.h"
int kernel_init(void)
{
    return handle_sysrq(99) + 1;
}
"""
_SYSRQ = """
int handle_sysrq(int key);
static inline __attribute__((always_inline)) int crash(volatile int *where)
{
    return *where;
}
"""
_BODY = """
#include "sysrq.h"
static __attribute__((noinline)) int sysrq_handle_crash(int key)
{
    volatile int *where = 0;
    return crash(where) + key;
}
__attribute__((noinline)) int handle_sysrq(int key)
{
    return sysrq_handle_crash(key) * 3;
}
"""
_OTHER = """
int other(void);
static __attribute__((noinline)) int sysrq_handle_crash(int key)
{
    volatile int sum = 0;
    for (int i = 0; i < key; i++) sum += i * key;
    return sum * 7 + 3;
}
int other(void) { return sysrq_handle_crash(5); }
"""


def _run(*argv: str | Path) -> None:
    try:
        subprocess.run([str(one) for one in argv], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr) from error


def compiled_vmlinux(folder: Path, *flags: str, banner: str = BANNER) -> Path:
    """A program with a kernel's banner and functions of known names, for this machine; two share a name."""
    main = _MAIN.replace("BANNER", banner).replace("DRAFT", banner.rpartition(" #")[0])
    sources = {"init/main.c": main, "drivers/tty/sysrq.h": _SYSRQ}
    sources |= {"drivers/tty/sysrq.c": _BODY, "lib/other.c": _OTHER}
    for name, text in sources.items():
        path = folder / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    units = [folder / "src" / name for name in sources if name.endswith(".c")]
    vmlinux = folder / "vmlinux"
    _run(
        "gcc", "-O1", "-fno-pie", "-fno-optimize-sibling-calls", "-nostdlib", "-static", "-Wl,-e,kernel_init",
        "-Wl,--build-id", *(flags or ("-g",)), "-o", vmlinux, *units,
    )  # fmt: skip
    return vmlinux


def assembled(path: Path, triple: str, text: str) -> Path:
    """An object as modules are, for any architecture; lines are those of ``text`` itself."""
    source = path.with_suffix(".s")
    source.write_text(text)
    _run("llvm-mc", f"--triple={triple}", "--filetype=obj", "-g", "-o", path, source)
    return path

"""What the watch looks for, as a table: name, class, literal, expression, and where the message comes from.

Sources are files of the Linux kernel unless they name another project. The order counts: a line is what its first
match says. Literals begin with characters that are rare in ordinary output, which halves the cost of looking.
"""

from __future__ import annotations

import re

from pytest_lava.console.kernel_records import CALLER, STAMP
from pytest_lava.console.watch_pattern import RECORD_START, FindingKind, WatchPattern

__all__ = ["PATTERNS"]

_ESCAPES = r"^(?:\x1b\[?[0-9;?]*[a-zA-Z])*"


def _record(
    name: str, kind: FindingKind, literal: str, regex: str, source: str, *, traced: bool = True
) -> WatchPattern:
    """A message of the kernel, which begins a record."""
    return WatchPattern(name, kind, literal.encode(), re.compile((RECORD_START + regex).encode()), source, traced)


def _banner(name: str, literal: str, regex: str, source: str, kind: FindingKind = FindingKind.BOOT) -> WatchPattern:
    """What firmware prints, at the beginning of a line."""
    return WatchPattern(name, kind, literal.encode(), re.compile((_ESCAPES + regex).encode()), source, traced=False)


_FATAL, _CRASH, _STALL, _WARN, _BOOT = (
    FindingKind.FATAL, FindingKind.CRASH, FindingKind.STALL, FindingKind.WARN, FindingKind.BOOT,
)  # fmt: skip
_PANIC = r"Kernel panic - not syncing"
_DIE = (
    r"(?:watchdog: )?BUG: (?:kernel NULL pointer|unable to handle|stack guard page|TASK stack guard|KASAN|KFENCE|KMSAN)"
)
_OOPS = r"(?:(?:Internal error: |Oops|[Kk]ernel BUG).*|.*: [0-9a-f]{4,16} )\[#\d+\]"
_LOCKDEP = (
    r"(?:=+ )?\[? ?(?:WARNING|INFO|BUG): (?:possible |inconsistent lock|suspicious RCU|bad unlock balance|"
    r"held lock freed|lock held when|\S+-safe -> |Nested lock|Invalid wait context|bad contention)"
)

#: all that is looked for unless a board file says otherwise
PATTERNS: tuple[WatchPattern, ...] = (
    # -- fatal: the kernel is dead ------------------------------------------------------------------------------
    _record("no-init", _FATAL, "Kernel panic", _PANIC + r": (?:No working init|Requested init)", "init/main.c"),
    _record("no-root", _FATAL, "Kernel panic", _PANIC + r": VFS: Unable to mount root", "init/do_mounts.c"),
    _record("init-killed", _FATAL, "Kernel panic", _PANIC + r": Attempted to kill init", "kernel/exit.c"),
    # the rest of the files is missing, which nothing tells later
    _record(
        "initramfs-full", _FATAL, "Initramfs unp", r"Initramfs unpacking failed: write error", "init/initramfs.c",
        traced=False,
    ),
    _record("panic", _FATAL, "Kernel panic", _PANIC, "kernel/panic.c; LAVA utils/messages.py"),
    _banner("u-boot-hang", "### ERROR ###", r"### ERROR ### Please RESET the board", "U-Boot lib/hang.c", _FATAL),
    # -- crash: a bug in the kernel -----------------------------------------------------------------------------
    _record("kernel-bug", _CRASH, "BUG at ", r"kernel BUG at ", "lib/bug.c, include/asm-generic/bug.h"),
    _record("soft-lockup", _CRASH, "BUG: ", r"(?:NMI )?(?:watchdog: )?BUG: soft lockup", "kernel/watchdog.c"),
    _record("spinlock-lockup", _CRASH, "BUG: ", r"BUG: spinlock ", "kernel/locking/spinlock_debug.c"),
    _record("hard-lockup", _CRASH, "LOCKUP", r"(?:\w* ?watchdog: |NMI ).*[Dd]etected hard LOCKUP", "kernel/watchdog.c"),
    _record("bad-page", _CRASH, "BUG: ", r"BUG: Bad (?:page|rss-counter)", "mm/page_alloc.c, mm/memory.c"),
    _record("oops", _CRASH, "BUG: ", _DIE, "arch/x86/mm/fault.c, mm/kasan/report.c, mm/kfence/report.c"),
    _record(
        "oops", _CRASH, "Unable to handle", r"(?:CPU \d+ )?Unable to handle kernel ", "arch/arm64/mm/fault.c"
    ),
    _record("oops", _CRASH, "Unhandled ", r"Unhandled (?:fault|prefetch abort)", "arch/arm/mm/fault.c; LAVA"),
    _record("oops", _CRASH, "SError", r"SError Interrupt on CPU", "arch/arm64/kernel/traps.c"),
    _record("oops", _CRASH, "Bad mode in", r"Bad mode in .* (?:handler )?detected", "arch/arm64/kernel/traps.c"),
    _record("oops", _CRASH, "Insufficient stack", r"Insufficient stack space to handle", "arch/arm64/kernel/traps.c"),
    # die() of every architecture ends in a count: Internal error: Oops: 96000046 [#1], invalid opcode: 0000 [#1]
    _record("oops", _CRASH, "[#", _OOPS, "die() in arch/*/kernel: dumpstack.c, traps.c"),
    # -- stall: it may go on ------------------------------------------------------------------------------------
    _record(
        "hung-task", _STALL, "INFO: ", r"INFO: task .* blocked (?:in I/O wait )?for more than", "kernel/hung_task.c",
    ),
    _record(
        "rcu-stall", _STALL, "INFO: ", r"(?:rcu: )?INFO: \S+ (?:self-)?detected (?:expedited )?stall", "kernel/rcu/"
    ),
    _record("workqueue-lockup", _STALL, "BUG: ", r"BUG: workqueue lockup", "kernel/workqueue.c"),
    _record(
        "nfs-stall", _STALL, "still trying", r"nfs: server .* not responding, still", "fs/lockd, net/sunrpc/clnt.c",
        traced=False,
    ),
    # -- warn: complaints ---------------------------------------------------------------------------------------
    _record("lockdep", _WARN, "WARNING: ", _LOCKDEP, "kernel/locking/lockdep.c"),
    _record("lockdep", _WARN, "INFO: ", _LOCKDEP, "kernel/locking/lockdep.c, before 4.16"),
    _record("lockdep", _WARN, "BUG: ", _LOCKDEP, "kernel/locking/lockdep.c"),
    _record(
        "warning", _WARN, "WARNING: ", r"WARNING: (?:CPU: \d+ PID: \d+ at |at \S+:\d+ |[\w./-]+\.[chS]:\d+ at )",
        "kernel/panic.c",
    ),
    _record(
        "invalid-context", _WARN, "BUG: ", r"BUG: (?:sleeping function|scheduling while|using )", "kernel/sched/core.c",
    ),
    _record("kcsan", _WARN, "BUG: KCSAN", r"BUG: KCSAN: ", "kernel/kcsan/report.c"),
    # whatever else the kernel calls a bug; without a time stamp it could be any program's word
    WatchPattern(
        "bug", _CRASH, b"BUG: ", re.compile(rf"{STAMP}{CALLER} (?:\w+: )?BUG: ".encode()), "any",
    ),
    _record("oom", _WARN, "oom-killer", r".* invoked oom-killer: ", "mm/oom_kill.c"),
    _record("oom", _WARN, ": Killed process", r".*[Oo]ut of memory.*: Killed process", "mm/oom_kill.c", traced=False),
    _record(
        "page-allocation", _WARN, ": page allocation", r".*: page allocation (?:failure|stalls)", "mm/page_alloc.c",
    ),
    _record(
        "io-error", _WARN, "I/O error", r".*\bI/O error[, ].*\b(?:dev|sector|block) ?",
        "block/blk-core.c", traced=False,
    ),
    _record("fs-error", _WARN, "EXT4-fs error", r"EXT4-fs error ", "fs/ext4/super.c", traced=False),
    _record("fs-error", _WARN, "Remounting", r".*Remounting filesystem read-only", "fs/ext4/super.c", traced=False),
    _record("fs-error", _WARN, "XFS (", r"XFS \(.*\): (?:Corruption|Internal error|Metadata )", "fs/xfs/xfs_error.c"),
    _record("fs-error", _WARN, "BTRFS ", r"BTRFS (?:error|critical)", "fs/btrfs/messages.c", traced=False),
    _record("fs-error", _WARN, "FAT-fs (", r"FAT-fs \(.*\): error", "fs/fat/misc.c", traced=False),
    _record("fs-error", _WARN, "UBIFS error", r"UBIFS error ", "fs/ubifs/misc.c"),
    _record("fs-error", _WARN, "SQUASHFS error", r"SQUASHFS error: ", "fs/squashfs", traced=False),
    _record("segfault", _WARN, ": segfault at", r".*\[\d+\]: segfault at ", "arch/x86/mm/fault.c", traced=False),
    _record("segfault", _WARN, "traps: ", r"traps: .*\[\d+\] ", "arch/x86/kernel/traps.c", traced=False),
    _record(
        "segfault", _WARN, ": unhandled ", r".*\[\d+\]: unhandled .*(?:fault|exception|abort)",
        "arch/arm64/kernel/traps.c",
    ),
    _record("irq-nobody-cared", _WARN, ": nobody cared", r"irq \d+: nobody cared", "kernel/irq/spurious.c"),
    _record("ubsan", _WARN, "UBSAN: ", r"UBSAN: ", "lib/ubsan.c"),
    _record(
        "kmemleak", _WARN, "(see /sys/kernel/debug/kmemleak", r"kmemleak: \d+ new suspected",
        "mm/kmemleak.c", traced=False,
    ),
    _record(
        "hardware-error", _WARN, "[Hardware Error]", r".*\[Hardware Error\]: ", "arch/x86/kernel/cpu/mce", traced=False,
    ),
    # -- boot: somebody starts ----------------------------------------------------------------------------------
    _banner("u-boot", "U-Boot ", r"U-Boot (?:SPL |TPL )?20\d\d", "U-Boot; LAVA utils/messages.py"),
    _banner("barebox", "barebox 20", r"barebox 20\d\d", "barebox"),
    _banner("tf-a", "NOTICE:  BL", r"NOTICE:  BL\d", "Trusted Firmware-A"),
    _banner("opensbi", "OpenSBI v", r"OpenSBI v\d", "OpenSBI"),
    _banner("seabios", "SeaBIOS (", r".*SeaBIOS \(version ", "SeaBIOS"),
    _banner("grub", "GNU GRUB", r".*GNU GRUB +version", "GRUB"),
    _banner("x-loader", "X-Loader", r"Texas Instruments X-Loader", "X-Loader of OMAP"),
    _record("restart", _BOOT, "Restarting system", r"reboot: Restarting system", "kernel/reboot.c", traced=False),
    _record("restart", _BOOT, "Power down", r"reboot: Power down", "kernel/reboot.c", traced=False),
    _record("restart", _BOOT, "System halted", r"reboot: System halted", "kernel/reboot.c", traced=False),
    _record(
        "linux", _BOOT, "Booting Linux on", r"Booting Linux on physical CPU", "arch/arm64/kernel/setup.c", traced=False,
    ),
    _record("linux", _BOOT, "Linux version ", r"Linux version \d", "init/main.c", traced=False),
)  # fmt: skip

"""Each thing that the watch looks for, as kernels and boot loaders really say it."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_lava.console.watch import PATTERNS, FindingKind, Watch, WatchPattern
from pytest_lava.console.watch_pattern import PatternTable, literal_in
from pytest_lava.errors import ConfigurationError

SAID = """
fatal no-init         Kernel panic - not syncing: No working init found.  Try passing init= option to kernel.
fatal no-init         Kernel panic - not syncing: Requested init /bin/x failed (error -2).
fatal initramfs-full  Initramfs unpacking failed: write error
fatal no-root         Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)
fatal init-killed     Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b
fatal panic           Kernel panic - not syncing: Fatal exception in interrupt
fatal u-boot-hang     ### ERROR ### Please RESET the board ###
crash kernel-bug      kernel BUG at mm/slub.c:379!
crash soft-lockup     watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [swapper/1:0]
crash spinlock-lockup BUG: spinlock lockup suspected on CPU#0, swapper/0/1
crash hard-lockup     NMI watchdog: Watchdog detected hard LOCKUP on cpu 2
crash bad-page        BUG: Bad page state in process sh  pfn:12345
crash oops            BUG: kernel NULL pointer dereference, address: 0000000000000000
crash oops            BUG: unable to handle page fault for address: ffffc90000000000
crash oops            BUG: KASAN: slab-out-of-bounds in kmalloc_oob_right+0xa8/0xbc [test_kasan]
crash oops            Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000
crash oops            Unhandled fault: external abort on non-linefetch (0x1008) at 0xe0904000
crash oops            SError Interrupt on CPU3, code 0x00000000bf000002 -- SError
crash oops            Bad mode in Error handler detected on CPU0, code 0xbf000002 -- SError
crash oops            Insufficient stack space to handle exception!
crash oops            Internal error: Oops: 0000000096000046 [#1] SMP
crash oops            Internal error: Oops - undefined instruction: 0 [#1] PREEMPT SMP ARM
crash oops            Oops: 0002 [#1] PREEMPT SMP PTI
crash oops            general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP
crash oops            invalid opcode: 0000 [#1] PREEMPT SMP
crash bug             BUG: something that nobody has seen yet
stall hung-task       INFO: task kworker/0:1:12 blocked for more than 120 seconds.
stall rcu-stall       rcu: INFO: rcu_preempt self-detected stall on CPU
stall rcu-stall       rcu: INFO: rcu_sched detected stalls on CPUs/tasks:
stall rcu-stall       rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies
stall workqueue-lockup BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!
stall nfs-stall       nfs: server 10.0.2.2 not responding, still trying
warn  lockdep         WARNING: possible circular locking dependency detected
warn  lockdep         INFO: possible recursive locking detected
warn  lockdep         BUG: held lock freed!
warn  lockdep         WARNING: suspicious RCU usage
warn  warning         WARNING: CPU: 0 PID: 1 at kernel/workqueue.c:3162 __flush_work+0x1d0/0x210
warn  warning         WARNING: kernel/workqueue.c:3162 at __flush_work+0x1d0/0x210, CPU#0: swapper/0/1
warn  invalid-context BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580
warn  invalid-context BUG: scheduling while atomic: swapper/0/1/0x00000002
warn  kcsan           BUG: KCSAN: data-race in a / b
warn  oom             tail invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0
warn  oom             Out of memory: Killed process 99 (tail) total-vm:400000kB
warn  oom             Memory cgroup out of memory: Killed process 99 (tail)
warn  page-allocation swapper/0: page allocation failure: order:5, mode:0xcc0(GFP_KERNEL)
warn  io-error        I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0
warn  io-error        blk_update_request: I/O error, dev sda, sector 12345
warn  io-error        Buffer I/O error on dev vda, logical block 0, async page read
warn  fs-error        EXT4-fs error (device vda1): ext4_lookup:1855: inode #2: comm ls: deleted inode referenced: 12
warn  fs-error        EXT4-fs (vda1): Remounting filesystem read-only
warn  fs-error        XFS (vda1): Metadata corruption detected at xfs_agi_verify
warn  fs-error        BTRFS error (device vda1): parent transid verify failed
warn  fs-error        FAT-fs (vda1): error, fat_get_cluster: invalid cluster chain (i_pos 0)
warn  fs-error        UBIFS error (ubi0:0 pid 1): ubifs_read_node: bad node type
warn  fs-error        SQUASHFS error: Unable to read inode 0x123
warn  segfault        a.out[99]: segfault at 0 ip 000055d0 sp 00007ffc error 4 in a.out[55d0+1000]
warn  segfault        traps: a.out[99] general protection fault ip:55d0 sp:7ffc error:0
warn  segfault        a.out[99]: unhandled level 2 translation fault (11) at 0x00000000, esr 0x92000046
warn  irq-nobody-cared irq 17: nobody cared (try booting with the "irqpoll" option)
warn  ubsan           UBSAN: array-index-out-of-bounds in fs/x.c:1:2
warn  kmemleak        kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
warn  hardware-error  mce: [Hardware Error]: Machine check events logged
boot  u-boot          U-Boot 2023.01+dfsg-2 (Aug 13 2024 - 18:02:34 +0000)
boot  u-boot          U-Boot SPL 2021.10 (Jan 01 2022 - 00:00:00 +0000)
boot  barebox         barebox 2022.12.0 #1 Thu Dec 8 2022
boot  tf-a            NOTICE:  BL1: v2.8(release):v2.8
boot  opensbi         OpenSBI v1.1
boot  seabios         SeaBIOS (version 1.16.2-debian-1.16.2-1)
boot  grub            GNU GRUB  version 2.06
boot  x-loader        Texas Instruments X-Loader 1.5.0
boot  restart         reboot: Restarting system
boot  restart         reboot: Power down
boot  restart         reboot: System halted
boot  linux           Booting Linux on physical CPU 0x0000000000 [0x411fd070]
boot  linux           Linux version 6.1.0-28-cloud-arm64 (debian-kernel@lists.debian.org)
"""
LINES = [tuple(line.split(maxsplit=2)) for line in SAID.strip().splitlines()]
#: what no firmware says behind a time stamp, and what the kernel never says without one
FIRMWARE = {"u-boot-hang", "u-boot", "barebox", "tf-a", "opensbi", "x-loader"}
INNOCENT = """
NMI watchdog: Perf NMI watchdog permanently disabled
watchdog: Delayed init of the lockup detector failed: -19
rcu: Hierarchical RCU implementation.
sysrq: HELP : loglevel(0-9) reboot(b) crash(c) terminate-all-tasks(e)
ACPI BIOS Warning (bug): 32/64X length mismatch in FADT/Gpe0Block
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
systemd[1]: Warning: something else
device-mapper: ioctl: 4.47.0-ioctl (2022-07-28) initialised: dm-devel@redhat.com
Booting paravirtualized kernel on KVM
Kernel command line: console=ttyS0 panic=5 oops=panic softlockup_panic=1
Linux agpgart interface v0.103
EXT4-fs (vda1): mounted filesystem with ordered data mode
task: blocked for more than a moment
"""


def look(data: bytes, patterns: tuple[WatchPattern, ...] = PATTERNS) -> list[tuple[str, str]]:
    watch = Watch(patterns)
    watch.armed = frozenset(FindingKind)
    return [(str(found.kind), found.name) for found in watch.feed(data, 0)]


@pytest.mark.parametrize(("kind", "name", "said"), LINES, ids=[f"{line[1]}-{n}" for n, line in enumerate(LINES)])
@pytest.mark.parametrize("stamp", ["", "[   12.345678] ", "[   12.345678][    T1] ", "output[   12.345678] "])
def test_real_messages(kind: str, name: str, said: str, stamp: str) -> None:
    if (stamp and name in FIRMWARE) or (not stamp and name == "bug"):
        return
    assert look(f"{stamp}{said}\r\n".encode()) == [(kind, name)]


def test_each_pattern_is_needed_by_one_of_them() -> None:
    for pattern in PATTERNS:
        said = [line[2].encode() for line in LINES if line[1] == pattern.name]
        said += [b"[    1.000000] " + text for text in said]
        assert any(pattern.literal in text and pattern.regex.search(text) for text in said), pattern


@pytest.mark.parametrize("said", INNOCENT.strip().splitlines())
def test_innocent_messages(said: str) -> None:
    assert look(f"[    1.234567] {said}\r\n{said}\r\n".encode()) == []


ATOMS = st.sampled_from(
    ["a", "bc", "d", r"\.", r"\d", "[ab]", "[^]a]", ".", "(ab)", "(?:a|b)", r"\w", "b?", "c*", "d+", "a{2}",
     "(?:b)?", r"\x41", "bc{0,1}", "^", "$", "|", r"\\", "[]b]", "(a[)]b)"]
)  # fmt: skip


@given(parts=st.lists(ATOMS, max_size=6), line=st.text("abcd.0A\\)]", max_size=12))
def test_literal_of_any_expression_stands_in_what_it_matches(parts: list[str], line: str) -> None:
    regex = "".join(parts)
    try:
        compiled = re.compile(regex)
    except re.error:
        assume(False)
    if compiled.search(line):
        assert literal_in(regex) in line.encode()


@pytest.mark.parametrize(
    ("regex", "literal"),
    [
        ("myip: timeout", b"myip: timeout"),
        (r"myip \w+: timeout of \d+ s", b": timeout of "),
        ("(?i)myip", b""),
        ("one|two", b""),
        (r"a\.b", b"a.b"),
        ("abcd?", b"abc"),
        ("(?:not this) but this", b" but this"),
    ],
)
def test_literals(regex: str, literal: bytes) -> None:
    assert literal_in(regex) == literal


def test_pattern_without_a_literal_looks_at_every_line() -> None:
    table = PatternTable(PATTERNS)
    table.add("mine", "warn", "(?i)MYIP: .*lost")
    assert look(b"[    1.000000] myip: 7 Lost\r\n", tuple(table)) == [("warn", "mine")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("panic", "warn", "x"), "has a pattern 'panic' already"),
        (("x", "worse", "x"), "there is no class 'worse'; classes are fatal, crash, stall, warn, boot"),
        (("x", "warn", "["), "not a valid regular expression"),
        (("x", "warn", "a*"), "matches an empty line"),
    ],
)
def test_patterns_that_cannot_be(arguments: tuple[str, str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        PatternTable(PATTERNS).add(*arguments)

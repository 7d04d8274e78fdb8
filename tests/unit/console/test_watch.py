from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lava.console.kernel_records import excise
from pytest_lava.console.watch import Finding, FindingKind, Watch

BOOT_LOG = b"""\
\r\n\r\nU-Boot 2023.01+dfsg-2+deb12u1 (Aug 13 2024 - 18:02:34 +0000)\r\n\r\nDRAM:  512 MiB\r\n=> booti\r\n
Starting kernel ...\r\n\r\n
[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x411fd070]\r
[    0.000000] Linux version 6.1.0-28-cloud-arm64 (debian-kernel@lists.debian.org) #1 SMP Debian 6.1.119-1\r
[    0.000000] Kernel command line: console=ttyAMA0 panic=5 oops=panic\r
[    0.123456] NMI watchdog: Perf NMI watchdog permanently disabled\r
[    1.000000] Run /init as init process\r
"""


def look(*chunks: bytes, armed: tuple[FindingKind, ...] = (FindingKind.FATAL, FindingKind.BOOT)) -> list[Finding]:
    watch, at, found = Watch(), 0, []
    watch.armed = frozenset(armed)
    for chunk in chunks:
        found += watch.feed(chunk, at)
        at += len(chunk)
    return found


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"[   12.345678] Kernel panic - not syncing: Fatal exception", "panic"),
        (b"[   12.345678][    T1] Kernel panic - not syncing: Fatal exception in interrupt", "panic"),
        (b"[   12.345678] [   C0] Kernel panic - not syncing: hung", "panic"),
        (b"Kernel panic - not syncing: sysrq triggered crash", "panic"),
        (b"<0>Kernel panic - not syncing: no time stamps", "panic"),
        (b"half a line of a program[    1.234567] Kernel panic - not syncing: x", "panic"),
        (b"lava# [    1.234567] Kernel panic - not syncing: x", "panic"),
        (b"[    0.900000] Kernel panic - not syncing: No working init found.  Try passing init= option", "no-init"),
        (b"[    0.900000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "no-root"),
        (b"[    0.900000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b", "init-killed"),
        (b"U-Boot 2023.01+dfsg-2 (Aug 13 2024)", "u-boot"),
        (b"U-Boot SPL 2021.10 (Jan 01 2022)", "u-boot"),
        (b"barebox 2022.12.0 #1", "barebox"),
        (b"\x1b[H  GNU GRUB  version 2.06", "grub"),
        (b"[    0.000000] Linux version 6.1.0", "linux"),
        (b"[    9.000000] reboot: Restarting system", "restart"),
    ],
)
def test_finds(line: bytes, name: str) -> None:
    before = b"ordinary output\r\n"
    (found,) = look(before + line + b"\r\nmore\r\n")
    record = line[max(0, line.find(b"[ ")) :]  # what a program had written of its line by then is no part of it
    assert (found.name, found.record) == (name, record)
    assert found.offset == len(before) + len(line) - len(record)
    assert found.returned


@pytest.mark.parametrize(
    "line",
    [
        b"echo Kernel panic - not syncing",
        b"see 'Kernel panic - not syncing' in the manual",
        b"[    1.234567] reboot: panic notifier: Kernel panic - not syncing",
        b"built with U-Boot 2023.01",
        b"Linux version is fine",
        b"Kernel panic averted",
    ],
)
def test_does_not_find(line: bytes) -> None:
    assert look(line + b"\n") == []


def test_boot_banners_count_only_where_nobody_asked_for_a_boot() -> None:
    assert look(BOOT_LOG, armed=(FindingKind.FATAL,)) == []
    assert [finding.name for finding in look(BOOT_LOG)] == ["u-boot", "linux", "linux"]
    assert look(BOOT_LOG, armed=()) == []


@given(cuts=st.sets(st.integers(1, len(BOOT_LOG) - 1), max_size=40))
def test_however_the_bytes_come(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(BOOT_LOG)]
    assert look(*(BOOT_LOG[a:b] for a, b in pairwise(edges))) == look(BOOT_LOG)


def test_offset_behind_a_very_long_line() -> None:
    chunks = [b"\0" * 3000] * 20 + [b"\nKernel panic - not syncing: x\n"]
    (found,) = look(*chunks)
    assert found.offset == 60001
    begins_there = [b"\0" * 3000] * 20 + [b"[    1.000000] Kernel panic - not syncing: x\n"]
    (found,) = look(*begins_there)
    assert found.offset == 60000
    (found,) = look(b"".join(begins_there))
    assert found.offset == 60000


def test_half_a_line_is_forgotten_at_a_power_cycle() -> None:
    watch = Watch()
    watch.armed = frozenset(FindingKind)
    watch.feed(b"[    1.000000] Kernel pan", 0)
    watch.reset()
    assert watch.feed(b"ic - not syncing: x\n", 25) == []


@given(
    data=st.binary(max_size=200).filter(lambda data: b"[" not in data),
    at=st.integers(0, 200),
    seconds=st.floats(0, 99999),
    text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    caller=st.sampled_from(["", "[    T1] ", " [  C12] "]),
)
def test_excision_gives_back_what_a_record_was_put_into(
    data: bytes, at: int, seconds: float, text: str, caller: str
) -> None:
    at = min(at, len(data))
    record = f"[{seconds:12.6f}]{caller or ' '}{text}\r\n".encode()
    assert excise(data[:at] + record + data[at:]) == data

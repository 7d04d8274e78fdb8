from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lines import FaultLine, Peer, open_shell, soon

from pytest_lava.console.console import Console
from pytest_lava.console.fdtransport import FdTransport
from pytest_lava.console.process import open_process
from pytest_lava.console.watch import FindingKind
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConsoleLost, InfrastructureError, KernelCrash, Timeout, UnexpectedReset

PANIC = b"[   12.345678] Kernel panic - not syncing: test\r\n[   12.400000] Call trace:\r\n"


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    console = Console(tmp_path / "console.log")
    yield console
    console.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("console ")]


@pytest.fixture
def peer(console: Console) -> Iterator[Peer]:
    peer = Peer(console)
    yield peer
    peer.close()


def pattern(text: str) -> list[re.Pattern[bytes]]:
    return [re.compile(text.encode())]


def test_expect_across_chunks(console: Console, peer: Peer) -> None:
    for piece in (b"noise lo", b"gi", b"n: and more"):
        peer.says(piece)
        time.sleep(0.01)
    found = console.expect(pattern("login: "), deadline=soon())
    assert (console.read(found.start, found.end), found.index) == (b"login: ", 0)


def test_the_earliest_of_several_patterns(console: Console, peer: Peer) -> None:
    peer.says(b"first second third")
    patterns = [re.compile(word) for word in (b"third", b"second", b"no")]
    found = console.expect(patterns, deadline=soon())
    assert (found.index, found.start) == (1, 6)
    assert console.expect(patterns, start=found.end, deadline=soon()).index == 0


def test_no_reader_takes_anything_from_another(console: Console, peer: Peer) -> None:
    peer.says(b"one two")
    for _ in range(3):
        assert console.expect(pattern("one"), deadline=soon()).start == 0


def test_nothing_matches_across_a_power_cycle(console: Console, peer: Peer) -> None:
    peer.says(b"old prompt # ")
    console.expect(pattern("# $"), deadline=soon())
    console.mark_boundary()
    with pytest.raises(Timeout, match="no prompt in time"):
        console.expect(pattern("# "), deadline=Deadline.after(0.05), what="prompt")
    peer.says(b"new # ")
    assert console.expect(pattern("# "), start=0, deadline=soon()).start == len("old prompt # new ")


def test_a_pattern_beyond_the_window_is_found_in_what_is_new(console: Console, peer: Peer) -> None:
    threading.Thread(target=lambda: peer.says(b"x" * 1_000_000 + b"needle")).start()
    assert console.expect(pattern("needle"), deadline=soon()).start == 1_000_000


def test_a_line_that_never_falls_silent_does_not_outlast_the_deadline(tmp_path: Path, console: Console) -> None:
    console.attach(open_process("yes")[0])
    start = time.monotonic()
    with pytest.raises(Timeout, match="no end in time") as caught:
        console.expect(pattern("never"), deadline=Deadline.after(0.2), what="end")
    assert time.monotonic() - start < 1
    assert "y" in caught.value.evidence
    assert len(caught.value.evidence) <= 2000


def test_end_of_file_wakes_whoever_waits(console: Console, peer: Peer) -> None:
    peer.says(b"last words")
    threading.Timer(0.05, peer.close).start()
    with pytest.raises(ConsoleLost, match=r"^the console ended while waiting for prompt: peer: the peer went$"):
        console.expect(pattern("# "), deadline=soon(), what="prompt")
    assert not console.attached
    assert console.expect(pattern("words"), deadline=soon()).start == 5  # what came can still be read
    with pytest.raises(ConsoleLost, match="the peer went"):
        console.write(b"x", soon())


def test_detaching_wakes_whoever_waits(console: Console, peer: Peer) -> None:
    threading.Timer(0.05, console.detach).start()
    start = time.monotonic()
    with pytest.raises(ConsoleLost, match="the line is closed"):
        console.expect(pattern("# "), deadline=soon())
    assert time.monotonic() - start < 2


def test_attached_again_and_again(console: Console) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        peer = Peer(console)
        peer.says(b"%d;" % number)
        console.expect(pattern(f"{number};"), deadline=soon())
        peer.close()
    console.detach()
    console.detach()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert console.log.read_bytes() == b"".join(b"%d;" % number for number in range(20))


def test_without_a_line(console: Console) -> None:
    assert not console.attached
    with pytest.raises(ConsoleLost, match="switched off"):
        console.write(b"x", soon())
    with pytest.raises(ConsoleLost, match="switched off"):
        console.send_break()


def test_break_where_there_is_none(console: Console, peer: Peer) -> None:
    with pytest.raises(ConsoleLost, match="cannot send a BREAK"):
        console.send_break()


def test_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"cannot write the console log .*: No such file or directory"):
        Console(tmp_path / "no such folder" / "console.log")


def test_disk_that_is_full_ends_the_console_with_the_reason(tmp_path: Path) -> None:
    """/dev/full in place of the index says ENOSPC as a full disk does."""
    (tmp_path / "console.idx").symlink_to("/dev/full")
    console = Console(tmp_path / "console.log")
    peer = Peer(console)
    peer.says(b"one byte too many")
    with pytest.raises(ConsoleLost, match=r"cannot write .*console\.log: No space left on device"):
        console.expect(pattern("byte"), deadline=soon())
    peer.close()
    console.close()


def test_fault_in_the_reader_is_told(tmp_path: Path) -> None:
    class Strange(FdTransport):
        def why_closed(self) -> str:
            raise RuntimeError("strange")

    read, write = os.pipe()
    console = Console(tmp_path / "console.log")
    console.attach(Strange(read, "strange line"))
    os.close(write)
    with pytest.raises(ConsoleLost, match=r"strange line: reading failed: RuntimeError\('strange'\)"):
        console.expect(pattern("x"), deadline=soon())
    console.close()


def test_panic_ends_a_wait_with_its_trace(console: Console, peer: Peer) -> None:
    console.arm(FindingKind.FATAL)
    peer.says(b"[   12.000000] BUG: kernel NULL pointer dereference, address: 0\r\n" + PANIC)
    threading.Timer(
        0.1, lambda: peer.says(b"[   12.500000] ---[ end Kernel panic - not syncing: test ]---\r\n")
    ).start()
    start = time.monotonic()
    with pytest.raises(KernelCrash, match=r"^the kernel crashed: Kernel panic - not syncing: test$") as caught:
        console.expect(pattern("# "), deadline=soon())
    assert time.monotonic() - start < 0.3
    assert caught.value.evidence.startswith("[   12.000000] BUG: kernel NULL")
    assert "end Kernel panic" in caught.value.evidence


def test_evidence_is_bounded(console: Console, peer: Peer) -> None:
    console.arm(FindingKind.FATAL)
    threading.Thread(target=lambda: peer.says(PANIC + b"y\n" * 200_000)).start()
    with pytest.raises(KernelCrash) as caught:
        console.expect(pattern("# "), deadline=soon())
    assert len(caught.value.evidence) <= 65536 + 8192


def test_reset_shows_what_came_before(console: Console, peer: Peer) -> None:
    console.arm(FindingKind.FATAL, FindingKind.BOOT)
    peer.says(b"test 17 runs\r\n\r\nU-Boot 2023.01 (Aug 13)\r\n")
    with pytest.raises(UnexpectedReset, match=r"^the board reset by itself: U-Boot 2023\.01") as caught:
        console.expect(pattern("# "), deadline=soon())
    assert caught.value.evidence.startswith("test 17 runs")


def test_only_so_many_findings_are_kept(console: Console, peer: Peer) -> None:
    console.arm(FindingKind.FATAL)
    peer.says(b"Kernel panic - not syncing\n" * 1000 + b"over")
    console.expect(pattern("over"), deadline=soon(), watched=False)
    assert len(console.findings()) == 100
    assert console.finding is not None
    console.dismiss_findings(0, 60)
    assert console.finding.offset >= 60
    console.dismiss_findings()
    assert console.finding is None
    peer.says(b"WARNING: CPU: 0 PID: 1 at a.c:1\n" * 1000 + b"Kernel panic - not syncing: at last\n" + b"again")
    console.expect(pattern("again"), deadline=soon(), watched=False)
    assert len(console.findings()) == 1000
    assert console.finding is not None
    assert console.finding.message == "Kernel panic - not syncing: at last"


def test_marks_of_what_was_typed(console: Console, peer: Peer) -> None:
    heard: list[str] = []
    console.on_mark = heard.append
    console.mark("$ one")
    peer.says(b"output")
    console.expect(pattern("output"), deadline=soon())
    console.mark("$ two")
    assert console.typed.between(0, 3) == [(0, "$ one")]
    assert console.typed.between(0, 6) == [(0, "$ one"), (6, "$ two")]
    assert heard == ["$ one", "$ two"]


def test_what_we_do_for_ourselves_is_not_shown(console: Console, peer: Peer) -> None:
    with console.typed.aside(), console.typed.aside():
        console.mark("$ ours")
        peer.says(b"plumbing")
        console.expect(pattern("plumbing"), deadline=soon())
    console.mark("$ theirs")
    assert console.typed.between(0, 100) == [(8, "$ theirs")]
    assert list(console.typed.shown(0, 8)) == []
    assert list(console.typed.shown(3, 20)) == [(8, 20)]
    with console.typed.aside():
        pass
    assert list(console.typed.shown(8, 20)) == [(8, 20)]


def test_waiters_in_several_threads(console: Console, peer: Peer) -> None:
    found: list[int] = []
    waiters = [
        threading.Thread(target=lambda n=n: found.append(console.expect(pattern(f"w{n};"), deadline=soon()).start))
        for n in range(10)
    ]
    for waiter in waiters:
        waiter.start()
    for number in range(10):
        peer.says(b"w%d;" % number)
    for waiter in waiters:
        waiter.join(5)
    assert sorted(found) == list(range(0, 30, 3))


def test_one_byte_a_read(tmp_path: Path) -> None:
    line = FaultLine(open_process("dash -i")[0], single=True)
    with open_shell(tmp_path, line=line) as shell:
        assert shell.run("echo out; echo err >&2; exit 3").returncode == 3
        assert shell.run("head -c 3000 /dev/zero").stdout_bytes == bytes(3000)


def test_a_boot_loader_that_gives_up_is_no_kernel(console: Console, peer: Peer) -> None:
    console.arm(FindingKind.FATAL)
    peer.says(b"### ERROR ### Please RESET the board ###\r\n")
    with pytest.raises(KernelCrash, match=r"^U-Boot gave up: ### ERROR ### Please RESET the board ###$"):
        console.expect(pattern("=> "), deadline=soon())

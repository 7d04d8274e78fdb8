"""pexpect's interface, as people know it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from support.lines import Peer, soon

from pytest_lava.console.console import Console
from pytest_lava.console.spawn import ConsoleSpawn
from pytest_lava.console.watch import FindingKind
from pytest_lava.errors import KernelCrash


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    console = Console(tmp_path / "console.log")
    yield console
    console.close()


@pytest.fixture
def peer(console: Console) -> Iterator[Peer]:
    peer = Peer(console)
    yield peer
    peer.close()


def test_expect(console: Console, peer: Peer) -> None:
    spawn = ConsoleSpawn(console, timeout=5)
    peer.says("one two Grüße".encode() + b" three")
    assert spawn.expect(["nothing", r"t(w)o"]) == 1
    assert spawn.before == "one "
    assert isinstance(spawn.match, re.Match)
    assert spawn.match[1] == "w"
    assert spawn.expect_exact(["three", "Grüße"]) == 1
    assert spawn.expect([pexpect.TIMEOUT, "never"], timeout=0.05) == 0
    with pytest.raises(pexpect.TIMEOUT):
        spawn.expect("never", timeout=0)


def test_character_cut_in_two(console: Console, peer: Peer) -> None:
    spawn = ConsoleSpawn(console, timeout=5)
    peer.says(b"Gr" + "ü".encode()[:1])
    threading.Timer(0.05, lambda: peer.says("ü".encode()[1:] + b"n \xff!")).start()
    spawn.expect("Grün \N{REPLACEMENT CHARACTER}!")


def test_end_of_the_line(console: Console, peer: Peer) -> None:
    spawn = ConsoleSpawn(console, timeout=5)
    peer.says(b"bye")
    peer.close()
    spawn.expect("bye")
    with pytest.raises(pexpect.EOF, match="the peer went"):
        spawn.expect("more")
    assert spawn.expect([pexpect.EOF]) == 0


def test_typing(console: Console, peer: Peer) -> None:
    spawn = ConsoleSpawn(console)
    assert spawn.send("a") + spawn.sendline("ü") + spawn.sendcontrol("c") + spawn.sendline() == 6
    time.sleep(0.05)
    assert peer.hears() == b"a" + "ü\n".encode() + b"\x03\n"


def test_crash(console: Console, peer: Peer) -> None:
    console.arm(FindingKind.FATAL)
    peer.says(b"[    1.000000] Kernel panic - not syncing: x\r\n")
    with pytest.raises(KernelCrash):
        ConsoleSpawn(console, timeout=5).expect("never")


def test_begins_where_the_log_stands(console: Console, peer: Peer) -> None:
    peer.says(b"old")
    console.expect([re.compile(b"old")], deadline=soon())
    spawn = ConsoleSpawn(console, timeout=5)
    assert spawn.expect(["old", pexpect.TIMEOUT], timeout=0.05) == 1

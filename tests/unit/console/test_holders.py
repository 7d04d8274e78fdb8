"""Who holds a port: each way in which it can be known."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_lava.console import holders
from pytest_lava.console.serialport import open_serial
from pytest_lava.console.settings import LineSettings
from pytest_lava.errors import ConsoleLost


@pytest.fixture
def port() -> Iterator[Path]:
    master, slave = pty.openpty()
    yield Path(os.ttyname(slave))
    os.close(master)
    os.close(slave)


def test_second_opener_in_this_process(port: Path) -> None:
    line = open_serial(str(port), LineSettings())
    with pytest.raises(ConsoleLost, match=rf"^the serial port {port} is held by this very run: a line has one reader"):
        open_serial(str(port), LineSettings())
    line.close()
    open_serial(str(port), LineSettings()).close()


def test_lock_of_a_program_whose_descriptors_are_not_to_be_seen(port: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "_openers", lambda device: iter(()))
    script = "import fcntl, sys; port = open(sys.argv[1]); fcntl.flock(port, fcntl.LOCK_EX); print(); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdin
    holder.stdout.readline()
    try:
        (found,) = holders.holders(port)
        assert re.fullmatch(rf"\S*python[\d.]* -c import fcntl, sys; .{{,120}}\.\.\. \(pid {holder.pid}\)", found)
        assert len(found) < 140
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def test_lock_file(port: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "_LOCK_FOLDERS", (tmp_path,))
    lock = tmp_path / f"LCK..{port.name}"
    lock.write_text("         1 minicom root\n")
    (found,) = holders.holders(port)
    assert found.endswith("(pid 1)")
    for leftover in ("4194999\n", "", "nonsense\n"):
        lock.write_text(leftover)
        assert list(holders.holders(port)) == []


def test_our_own_lock_is_none_of_another(port: Path) -> None:
    with port.open() as own:
        fcntl.flock(own, fcntl.LOCK_EX)
        assert list(holders.holders(port)) == []
        assert os.getpid() in holders.lockers(port)


def test_command_line_is_told_in_one_line(port: Path) -> None:
    script = 'exec 3<>"$1"; echo; cat'
    holder = subprocess.Popen(
        ["sh", "-c", script, "evil\n\x1b[2Jname", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdin
    holder.stdout.readline()
    try:
        found = list(holders.holders(port))
        assert f'sh -c exec 3<>"$1"; echo; cat evil [2Jname {port} (pid {holder.pid})' in found
        assert all(one.isprintable() for one in found)
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()

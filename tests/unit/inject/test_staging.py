"""Where contents of archives wait: under their own names, also where two have the same or one cannot be had."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from support.kernels import debian_modules

from pytest_lava.inject.additions import parse_addition
from pytest_lava.inject.entries import Entry, Staging, entries_of
from pytest_lava.inject.modules import with_depmod

MODULES = "usr/lib/modules/6.1.0-x/kernel"


def archive(path: Path, *files: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def staged(source: Path, folder: Path) -> list[Entry]:
    folder.mkdir()
    staging = Staging(folder)
    return list(with_depmod(entries_of(parse_addition("--overlay", str(source)), staging), staging))


def held(entries: list[Entry], path: str) -> list[bytes]:
    return [entry.content.read_bytes() for entry in entries if entry.path == path and entry.content]


@pytest.mark.parametrize("twice", [False, True], ids=["once", "one of them twice"])
def test_tables_of_modules(tmp_path: Path, twice: bool) -> None:
    found = debian_modules("net_failover", "failover")
    files = [(f"{MODULES}/{name}.ko", content) for name, content in found.items()]
    if twice:
        files.insert(0, (files[0][0], b"an older one"))
    entries = staged(archive(tmp_path / "modules.tar", *files), tmp_path / "staging")
    assert held(entries, files[-1][0]) == [files[-1][1]]
    (table,) = held(entries, "usr/lib/modules/6.1.0-x/modules.dep")
    assert b"kernel/net_failover.ko: kernel/failover.ko\n" in table
    assert held(entries, "usr/lib/modules/6.1.0-x/modules.dep.bin")


def test_names_that_cannot_be_had(tmp_path: Path) -> None:
    """A later file of the same name, one below a file, and one that is too long for this machine: all keep theirs."""
    files = [("a", b"1"), ("a", b"2"), ("a/b", b"3"), ("c" * 300, b"4")]
    entries = staged(archive(tmp_path / "odd.tar", *files), tmp_path / "staging")
    assert held(entries, "a") == [b"1", b"2"]
    assert held(entries, "a/b") == [b"3"]
    assert held(entries, "c" * 300) == [b"4"]

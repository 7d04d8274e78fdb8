"""Modules without debugging information: what a real compiler made, against what a real strip makes of it."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from pytest_lava.images.module_strip import without_debug
from pytest_lava.images.module_tree import add_module

SOURCE = """
    struct thing { int a; long b[10]; };
    int counter = 3;
    int helper(struct thing *t) { t->b[counter] += t->a; return t->b[2]; }
    __attribute__((section(".init.text"))) int start(void) { struct thing t = {1}; return helper(&t); }
    const char modinfo[] __attribute__((section(".modinfo"), aligned(8))) = "depends=\\0name=thing";
"""


def told(program: str, *words: object) -> str:
    done = subprocess.run([program, *map(str, words)], check=True, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module")
    (folder / "thing.c").write_text(SOURCE)
    options = ("-g3", "-O2", "-ffunction-sections", "-c")
    subprocess.run(["gcc", *options, "thing.c", "-o", "thing.ko"], cwd=folder, check=True)
    return folder / "thing.ko"


def test_the_same_as_strip(module: Path, tmp_path: Path) -> None:
    """Code, data and relocations are those that strip leaves, all symbols that have a size too."""
    pieces = without_debug(module.read_bytes())
    assert pieces is not None
    ours, theirs = tmp_path / "ours.ko", tmp_path / "theirs.ko"
    ours.write_bytes(b"".join(pieces))
    told("strip", "--strip-debug", "-o", theirs, module)
    assert ours.stat().st_size < module.stat().st_size / 3
    sections = [line for line in told("readelf", "-SW", ours).splitlines() if ".debug" in line]
    assert sections
    assert all(re.search(r" 000000 \w\w ", line) for line in sections)
    for options in (("-dr",), ("-s", "-j", ".modinfo"), ("-s", "-j", ".data"), ("-r", "-j", ".eh_frame")):
        found, wanted = (told("objdump", *options, path).partition("\n\n\n")[2] for path in (ours, theirs))
        assert found == wanted
    kept = []
    for path in (ours, theirs):
        symbols = [line.split() for line in told("readelf", "-sW", path).splitlines()]
        kept.append(sorted((one[1:6], one[7]) for one in symbols if one[3:4] in (["FUNC"], ["OBJECT"])))
    assert kept[0] == kept[1]
    assert len(kept[0]) == 4
    assert without_debug(ours.read_bytes()) is None


def test_what_stays_as_it_is(module: Path) -> None:
    """A signed module, one that is cut, and what is none at all."""
    data = module.read_bytes()
    assert without_debug(data + b"signature" + b"~Module signature appended~\n") is None
    for size in (0, 3, 40, 64, 500, len(data) - 1):
        assert without_debug(data[:size]) is None
    assert without_debug(Path("/bin/true").read_bytes()) is None
    table = bytearray(data)
    (begin,) = struct.unpack_from("<Q", data, 0x28)
    struct.pack_into("<Q", table, begin + 64 + 32, 1 << 40)  # a section that is larger than the file
    assert without_debug(table) is None


def test_a_module_in_a_tree(module: Path, tmp_path: Path) -> None:
    """The user's own file is as it was; of a name that comes twice the last one counts."""
    data = module.read_bytes()
    for keep, size in ((True, len(data)), (False, None)):
        add_module(tmp_path, "6.1.0/kernel/thing.ko", "other.ko")
        add_module(tmp_path, "6.1.0/kernel/thing.ko", data, keep_debug=keep)
        found = (tmp_path / "lib/modules/6.1.0/kernel/thing.ko").stat()
        assert found.st_size == size if size else found.st_size < len(data)
    assert module.read_bytes() == data

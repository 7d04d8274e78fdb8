"""Putting a kernel with 3,500 modules (165 MB) into a 1 GB root file system, beside what is least for the same work."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.stats import Table, interleaved, spread
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.deb import open_data
from pytest_lava.images.memo import sha256_of
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import Addition
from pytest_lava.inject.copying import copy_sparse
from pytest_lava.inject.disks import volumes
from pytest_lava.inject.inject import inject

__all__ = ["ROWS", "deploy"]

_MODULES = 3500
_TOTAL = 165_000_000  # bytes
_IMAGE = 1 << 30
_BASE = 432_000_000  # bytes in the root file system before


def inject_row(rounds: int, folder: Path) -> str:
    """The row ``inject``."""
    tree, deb, base = _tree(folder / "tree"), folder / "kernel.deb", folder / "root.img"
    _package(tree, folder / "package", deb)
    _root(base, folder / "root")
    hashed = _timed(lambda: sha256_of(base, folder / "cache"))
    samples = interleaved(rounds, {
        "tree": lambda: _ours(base, Addition("tree", Artefact.of(tree), "the tree"), folder),
        "deb": lambda: _ours(base, Addition("deb", Artefact.of(deb), "the package"), folder),
        "dpkg-deb -x": lambda: {"made": _timed(lambda: _unpacked(deb, folder / "unpacked"))},
        "copy": lambda: {"made": _timed(lambda: _copied(base, folder / "copy.img"))},
        "mke2fs -d": lambda: {"made": _timed(lambda: _rebuilt(tree, folder / "rebuilt.img"))},
    })  # fmt: skip
    figures = {name: [sample["made"] for sample in listed] for name, listed in samples.items()}
    again = [sample["again"] for name in ("tree", "deb") for sample in samples[name]]
    table = Table("A kernel with 3,500 modules (165 MB) into a 1 GB ext4", ["what", "seconds"])
    table.add("hash of the base, once for each file", spread([hashed]))
    table.add("copy of the base, without a reflink", spread(figures["copy"]))
    table.add("from an unpacked tree, with that copy", spread(figures["tree"]))
    table.add("... the second time, from the cache", spread(again, digits=3))
    table.add("from the package, with that copy and depmod", spread(figures["deb"]))
    table.add("`dpkg-deb -x` of the package alone", spread(figures["dpkg-deb -x"]))
    table.add("a new file system of the tree alone (`mke2fs -d`)", spread(figures["mke2fs -d"]))
    copy = statistics.median(figures["copy"])
    extracted = statistics.median(figures["dpkg-deb -x"])
    table.target("from the tree, without the copy", statistics.median(figures["tree"]) - copy, 1.5, "s")
    limit = round(1.2 * extracted + 1.5, 2)
    table.target("from the package, without the copy", statistics.median(figures["deb"]) - copy, limit, "s")
    table.target("the second time", statistics.median(again), 0.1, "s")
    return str(table)


def _ours(base: Path, addition: Addition, folder: Path) -> dict[str, float]:
    shelf, volume = Shelf(folder / "cache"), volumes(base)[0]
    try:
        made = _timed(lambda: inject(base, volume, [addition], shelf))
        again = _timed(lambda: inject(base, volume, [addition], shelf))
        return {"made": made, "again": again}
    finally:
        shelf.close()
        shutil.rmtree(folder / "cache/injected")


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _tree(folder: Path) -> Path:
    """The modules of Debian's kernel, again and again under other names until there are enough."""
    deb = max((cache_dir() / "debian-x86_64/debs").glob("linux-image-*.deb"))
    release, found = "", []
    with open_data(deb) as tar:
        for member in tar:
            if match := re.match(r"\./lib/modules/([^/]+)/(.+)\.ko$", member.name):
                file = tar.extractfile(member)
                assert file is not None
                release = match[1]
                found.append((match[2], file.read()))
    modules, size = folder / "lib/modules" / release, 0
    for number in range(_MODULES):
        name, data = found[number % len(found)]
        path = modules / f"{name}{number // len(found) or ''}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        size += len(data)
    (folder / "boot").mkdir()
    (folder / "boot" / f"vmlinuz-{release}").write_bytes(os.urandom(max(_TOTAL - size, 8_000_000)))
    subprocess.run(["depmod", "-b", folder, release], check=True, capture_output=True)
    return folder


def _package(tree: Path, folder: Path, deb: Path) -> None:
    shutil.copytree(tree, folder, symlinks=True)
    for made in folder.glob("lib/modules/*/modules.*"):
        made.unlink()  # packages leave these to their scripts
    (folder / "DEBIAN").mkdir()
    (folder / "DEBIAN/control").write_text(
        "Package: kernel\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "-b", folder, deb]
    subprocess.run(command, check=True, capture_output=True)


def _root(image: Path, folder: Path) -> None:
    for number in range(12_000):
        path = folder / "usr/share" / str(number % 300) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(_BASE // 12_000))
    (folder / "etc").mkdir()
    _rebuilt(folder, image)


def _rebuilt(tree: Path, image: Path) -> None:
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(_IMAGE)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image], check=True, capture_output=True)


def _copied(base: Path, image: Path) -> None:
    image.unlink(missing_ok=True)
    copy_sparse(base, image)


def _unpacked(deb: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)


ROWS: dict[str, Callable[[int, Path], str]] = {"inject": inject_row}


def deploy(rounds: int, folder: Path) -> str:
    """All rows."""
    return "\n".join(row(rounds, folder / name) for name, row in ROWS.items())

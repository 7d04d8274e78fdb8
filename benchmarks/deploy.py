"""Putting a kernel with 3,500 modules (165 MB) into a 1 GB root file system, beside what is least for the same work."""

from __future__ import annotations

import os
import re
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.fetch import fetch_row
from benchmarks.snapshots import restore_row, warm_row
from benchmarks.stats import Sample, Table, interleaved, spread
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
_KERNEL = 8_000_000
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
        "dpkg-deb": lambda: _timed(lambda: _unpacked(deb, folder / "unpacked")),
        "copy": lambda: _timed(lambda: _copied(base, folder / "copy.img")),
        "mke2fs": lambda: _timed(lambda: _rebuilt(tree, folder / "rebuilt.img")),
    })  # fmt: skip

    def median(name: str, figure: str = "wall") -> float:
        return statistics.median(sample[figure] for sample in samples[name])

    def cells(listed: Sequence[Sample], figure: str = "") -> tuple[str, str]:
        return tuple(spread([one[f"{figure}{kind}"] for one in listed], digits=3) for kind in ("wall", "cpu"))

    table = Table("A kernel with 3,500 modules (165 MB) into a 1 GB ext4", ["what", "seconds", "CPU seconds"])
    table.add("hash of the base, once for each file", *cells([hashed]))
    table.add("copy of the base, without a reflink", *cells(samples["copy"]))
    table.add("from an unpacked tree, with that copy", *cells(samples["tree"]))
    table.add("... the second time, from the cache", *cells(samples["tree"], "again "))
    table.add("from the package, with that copy and depmod", *cells(samples["deb"]))
    table.add("... the second time, from the cache", *cells(samples["deb"], "again "))
    table.add("`dpkg-deb -x` of the package alone", *cells(samples["dpkg-deb"]))
    table.add("a new file system of the tree alone (`mke2fs -d`)", *cells(samples["mke2fs"]))
    table.target("from the tree, without the copy", median("tree") - median("copy"), 1.5, "s")
    limit = round(1.2 * median("dpkg-deb") + 1.5, 2)
    table.target("from the package, without the copy", median("deb") - median("copy"), limit, "s")
    table.target("the second time", max(median(name, "again wall") for name in ("tree", "deb")), 0.1, "s")
    return str(table)


def _ours(base: Path, addition: Addition, folder: Path) -> Sample:
    shelf, volume = Shelf(folder / "cache"), volumes(base)[0]
    try:
        made = _timed(lambda: inject(base, volume, [addition], shelf))
        again = _timed(lambda: inject(base, volume, [addition], shelf))
        return {**made, **{f"again {name}": value for name, value in again.items()}}
    finally:
        shelf.close()
        shutil.rmtree(folder / "cache/injected")


def _timed(work: Callable[[], object]) -> Sample:
    begin, cpu = time.perf_counter(), _cpu()
    work()
    return {"wall": time.perf_counter() - begin, "cpu": _cpu() - cpu}


def _cpu() -> float:
    """Of this process and of those that it waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _tree(folder: Path) -> Path:
    """The modules of Debian's kernel but for the largest, again and again under other names: so many of such a size."""
    deb = max((cache_dir() / "debian-x86_64/debs").glob("linux-image-*.deb"))
    release, found = "", []
    with open_data(deb) as tar:
        for member in tar:
            if match := re.match(r"\./lib/modules/([^/]+)/(.+)\.ko$", member.name):
                file = tar.extractfile(member)
                assert file is not None
                release = match[1]
                found.append((match[2], file.read()))
    found.sort(key=lambda module: len(module[1]))
    while sum(len(data) for _, data in found) / len(found) > (_TOTAL - _KERNEL) / _MODULES:
        found.pop()
    modules = folder / "lib/modules" / release
    for number in range(_MODULES):
        name, data = found[number % len(found)]
        path = modules / f"{name}{number // len(found) or ''}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "boot").mkdir()
    (folder / "boot" / f"vmlinuz-{release}").write_bytes(os.urandom(_KERNEL))
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


ROWS: dict[str, Callable[[int, Path], str]] = {
    "fetch": fetch_row, "inject": inject_row, "warm": warm_row, "restore": restore_row,
}  # fmt: skip


def deploy(rounds: int, folder: Path) -> str:
    """All rows."""
    return "\n".join(row(rounds, folder / name) for name, row in ROWS.items())

"""A kernel and a static busybox from Debian, made into what the demonstration boards boot. Needs no root."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, NetworkError
from pytest_lava.images.cache import locked, replace_file
from pytest_lava.images.memo import sha256_of

__all__ = ["ARCHITECTURES", "DemoAssets", "demo_assets", "fetch"]

#: our names of architectures -> Debian's
ARCHITECTURES = {"arm": "armhf", "arm64": "arm64", "x86": "i386", "x86_64": "amd64"}
#: the packages that depend on the newest kernel; those for clouds are small, but there is none for arm and x86
_KERNELS = {
    "arm": "linux-image-armmp", "arm64": "linux-image-cloud-arm64", "x86": "linux-image-686",
    "x86_64": "linux-image-cloud-amd64",
}  # fmt: skip

_MANIFEST = 1
#: seconds for fetching and building everything of one architecture
_LIMIT = 900.0
_OFFLINE = "make demo KERNEL_DEB=linux-image-....deb BUSYBOX_DEB=busybox-static_....deb"
_KERNEL_PACKAGE = re.compile(r"^\s*Depends: (linux-image-\d\S*)", re.MULTILINE)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DemoAssets:
    """What a demonstration board boots: ``initrd`` fits ``kernel``; ``debs`` holds the packages they were made from."""

    arch: str
    kernel: Path
    initrd: Path
    release: str
    debs: Path


def demo_assets(
    arch: str,
    cache: Path,
    *,
    kernel_deb: Path | None = None,
    busybox_deb: Path | None = None,
    progress: Progress = lambda line: None,
    deadline: Deadline | None = None,
) -> DemoAssets:
    """Kernel and initramfs for ``arch`` (``arm``, ``arm64``, ``x86``, ``x86_64``) in ``cache``.

    They are fetched and built if they are not there.

    The packages given are used instead of fetched ones, and kept: a later call without them uses the same. Raises
    ``ConfigurationError`` when something is missing on this machine or a package is not what it should be, and
    ``NetworkError`` when the archive cannot be reached.
    """
    if arch not in ARCHITECTURES:
        raise ConfigurationError(
            f"nothing to fetch for {arch!r}: there are {', '.join(ARCHITECTURES)}, debian-arm64, debian-x86_64"
        )
    folder = cache / f"debian-{arch}"
    given = {"kernel": kernel_deb, "busybox": busybox_deb}
    if assets := _ready(arch, folder, given):
        return assets
    deadline = deadline or Deadline.after(_LIMIT)
    with locked(folder, deadline=deadline):
        if assets := _ready(arch, folder, given):  # another run was faster
            return assets
        (folder / "debs").mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        debs = _packages(arch, folder, given, progress, deadline)
        _build(arch, folder, debs, progress)
    assets = _ready(arch, folder, given)
    assert assets, "what has just been built is there"
    return assets


def fetch(
    packages: Sequence[str],
    arch: str,
    destination: Path,
    *,
    progress: Progress = lambda line: None,
    deadline: Deadline | None = None,
) -> list[Path]:
    """Download Debian packages of any architecture (Debian's word) into ``destination`` by this machine's apt sources.

    apt gets a state of its own for this, so neither root nor ``dpkg --add-architecture`` is needed and the machine's
    own lists stay as they are. A package may be given as ``NAME->``: then the versioned kernel package is fetched that
    the package ``NAME`` depends on. Returns the files in the order of ``packages``.
    """
    if not (shutil.which("apt-get") and shutil.which("apt-cache")):
        raise ConfigurationError(
            "apt-get is missing, so packages cannot be fetched here (this needs Debian): "
            f"fetch them elsewhere and give them: {_OFFLINE}"
        )
    deadline = deadline or Deadline.after(_LIMIT)
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".apt-", dir=destination) as state:
        apt = _Apt(Path(state), arch, deadline)
        progress(f"fetching Debian's package lists for {arch} (9 MB) ...")
        update_failed = apt.update()
        names = [apt.kernel_package(name[:-2], update_failed) if name.endswith("->") else name for name in packages]
        progress(f"fetching {' and '.join(names)} ...")
        found = [apt.download(name, update_failed) for name in names]
        return [Path(file.replace(destination / file.name)) for file in found]


class _Apt:
    """apt-get and apt-cache with lists and cache in a folder of their own, and the machine's own sources."""

    def __init__(self, state: Path, arch: str, deadline: Deadline) -> None:
        self._state, self._arch, self._deadline = state, arch, deadline
        for name in ("lists/partial", "archives/partial", "new"):
            (state / name).mkdir(parents=True)
        (state / "status").touch()  # nothing is installed there, so nothing is held back
        options = {
            "Dir::State": state,
            "Dir::State::Lists": state / "lists",
            "Dir::State::status": state / "status",
            "Dir::Cache": state,
            "APT::Architecture": arch,
            "APT::Architectures::": arch,
            "APT::Sandbox::User": "root",  # as root, apt would read the folder as another user, who may not
            "Acquire::Languages": "none",
            "Acquire::GzipIndexes": "true",
            "Acquire::Retries": "2",
        }
        self._options = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def update(self) -> str:
        """Fetch the lists; why that failed, or nothing: a broken source of somebody else need not matter."""
        done = self._run("apt-get", "-q", "update")
        return "" if done.returncode == 0 and "\nW: Failed to fetch" not in f"\n{done.stderr}" else done.stderr

    def kernel_package(self, name: str, update_failed: str) -> str:
        match = _KERNEL_PACKAGE.search(self._run("apt-cache", "depends", name).stdout)
        if not match:
            raise self._missing(name, update_failed)
        return match[1]

    def download(self, name: str, update_failed: str) -> Path:
        folder = self._state / "new" / name
        folder.mkdir()
        done = self._run("apt-get", "-q", "download", name, cwd=folder)
        debs = sorted(folder.glob("*.deb"))
        if done.returncode or not debs:
            raise self._missing(name, update_failed or ("" if "Unable to locate" in done.stderr else done.stderr))
        return debs[0]

    def _missing(self, name: str, why: str) -> ConfigurationError | NetworkError:
        if why.strip():
            lines = [line for line in why.splitlines() if line.startswith(("E:", "W:", "Err:"))] or why.splitlines()
            return NetworkError(
                f"{name} ({self._arch}) cannot be fetched: {lines[0]} - go online, or give the packages: {_OFFLINE}",
                evidence=why,
            )
        return ConfigurationError(
            f"this machine's apt sources have no package {name} for {self._arch} (they need to be Debian's): "
            f"fetch it elsewhere and give it: {_OFFLINE}"
        )

    def _run(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [program, *self._options, *arguments],
                cwd=cwd, env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", timeout=self._deadline.remaining(), check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NetworkError(
                f"{program} {arguments[-1]} did not end in time: try again, or give the packages: {_OFFLINE}"
            ) from None


def _ready(arch: str, folder: Path, given: dict[str, Path | None]) -> DemoAssets | None:
    """The assets if all is there, unchanged, and made from what was given."""
    from pytest_lava.images.initramfs import recipe

    manifest = _manifest(folder)
    if manifest is None or manifest.get("recipe") != recipe():
        return None
    for role, deb in given.items():
        if deb is not None and sha256_of(deb, folder.parent) != manifest["packages"][role]["sha256"]:
            return None
    for role in ("kernel", "initrd"):
        file = folder / manifest[role]["file"]
        if not file.is_file() or sha256_of(file, folder.parent) != manifest[role]["sha256"]:
            return None
    return DemoAssets(
        arch, folder / manifest["kernel"]["file"], folder / manifest["initrd"]["file"], manifest["release"],
        folder / "debs",
    )  # fmt: skip


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("manifest") == _MANIFEST else None


def _packages(
    arch: str, folder: Path, given: dict[str, Path | None], progress: Progress, deadline: Deadline
) -> dict[str, Path]:
    """Both package files in ``debs``: the given ones, else those of the last time, else fetched ones."""
    known = (_manifest(folder) or {}).get("packages", {})
    names = {"kernel": f"{_KERNELS[arch]}->", "busybox": "busybox-static"}
    debs: dict[str, Path] = {}
    for role, deb in given.items():
        kept = folder / "debs" / known[role]["file"] if role in known else None
        if deb is not None:
            _check(role, deb, arch)
            debs[role] = folder / "debs" / deb.name
            if not (debs[role].exists() and debs[role].samefile(deb)):
                replace_file(debs[role], deb.read_bytes())
        elif kept and kept.is_file() and sha256_of(kept, folder.parent) == known[role]["sha256"]:
            debs[role] = kept
    missing = [role for role in names if role not in debs]
    if missing:
        wanted = [names[role] for role in missing]
        found = fetch(wanted, ARCHITECTURES[arch], folder / "debs", progress=progress, deadline=deadline)
        debs.update(zip(missing, found, strict=True))
    return debs


def _sweep(folder: Path) -> None:
    """Remove what a killed run left half done; we hold the lock, so there is no other."""
    for rest in [*folder.glob(".*"), *(folder / "debs").glob(".*")]:
        if rest.is_dir():
            shutil.rmtree(rest, ignore_errors=True)
        else:
            rest.unlink(missing_ok=True)


def _check(role: str, deb: Path, arch: str) -> None:
    from pytest_lava.images.deb import read_package

    package = read_package(deb)
    expected = {"kernel": "linux-image-", "busybox": "busybox-static"}[role]
    if not package.name.startswith(expected):
        raise ConfigurationError(f"{deb} is the package {package.name}: give a {expected.rstrip('-')} package")
    if package.architecture != ARCHITECTURES[arch]:
        raise ConfigurationError(f"{deb} is for {package.architecture}: give the package for {ARCHITECTURES[arch]}")


def _build(arch: str, folder: Path, debs: dict[str, Path], progress: Progress) -> None:
    from pytest_lava.images.deb import read_package, unpack
    from pytest_lava.images.initramfs import build_initramfs, recipe, select_modules

    progress(f"building the initramfs for {arch} ...")
    content = dict(unpack(debs["kernel"], lambda name: name.startswith("boot/vmlinuz-") or ".ko" in name))
    kernels = [name for name in content if name.startswith("boot/vmlinuz-")]
    if not kernels:
        raise ConfigurationError(
            f"{debs['kernel']} has no boot/vmlinuz in it: give the package of one kernel (linux-image-6...), "
            "not the one that only depends on it"
        )
    busybox = dict(unpack(debs["busybox"], lambda name: name in ("bin/busybox", "usr/bin/busybox")))
    if not busybox:
        raise ConfigurationError(f"{debs['busybox']} has no bin/busybox in it: give a busybox-static package")

    replace_file(folder / "vmlinuz", content[kernels[0]])
    sums = {role: sha256_of(deb, folder.parent) for role, deb in debs.items()}
    # Named after its inputs: a run that uses the old one is not disturbed
    key = hashlib.sha256(f"{recipe()} {sums['kernel']} {sums['busybox']}".encode()).hexdigest()[:12]
    initrd = folder / f"initrd-{key}.img"
    temporary = folder / f".{initrd.name}.tmp"
    build_initramfs(temporary, next(iter(busybox.values())), select_modules(content.items()))
    temporary.replace(initrd)

    packages = {role: read_package(deb) for role, deb in debs.items()}
    manifest = {
        "manifest": _MANIFEST,
        "arch": arch,
        "release": kernels[0].removeprefix("boot/vmlinuz-"),
        "recipe": recipe(),
        "kernel": {"file": "vmlinuz", "sha256": sha256_of(folder / "vmlinuz", folder.parent)},
        "initrd": {"file": initrd.name, "sha256": sha256_of(initrd, folder.parent)},
        "packages": {
            role: {"name": found.name, "version": found.version, "sha256": sums[role], "file": debs[role].name}
            for role, found in packages.items()
        },
    }
    replace_file(folder / "manifest.json", json.dumps(manifest, indent=2).encode() + b"\n")

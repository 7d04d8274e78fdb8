"""A root file system of Debian packages, for boards on which dpkg and apt are to work. Needs no root of its own.

``mmdebstrap`` unpacks and configures the packages, whose programs run on this machine (by ``binfmt`` if they are
foreign); what it gives goes into an empty ext4 as any archive does. The kernel and the busybox that mounts it are those
of the demonstration boards.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, InfrastructureError, LavaError, NetworkError, ToolMissing
from pytest_lava.images.cache import locked, replace_file
from pytest_lava.images.deb import unpack
from pytest_lava.images.debian import ARCHITECTURES, DemoAssets, demo_assets
from pytest_lava.images.initramfs import ROOT_MODULES, build_root_initramfs, root_recipe, select_modules
from pytest_lava.images.memo import sha256_of
from pytest_lava.inject.additions import Addition, parse_addition
from pytest_lava.inject.entries import Staging, entries_of
from pytest_lava.inject.ext4 import Ext4
from pytest_lava.inject.placing import place
from pytest_lava.programs import run

__all__ = ["ROOTS", "RootAssets", "debian_root"]

#: architectures that there is a board for
ROOTS = ("arm64", "x86_64")
_RECIPE = "rootfs-1"
_SIZE = 1 << 30  # most of it is a hole
_LIMIT = 3600.0
#: seconds after which nobody boots an older one any more
_KEPT = 7 * 86400.0
_FAREWELL = 10.0  # seconds that mmdebstrap has to remove what it began
#: beside apt and what is essential: a network, modprobe, and what tests of a kernel call
_PACKAGES = "iproute2,kmod,mount,procps"
_LEAN = ("man", "locale", "doc", "info")
_OFFLINE = re.compile(r"resolv|Unable to connect|Failed to fetch|Could not connect|timed out|Network is unreachable")
_INIT = """\
#!/bin/sh
# First process of pytest-lava's Debian boards: no services, a root shell on the console.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=vt102
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=755 tmpfs /run
for folder in /dev/shm /run/lock /tmp; do
    mkdir -p $folder
    mount -t tmpfs -o mode=1777 tmpfs $folder
done
hostname lava
cd /root
for console in $(cat /sys/class/tty/console/active); do tty=$console; done
# A shell that ends is followed by the next one: the board never panics because somebody typed exit.
while :; do
    setsid --ctty --wait sh -i <>/dev/${tty:-console} >&0 2>&1
    sleep 0.1
done
"""
#: a network of QEMU's own, which the initramfs has brought up
_FILES = {
    "etc/hostname": "lava\n",
    "etc/hosts": "127.0.0.1 localhost lava\n",
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
}

Progress = Callable[[str], None]


@dataclass(frozen=True)
class RootAssets:
    """What a Debian board boots: ``initrd`` has the modules of ``kernel`` that it takes to mount ``image``."""

    arch: str
    kernel: Path
    initrd: Path
    image: Path


def debian_root(
    arch: str,
    cache: Path,
    *,
    progress: Progress = lambda line: None,
    deadline: Deadline | None = None,
) -> RootAssets:
    """Kernel, initramfs and root file system for ``arch`` in ``cache``, made if they are not there.

    ``ConfigurationError``, ``ToolMissing``, ``NetworkError`` or ``InfrastructureError``, each with what to do.
    """
    if arch not in ROOTS:
        raise ConfigurationError(f"no root file system is made for {arch!r}: there are {', '.join(ROOTS)}")
    deadline = deadline or Deadline.after(_LIMIT)
    demo = demo_assets(arch, cache, progress=progress, deadline=deadline)
    folder = cache / f"debian-root-{arch}"
    if assets := _ready(arch, folder, demo):
        return assets
    with locked(folder, deadline=deadline):
        folder.mkdir(parents=True, exist_ok=True)
        for rest in folder.glob(".*"):  # of a killed run; we hold the lock
            shutil.rmtree(rest, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as new:
            image = _kept_image(folder) or _image(arch, folder, Path(new), progress, deadline)
            initrd = _boot_files(demo, folder, Path(new))
        about = {
            "recipe": _recipe(),
            "image": {"file": image.name, "sha256": sha256_of(image, cache)},
            "initrd": {"recipe": root_recipe(), "file": initrd.name, "sha256": sha256_of(initrd, cache)},
            "kernel": {"file": "vmlinuz", "sha256": sha256_of(demo.kernel, cache)},
        }
        replace_file(folder / "manifest.json", json.dumps(about, indent=2).encode() + b"\n")
        for old in folder.glob("root-*.ext4"):
            if old != image and time.time() - old.stat().st_mtime > _KEPT:
                old.unlink()
    assets = _ready(arch, folder, demo)
    assert assets, "what has just been built is there"
    return assets


def _recipe() -> str:
    return sha256(repr((_RECIPE, _PACKAGES, _LEAN, _INIT, _FILES, _SIZE)).encode()).hexdigest()[:12]


def _ready(arch: str, folder: Path, demo: DemoAssets) -> RootAssets | None:
    """The assets if all is there, unchanged, and for the kernel that the other boards boot."""
    about = _manifest(folder)
    if not about or (about["recipe"], about["initrd"].get("recipe")) != (_recipe(), root_recipe()):
        return None
    if about["kernel"]["sha256"] != sha256_of(demo.kernel, folder.parent):
        return None
    files = {role: folder / about[role]["file"] for role in ("kernel", "initrd", "image")}
    for role, file in files.items():
        if not file.is_file() or sha256_of(file, folder.parent) != about[role]["sha256"]:
            return None
    return RootAssets(arch, files["kernel"], files["initrd"], files["image"])


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "recipe" in found else None


def _kept_image(folder: Path) -> Path | None:
    """That of the last time, so that another kernel costs no network."""
    about = _manifest(folder)
    if about is None or about["recipe"] != _recipe():
        return None
    image = folder / str(about["image"]["file"])
    return image if image.is_file() and sha256_of(image, folder.parent) == about["image"]["sha256"] else None


def _boot_files(demo: DemoAssets, folder: Path, new: Path) -> Path:
    """The kernel, and an initramfs that mounts the root file system with it."""
    (kernel,) = sorted(demo.debs.glob(f"linux-image-{demo.release}_*.deb"))[-1:]
    (busybox,) = sorted(demo.debs.glob("busybox-static_*.deb"))[-1:]
    content = dict(unpack(busybox, lambda name: name in ("bin/busybox", "usr/bin/busybox")))
    modules = select_modules(unpack(kernel, lambda name: ".ko" in name), ROOT_MODULES)
    build_root_initramfs(new / "initrd", next(iter(content.values())), modules)
    shutil.copyfile(demo.kernel, new / "vmlinuz")
    (new / "vmlinuz").replace(folder / "vmlinuz")
    key = sha256((new / "initrd").read_bytes()).hexdigest()[:12]
    return (new / "initrd").replace(folder / f"initrd-{key}.img")


def _image(arch: str, folder: Path, new: Path, progress: Progress, deadline: Deadline) -> Path:
    archive = new / "root.tar"
    progress(f"making a root file system of Debian packages for {ARCHITECTURES[arch]} (some minutes) ...")
    _bootstrap(ARCHITECTURES[arch], archive, deadline)
    image = new / "root.ext4"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    made = run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "lava-root", image.name], deadline, cwd=new)
    if made.returncode:
        said = made.stderr.decode("utf-8", "replace").strip()
        raise InfrastructureError(f"mke2fs could not make {image}: {said}", evidence=said)
    _fill(image, archive, new, deadline)
    key = sha256_of(archive, folder.parent)[:12]
    return image.replace(folder / f"root-{key}.ext4")


def _fill(image: Path, archive: Path, new: Path, deadline: Deadline) -> None:
    """All of the archive, and our own files."""
    additions: list[Addition] = [parse_addition("--overlay", str(archive))]
    for path, text in {**_FILES, "sbin/init": _INIT}.items():
        source = new / path.replace("/", "-")
        source.write_text(text)
        additions.append(parse_addition("--file", f"{source}:/{path}:{'755' if path == 'sbin/init' else '644'}"))
    system = Ext4(image, 0, image.name, deadline)
    with tempfile.TemporaryDirectory(dir=new) as staging:
        entries = [entry for addition in additions for entry in entries_of(addition, Staging(Path(staging)))]
        system.apply(place(entries, system))


def _bootstrap(arch: str, archive: Path, deadline: Deadline) -> None:
    if not shutil.which("mmdebstrap"):
        raise ToolMissing(
            "mmdebstrap is missing, which makes a root file system of Debian packages: apt-get install mmdebstrap"
        )
    command = [
        "mmdebstrap", f"--arch={arch}", "--variant=apt", f"--include={_PACKAGES}",
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEAN),
        # packages under test keep theirs
        '--customize-hook=rm -f "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
        _suite(), str(archive), *_sources(deadline),
    ]  # fmt: skip
    work = Path(tempfile.mkdtemp(prefix="lava-mmdebstrap."))  # told to end early on, it leaves its folders behind
    work.chmod(0o711)  # in its name space it is another user
    environment = os.environ | {"LC_ALL": "C", "TMPDIR": str(work)}
    try:
        process = subprocess.Popen(
            [*_own_mounts(), *command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            _, said = process.communicate(timeout=deadline.remaining())
        except subprocess.TimeoutExpired:
            raise NetworkError("mmdebstrap did not end in time: try again on a faster line") from None
        finally:
            _end(process)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if process.returncode:
        raise _trouble(arch, said)


def _own_mounts() -> list[str]:
    """What has root's mmdebstrap mount /proc, /sys and /dev for itself alone: they go with it, even if it is killed.

    Without it they would stay on this machine, below a folder that is then removed. Other users' has its name spaces.
    """
    alone = ["unshare", "--mount"]
    if os.geteuid() != 0 or not shutil.which(alone[0]):
        return []
    return alone if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0 else []


def _end(process: subprocess.Popen[str]) -> None:
    """It removes what it has begun if it is asked to end; its own processes outlive it, so all of them are asked."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_FAREWELL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _trouble(arch: str, said: str) -> LavaError:
    """What mmdebstrap complains of, and what is to be done about it."""
    complaints = [line for line in said.splitlines() if line.startswith(("E:", "Err:"))] or said.splitlines()
    last = complaints[0].strip() if complaints else "it said nothing"
    if re.search(r"can neither be executed|install arch-test", said):
        return ToolMissing(
            f"this machine cannot run programs for {arch}, which packages are configured by: "
            "apt-get install qemu-user-static binfmt-support arch-test",
            evidence=said,
        )
    if re.search(r"unable to pick chroot mode|newuidmap|/etc/subuid", said):
        return ToolMissing(
            f"mmdebstrap needs user namespaces or root here: apt-get install uidmap, or run this once as root ({last})",
            evidence=said,
        )
    if _OFFLINE.search(said):
        why = next((line.strip() for line in said.splitlines() if _OFFLINE.search(line)), last)
        return NetworkError(f"the packages cannot be fetched: {why} - go online, then start again", evidence=said)
    return InfrastructureError(f"mmdebstrap failed: {last}", evidence=said)


def _suite() -> str:
    """This machine's release of Debian."""
    try:
        found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else "stable"


def _sources(deadline: Deadline) -> list[str]:
    """Debian's own among the sources of this machine's apt, one line each; without its lists all of its files."""
    form = ["--format", "$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    try:
        said = subprocess.run(
            ["apt-get", "indextargets", *form], env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=deadline.remaining(), check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []  # mmdebstrap knows Debian's archive
    lines = [line.removeprefix("Debian ") for line in said.splitlines() if line.startswith("Debian deb ")]
    apt = Path("/etc/apt")
    files = [
        apt / "sources.list",
        *sorted(apt.glob("sources.list.d/*.list")),
        *sorted(apt.glob("sources.list.d/*.sources")),
    ]
    return list(dict.fromkeys(lines)) or [str(path) for path in files if path.is_file()]

"""The demonstration initramfs: a static busybox, a few kernel modules and the script that makes a board of them."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cpio import CpioWriter

__all__ = [
    "ROOT_MODULES", "WANTED_MODULES", "build_initramfs", "build_root_initramfs", "recipe", "root_recipe",
    "select_modules",
]  # fmt: skip

#: what the boards that ship with the project need: disks and network of QEMU's machines
WANTED_MODULES = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net")
#: and with a root file system; crc32c is asked for by name, so no module depends on it
ROOT_MODULES = (*WANTED_MODULES, "crc32c_generic", "ext4")

_MODULE = re.compile(r"(?:usr/)?lib/modules/([^/]+)/(.+/)([^/]+)\.ko(\.xz|\.gz|\.zst)?")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")

_INIT = """\
#!/bin/busybox sh
# First process of pytest-lava's demonstration board. Words on the kernel command line:
#   lava.login  ask for user and password (root or lava, password lava) instead of giving a root shell
#   lava.panic  panic while booting
#   lava.hang   never give a shell
/bin/busybox --install -s /bin
export PATH=/sbin:/usr/sbin:/bin:/usr/bin HOME=/root TERM=vt102
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs tmpfs /run
hostname -F /etc/hostname
modprobe -a @MODULES@ 2>/dev/null
ifconfig lo 127.0.0.1 up 2>/dev/null
cd /root

mode=shell
read -r line </proc/cmdline
for word in $line; do
    case $word in lava.login | lava.panic | lava.hang) mode=${word#lava.} ;; esac
done
for console in $(cat /sys/class/tty/console/active) console; do
    [ "$console" != console ] && tty=$console
done

[ $mode = panic ] && echo c >/proc/sysrq-trigger
while [ $mode = hang ]; do sleep 3600; done
# A shell that ends is followed by the next one: the board never panics because somebody typed exit.
while :; do
    if [ $mode = login ]; then
        setsid getty -L 115200 ${tty:-console} vt102
    else
        setsid cttyhack sh
    fi
    usleep 100000
done
"""

_ROOT_INIT = """\
#!/bin/busybox sh
# Mounts the root file system that root= names, brings up the network of QEMU, and leaves the board to its init=.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
modprobe -a @MODULES@ 2>/dev/null
root= init=/sbin/init
read -r line </proc/cmdline
for word in $line; do
    case $word in root=*) root=${word#root=} ;; init=*) init=${word#init=} ;; esac
done
tries=0
while case $root in
    *=*) device=$(findfs $root 2>/dev/null) ;;
    *) device=$root ;;
esac; ! [ -b "$device" ] && [ $tries -lt 50 ]; do
    usleep 100000
    tries=$((tries + 1))
done
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 2>/dev/null && route add default gw 10.0.2.2
# The end of the first process is a panic, so that nobody takes this for the board.
mount "$device" /mnt || { echo "no root file system at root=$root"; exit 1; }
for folder in proc sys dev; do mount --move /$folder /mnt/$folder; done
exec switch_root /mnt $init
"""

#: password of both users: lava (crypt(3), SHA-512)
_HASH = "$6$lava$E6Y7Gd2/8y2aXKMueqx1Yzhvq8YRD9sn2lw9MVfd/Is0sMEZG4TZnGinUFf9Xy.FYjC0Tyc2ChLi9WgmoP2je1"

_FILES: tuple[tuple[str, int, str], ...] = (
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nlava:x:1000:1000:lava:/home/lava:/bin/sh\n"),
    ("etc/group", 0o644, "root:x:0:\ntty:x:5:\nlava:x:1000:\n"),
    ("etc/shadow", 0o600, f"root:{_HASH}:19000:0:99999:7:::\nlava:{_HASH}:19000:0:99999:7:::\n"),
    ("etc/hostname", 0o644, "lava\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost lava\n"),
    ("etc/issue", 0o644, ""),
    ("etc/securetty", 0o644, "".join(f"{tty}\n" for tty in ("console", "ttyAMA0", "ttyS0", "hvc0", "tty1"))),
)
_FOLDERS = ("dev", "proc", "sys", "run", "mnt", "sbin", "usr/bin", "usr/sbin", "etc", "lib/modules")


def recipe() -> str:
    """A hash of all that goes into the initramfs from this module: another one asks for a new build."""
    text = repr((_INIT, _FILES, _FOLDERS, WANTED_MODULES, 2))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def root_recipe() -> str:
    """The same of the initramfs that mounts a root file system."""
    return hashlib.sha256(repr((_ROOT_INIT, ROOT_MODULES)).encode()).hexdigest()[:12]


def build_root_initramfs(destination: Path, busybox: bytes, modules: Mapping[str, bytes]) -> None:
    """Write what mounts a root file system and leaves the board to that."""
    with destination.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as out, CpioWriter(out) as archive:
        for name in ("dev", "proc", "sys", "mnt", "bin", "lib/modules"):
            archive.folder(name)
        archive.device("dev/console", "c", 5, 1)
        archive.file("bin/busybox", busybox, mode=0o755)
        archive.file("init", _ROOT_INIT.replace("@MODULES@", " ".join(ROOT_MODULES)).encode(), mode=0o755)
        for name, data in modules.items():
            archive.file(name, data)


def build_initramfs(destination: Path, busybox: bytes, modules: Mapping[str, bytes]) -> None:
    """Write the compressed archive. ``modules``: what :func:`select_modules` returned. Same input, same bytes."""
    with destination.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as out, CpioWriter(out) as archive:
        for name in _FOLDERS:
            archive.folder(name)
        archive.folder("root", mode=0o700)
        archive.folder("home/lava", owner=1000)
        archive.folder("tmp", mode=0o1777)
        archive.device("dev/console", "c", 5, 1)
        archive.device("dev/null", "c", 1, 3, mode=0o666)
        archive.file("bin/busybox", busybox, mode=0o755)
        archive.file("init", _INIT.replace("@MODULES@", " ".join(WANTED_MODULES)).encode(), mode=0o755)
        for name, mode, text in _FILES:
            archive.file(name, text.encode(), mode=mode)
        for name, data in modules.items():
            archive.file(name, data)


def select_modules(files: Iterable[tuple[str, bytes]], wanted: Iterable[str] = WANTED_MODULES) -> dict[str, bytes]:
    """Of all modules of a kernel (name in its package -> content) the ``wanted`` ones with all they depend on.

    Returns files for an initramfs: unpacked modules below ``lib/modules/RELEASE`` in loading order, and a
    ``modules.dep`` for modprobe. What a module depends on stands in its own ``.modinfo`` section (``depends=``);
    a wanted module that is missing is taken to be built in.
    """
    found: dict[str, tuple[str, str, bytes]] = {}
    for name, data in files:
        if match := _MODULE.fullmatch(name):
            plain = _unpacked(name, data)
            found[match[3].replace("-", "_")] = (match[1], f"{match[2]}{match[3]}.ko", plain)
    order: dict[str, list[str]] = {}
    for word in wanted:
        _resolve(word, found, order)
    chosen = {f"lib/modules/{found[word][0]}/{found[word][1]}": found[word][2] for word in order}
    for release in {found[word][0] for word in order}:
        # modprobe loads what stands behind the colon from right to left, so the deepest comes last
        lines = [
            f"{found[word][1]}: {' '.join(found[need][1] for need in reversed(needs))}".rstrip() + "\n"
            for word, needs in order.items()
        ]
        chosen[f"lib/modules/{release}/modules.dep"] = "".join(lines).encode()
    return chosen


def _resolve(word: str, found: Mapping[str, tuple[str, str, bytes]], order: dict[str, list[str]]) -> None:
    """Add a module behind all it needs; ``order`` maps each to all it needs, the deepest first."""
    if word in order or word not in found:
        return
    match = _DEPENDS.search(found[word][2])
    direct = [need.replace("-", "_") for need in match[1].decode().split(",") if need] if match else []
    needs: dict[str, None] = {}
    for need in direct:
        _resolve(need, found, order)
        if need in order:
            needs.update(dict.fromkeys([*order[need], need]))
    order[word] = list(needs)


def _unpacked(name: str, data: bytes) -> bytes:
    suffix = PurePosixPath(name).suffix
    try:
        if suffix == ".xz":
            return lzma.decompress(data)
        if suffix == ".gz":
            return zlib.decompress(data, wbits=31)
    except (lzma.LZMAError, zlib.error) as error:
        raise ConfigurationError(f"the kernel module {name} is damaged ({error}): fetch its package again") from error
    if suffix != ".zst":
        return data
    if not shutil.which("zstd"):
        raise ConfigurationError(f"{name} is packed with zstd: install the program zstd (Debian: apt-get install zstd)")
    return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True, timeout=60).stdout

"""What a board is made of, out of what kernels and package managers really say; and no text that does harm."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lava.board import survey
from pytest_lava.board.inventory import FILES, PACKAGES, Core, Inventory, Usb, read_inventory

ARM64 = b"""memory MemTotal:         491376 kB
=files
console=ttyAMA0 loglevel=5 sysrq_always_enabled
processor\t: 0
BogoMIPS\t: 125.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd07
CPU revision\t: 0

linux,dummy-virt\0linux,dummy-virt\0"""
ARM = b"""memory MemTotal:         501668 kB
=files
console=ttyAMA0 loglevel=5 sysrq_always_enabled
processor\t: 0
model name\t: ARMv7 Processor rev 0 (v7l)
BogoMIPS\t: 125.00
Features\t: half thumb fastmult vfp edsp thumbee neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm
CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x2
CPU part\t: 0xc0f
CPU revision\t: 0

Hardware\t: Generic DT based system
Revision\t: 0000
Serial\t\t: 0000000000000000
TI OMAP4 PandaBoard\0ti,omap4-panda\0ti,omap4430\0ti,omap4\0"""
X86 = b"""memory MemTotal:         223632 kB
sys_vendor QEMU
product_name Standard PC (Q35 + ICH9, 2009)
product_version pc-q35-7.2
bios_version 1.16.2-debian-1.16.2-1
usb 1-1
idVendor 0627
idProduct 0001
manufacturer QEMU
product QEMU USB Tablet
speed 480
usb usb1
idVendor 1d6b
idProduct 0002
=files
console=ttyS0,115200 BOOT="a b" c:d
processor\t: 0
vendor_id\t: AuthenticAMD
model\t\t: 107
model name\t: QEMU Virtual CPU version 2.5+
flags\t\t: fpu de pse tsc msr

processor\t: 1
vendor_id\t: AuthenticAMD
model name\t: QEMU Virtual CPU version 2.5+
flags\t\t: fpu de pse tsc msr

PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
HOME_URL="https://www.debian.org/"
"""
BIG_LITTLE = b"""=files

processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd03
processor\t: 4
CPU implementer\t: 0x41
CPU part\t: 0xd08
processor\t: 5
CPU implementer\t: 0x99
CPU part\t: 0x001
Features\t: fp asimd
"""
RISCV = b"""=files
processor\t: 0
hart\t\t: 1
isa\t\t: rv64imafdc
mmu\t\t: sv39
uarch\t\t: sifive,u74-mc
"""
MIPS = b"""=files
quiet
system type\t\t: MT7621 ver:1 eco:3
machine\t\t\t: Ubiquiti EdgeRouter X
processor\t\t: 0
cpu model\t\t: MIPS 1004Kc V2.15
"""


def test_arm64() -> None:
    assert read_inventory(ARM64) == Inventory(
        model="linux,dummy-virt",
        compatible=("linux,dummy-virt",),
        cores=(Core(0, "ARM Cortex-A57", "0x41:0xd07"),),
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid",
        memory=491376 << 10,
        cmdline="console=ttyAMA0 loglevel=5 sysrq_always_enabled",
    )


def test_arm_with_a_board_of_its_own() -> None:
    found = read_inventory(ARM)
    assert (found.model, found.compatible) == ("TI OMAP4 PandaBoard", ("ti,omap4-panda", "ti,omap4430", "ti,omap4"))
    assert found.cores == (Core(0, "ARM Cortex-A15", "0x41:0xc0f"),)
    assert found.features.startswith("half thumb")


def test_x86_64() -> None:
    found = read_inventory(X86)
    assert (found.vendor, found.model, found.version, found.firmware) == (
        "QEMU", "Standard PC (Q35 + ICH9, 2009)", "pc-q35-7.2", "1.16.2-debian-1.16.2-1",
    )  # fmt: skip
    assert found.cores == (Core(0, "QEMU Virtual CPU version 2.5+"), Core(1, "QEMU Virtual CPU version 2.5+"))
    assert found.features == "fpu de pse tsc msr"
    assert found.usb == (Usb("1-1", "0627:0001", "QEMU USB Tablet", "QEMU", "480"), Usb("usb1", "1d6b:0002"))
    assert found.cmdline == 'console=ttyS0,115200 BOOT="a b" c:d'
    assert found.system == "Debian GNU/Linux 12 (bookworm)"
    assert found.compatible == ()


def test_other_architectures() -> None:
    assert [core.model for core in read_inventory(BIG_LITTLE).cores] == ["ARM Cortex-A53", "ARM Cortex-A72", ""]
    assert [core.id for core in read_inventory(BIG_LITTLE).cores] == [0, 4, 5]
    riscv, mips = read_inventory(RISCV), read_inventory(MIPS)
    assert (riscv.cores, riscv.features, riscv.cmdline) == ((Core(0, "sifive,u74-mc"),), "rv64imafdc", "")
    assert (mips.model, mips.cores, mips.cmdline) == (
        "Ubiquiti EdgeRouter X", (Core(0, "MIPS 1004Kc V2.15"),), "quiet",
    )  # fmt: skip
    assert read_inventory(b"") == read_inventory(b"sh: cat: not found\n") == Inventory()


DPKG = b"""Package: adduser
Status: install ok installed
Version: 3.134
Package: gone
Status: deinstall ok config-files
Version: 1
Package: never
Status: unknown ok not-installed
"""
OPKG = b"Package: kernel\nVersion: 5.4-1\nStatus: install user installed\nPackage: libc\nVersion: 1.1\n"
APK = b"P:musl\nV:1.2.4-r2\nP:busybox\nV:1.36.1-r5\n"
RPM = b"bash 5.1.8-6.el9\nkernel-core 5.14.0-362.el9\n"
PACMAN = b"ALPM_DB_VERSION\ngcc-libs-13.2.1-3\nlib32-gcc-libs-1:13.2.1-3\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "said, packages",
    [
        (DPKG, (("adduser", "3.134"),)),
        (OPKG, (("kernel", "5.4-1"), ("libc", "1.1"))),
        (APK, (("musl", "1.2.4-r2"), ("busybox", "1.36.1-r5"))),
        (RPM, (("bash", "5.1.8-6.el9"), ("kernel-core", "5.14.0-362.el9"))),
        (PACMAN, (("gcc-libs", "13.2.1-3"), ("lib32-gcc-libs", "1:13.2.1-3"))),
    ],
    ids=["dpkg", "opkg", "apk", "rpm", "pacman"],
)
def test_packages(said: bytes, packages: tuple[tuple[str, str], ...], packed: bool) -> None:
    data = gzip.compress(said) if packed else said
    assert read_inventory(ARM64 + f"\n{PACKAGES}\n".encode() + data).packages == packages
    if packed:  # cut by a limit
        assert read_inventory(f"\n{PACKAGES}\n".encode() + data[:-12]).packages[:1] in ((), packages[:1])


@given(st.binary(max_size=400), st.sampled_from([b"", X86, ARM, f"{FILES}\n".encode(), f"\n{PACKAGES}\n".encode()]))
def test_no_answer_does_harm(noise: bytes, before: bytes) -> None:
    found = read_inventory(before + noise)
    assert Inventory.from_json(json.loads(json.dumps(asdict(found)))) == found
    json.dumps(found.told(), allow_nan=False)


@pytest.mark.parametrize("shell", ["dash", "bash", "mksh", "busybox sh"])
def test_shells_of_this_machine_tell_of_it(shell: str) -> None:
    """The script as it is sent, in the shells that boards have."""
    words = shell.split()
    assert shutil.which(words[0]), f"install {words[0]}"
    said = subprocess.run([*words, "-c", survey._HARDWARE + survey._PACKAGES], capture_output=True, check=False)
    found = read_inventory(said.stdout)
    assert said.stderr == b""
    told = Path("/proc/cpuinfo").read_text()
    assert len(found.cores) == sum(line.startswith("processor") for line in told.splitlines())
    assert found.memory == int(Path("/proc/meminfo").read_text().split()[1]) << 10
    assert found.cmdline == Path("/proc/cmdline").read_text().rstrip("\n")
    assert found.system in Path("/etc/os-release").read_text()
    if shutil.which("dpkg-query"):
        form = "${db:Status-Status} ${Package} ${Version}\n"
        listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True)
        words = [line.split() for line in listed.stdout.splitlines()]
        assert sorted(found.packages) == sorted(
            (name, version) for state, name, version in words if state == "installed"
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root: run the tests as root to have this one")
@pytest.mark.parametrize("shell", ["dash", "busybox sh"])
def test_a_machine_that_tells_nothing(shell: str, tmp_path: Path) -> None:
    """Neither /proc nor /sys, nor any program but the shell."""
    words = shell.split()
    program = shutil.which(words[0])
    assert program
    for name in filter(None, _needs(program)):
        place = tmp_path / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, place)
    script = survey._HARDWARE + survey._PACKAGES
    said = subprocess.run(
        ["chroot", str(tmp_path), program, *words[1:], "-c", script], capture_output=True, check=False
    )
    assert read_inventory(said.stdout) == Inventory()


def _needs(program: str) -> list[str]:
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    words = [word for line in told.splitlines() for word in line.split() if word.startswith("/")]
    return [program, *words]

"""What the QEMU arguments of a LAVA job say: which file is what, the kernel's arguments, drives, memory, processors.

LAVA hands ``image_arg`` of each image and ``extra_options`` of the context to QEMU as they are. Here the machine is the
board file's, so they are taken apart; what nobody can tell from the machine's own is left to it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["BadArgument", "QemuSettings", "Roles", "read_arguments"]

Role = Literal["kernel", "initrd", "dtb", "drive"]

#: options that name a file -> what it is
_FILES: Mapping[str, Role] = {"-kernel": "kernel", "-initrd": "initrd", "-dtb": "dtb"}
_DISKS = {"-hda": 0, "-hdb": 1, "-hdc": 2, "-hdd": 3, "-sd": 0}
#: what is the machine's own, or how a terminal would see it: option -> whether a value follows
_LEFT = {
    "-nographic": False, "-display": True, "-serial": True, "-monitor": True, "-vga": True, "-no-reboot": False,
    "-enable-kvm": False, "-net": True, "-netdev": True, "-nic": True, "-name": True, "-nodefaults": False,
    "-no-shutdown": False, "-chardev": True, "-mon": True, "-accel": True, "-curses": False, "-snapshot": False,
    "-boot": True, "-k": True, "-rtc": True, "-no-acpi": False,
    "-no-fd-bootchk": False, "-parallel": True, "-audiodev": True, "-audio": True, "-soundhw": True,
}  # fmt: skip
#: what is added to the machine as it is: option -> whether a value follows
_ADDED = {
    "-object": True, "-global": True, "-fw_cfg": True, "-virtfs": True, "-fsdev": True, "-smbios": True, "-numa": True,
    "-tpmdev": True, "-bios": True, "-icount": True, "-usb": False, "-no-hpet": False, "-no-user-config": False,
}  # fmt: skip
_NAME = re.compile(r"\{([\w.-]+)\}")
_NETWORK = re.compile(r"(?:virtio-net|e1000|rtl8139|ne2k|i8255|usb-net|smc91c111|lan9118)")


@dataclass(frozen=True)
class QemuSettings:
    """``None`` or empty for what the board file says. ``drives`` are QEMU devices by the names of images; ``""`` is the
    drive that the machine has where no device is named. ``arguments`` are added as they are."""

    memory: str | None = None
    cpu: str | None = None
    machine: str | None = None
    smp: int | None = None
    emulate: bool = False
    drives: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


@dataclass
class Roles:
    """What arguments came to: which image is what, the kernel's arguments, and settings of the machine."""

    roles: dict[str, Role] = field(default_factory=dict)
    append: list[str] = field(default_factory=list)
    settings: QemuSettings = QemuSettings()


class BadArgument(ValueError):
    """An argument that cannot be honoured; the message says which and why."""


def read_arguments(texts: Iterable[str], *, alone: bool = False) -> Roles:
    """Take arguments apart, all together: a drive and its device stand in different ones. ``BadArgument``.

    ``alone``: they are only a part, so what a device names may stand elsewhere.
    """
    reader = _Reader(alone=alone)
    for text in texts:
        try:
            reader.words += shlex.split(text)
        except ValueError as error:
            raise BadArgument(f"{text!r} cannot be taken apart: {error}") from None
    return reader.read()


class _Reader:
    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self.words: list[str] = []
        self._found = Roles()
        self._drives: dict[str, str] = {}
        #: drives by their id, which devices name
        self._ids: dict[str, str] = {}
        self._devices: list[str] = []
        self._arguments: list[str] = []

    def read(self) -> Roles:
        words = iter(self.words)
        for word in words:
            option = "-" + word.lstrip("-")  # QEMU takes one dash or two
            if not word.startswith("-"):
                raise BadArgument(f"{word!r} is no option of QEMU")
            if option in _LEFT:
                if _LEFT[option]:
                    next(words, None)
                continue
            if _ADDED.get(option) is False:
                self._arguments.append(option)
                continue
            value = next(words, None)
            if value is None:
                raise BadArgument(f"{word!r} has no value")
            self._option(option, value)
        self._connect()
        found = self._found
        found.settings = replace(found.settings, drives=dict(self._drives), arguments=tuple(self._arguments))
        return found

    def _option(self, option: str, value: str) -> None:
        name = _NAME.search(value)
        settings = self._found.settings
        if option in _FILES and name:
            self._found.roles[name[1]] = _FILES[option]
        elif option in _DISKS and name:
            self._drive(name[1], f"{'sd' if option == '-sd' else 'ide'}:{_DISKS[option]}")
        elif option == "-drive" and name:
            self._described(name[1], value)
        elif option == "-bios" and name:
            self._drive(name[1], "bios")
        elif option == "-append":
            self._found.append.append(value)
        elif option == "-device":
            self._devices.append(value)
        elif option in ("-m", "-cpu", "-M", "-machine", "-smp"):
            self._found.settings = _set(settings, option, value)
        elif name:
            raise BadArgument(f"{option} {value}: a file cannot be used so; name it in the board file")
        elif option in _ADDED:
            self._arguments += [option, value]
        else:
            raise BadArgument(f"{option} {value}: name it in the board file: arguments of its [power]")

    def _drive(self, name: str, device: str) -> None:
        self._found.roles[name] = "drive"
        self._drives[name] = device

    def _described(self, name: str, value: str) -> None:
        """``-drive file={rootfs},format=raw,if=virtio``."""
        parts = dict(part.partition("=")[::2] for part in value.split(","))
        kind, index = parts.get("if", ""), parts.get("index", parts.get("unit", ""))
        if kind == "none":
            self._ids[parts.get("id", "")] = name
            self._drive(name, "")
        elif kind == "virtio":
            self._drive(name, "virtio")
        elif kind in ("", "ide", "scsi", "sd", "pflash", "mtd", "floppy"):
            self._drive(name, f"{kind}:{index}" if kind and index else kind)
            self._ids[parts.get("id", "")] = name
        else:
            raise BadArgument(f"-drive {value}: no drive here is if={kind}")

    def _connect(self) -> None:
        """Devices that name a drive are that drive's; other ones are added."""
        for value in self._devices:
            drive = re.search(r",drive=([^,]+)", value)
            if drive and drive[1] in self._ids:
                self._drives[self._ids[drive[1]]] = value.replace(drive[0], "")
            elif drive and not self._alone:
                raise BadArgument(f"-device {value}: there is no drive of the id {drive[1]!r}")
            elif not _NETWORK.match(value):  # the network is the board file's
                self._arguments += ["-device", value]


def _set(settings: QemuSettings, option: str, value: str) -> QemuSettings:
    if option == "-m":
        size = value.removeprefix("size=").partition(",")[0]
        if not re.fullmatch(r"\d+[KMGT]?", size, re.IGNORECASE):
            raise BadArgument(f"-m {value}: this is no size")
        return replace(settings, memory=size.upper())
    if option == "-smp":
        count = value.removeprefix("cpus=").partition(",")[0]
        if not count.isdecimal() or not int(count):
            raise BadArgument(f"-smp {value}: this is no number of processors")
        return replace(settings, smp=int(count))
    return replace(settings, cpu=value) if option == "-cpu" else replace(settings, machine=value)

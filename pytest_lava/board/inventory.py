"""What a board is made of, read from what its kernel and its package manager say.

Formats: ``/proc/cpuinfo`` is each architecture's own (arch/*/kernel, fs/proc/cpuinfo.c), ``/proc/meminfo`` as in
Documentation/filesystems/proc.rst, DMI in /sys/class/dmi/id, USB in Documentation/ABI/testing/sysfs-bus-usb, device
trees as in the Devicetree Specification (strings that end with NUL); of packages the status files of dpkg (deb822(5))
and opkg, the database of apk (apk-installed(5)), what ``rpm -qa`` prints, and the folders of pacman.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pytest_lava.board.cores import core_name

__all__ = ["FILES", "PACKAGES", "Core", "Inventory", "Usb", "read_inventory"]

#: the lines before the contents of files, and before packages
FILES, PACKAGES = "=files", "=packages"
_MOST = 16 << 20  # bytes of packages, unpacked
_TEXT = 4096  # characters of one fact
#: what makers write where they had nothing to say
_EMPTY = {"", "none", "default string", "to be filled by o.e.m.", "not specified", "system product name"}
_DMI = {"sys_vendor": "vendor", "product_name": "model", "product_version": "version", "bios_version": "firmware"}
_BOARDS = ("Model", "Hardware", "machine", "system type")  # of cpuinfo, where there is no device tree
#: pacman's folders are called so
_NAMED = re.compile(r"(\S+)-([^-\s]+-[^-\s]+)")


@dataclass(frozen=True)
class Core:
    """A processor core. ``model`` is for people, ``part`` are the numbers of an ARM one."""

    id: int
    model: str = ""
    part: str = ""


@dataclass(frozen=True)
class Usb:
    """A USB device: ``id`` is vendor:product in hexadecimal digits, ``speed`` in Mbit/s."""

    bus: str
    id: str
    name: str = ""
    vendor: str = ""
    speed: str = ""


@dataclass(frozen=True)
class Inventory:
    """All that a board told, as far as it did. ``memory`` in bytes that the kernel can use; ``features`` of its cores;
    ``system`` is what the distribution calls itself; ``packages`` are pairs of name and version."""

    model: str = ""
    vendor: str = ""
    version: str = ""
    firmware: str = ""
    compatible: tuple[str, ...] = ()
    cores: tuple[Core, ...] = ()
    features: str = ""
    memory: int = 0
    usb: tuple[Usb, ...] = ()
    cmdline: str = ""
    system: str = ""
    packages: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inventory:
        """What :func:`dataclasses.asdict` and JSON made of one. ``TypeError``, ``ValueError`` or ``KeyError``."""
        nested = {
            "compatible": tuple(map(str, data["compatible"])),
            "cores": tuple(Core(**one) for one in data["cores"]),
            "usb": tuple(Usb(**one) for one in data["usb"]),
            "packages": tuple((str(name), str(version)) for name, version in data["packages"]),
        }
        return cls(**{**data, **nested})

    def told(self) -> dict[str, Any]:
        """As plain JSON, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value}


def read_inventory(told: bytes) -> Inventory:
    """What :mod:`~pytest_lava.board.survey` was told. Never raises: lines that make no sense are passed over."""
    head, _, packages = told.partition(f"\n{PACKAGES}\n".encode())
    facts, _, files = head.partition(f"{FILES}\n".encode())
    lines = [line.partition(" ")[::2] for line in facts.decode("utf-8", "replace").replace("\0", "").splitlines()]
    cmdline, cpu, system, strings = _files(files.decode("utf-8", "replace"))
    single = dict(lines)
    dmi = {key: _said(single.get(name)) for name, key in _DMI.items()}
    first = _first(cpu)
    model = next((strings[0] for _ in strings[:1]), "") or dmi["model"]
    return Inventory(
        model=(model or next((first[name] for name in _BOARDS if name in first), ""))[:_TEXT],
        vendor=dmi["vendor"],
        version=dmi["version"],
        firmware=dmi["firmware"],
        compatible=tuple(strings[1:]),
        cores=_cores(cpu),
        features=(first.get("flags") or first.get("Features") or first.get("features") or first.get("isa", ""))[:_TEXT],
        memory=_memory(single.get("memory", "")),
        usb=_usb(lines),
        cmdline=cmdline[:_TEXT],
        system=system,
        packages=_packages(packages),
    )


def _files(text: str) -> tuple[str, list[str], str, list[str]]:
    """Command line, cpuinfo, name of the system and strings of the device tree: one file behind the other.

    The first is one line, the last has none; lines of cpuinfo have a colon, those of os-release an equals sign.
    """
    *lines, blob = text.split("\n")
    cmdline = lines.pop(0) if lines and not re.match(r"processor\s*:", lines[0]) else ""
    cpu = [line for line in lines if re.match(r"[\w ]+\t* *:", line)]
    names = [line.removeprefix("PRETTY_NAME=") for line in lines if line.startswith("PRETTY_NAME=")]
    system = re.sub(r"\\(.)", r"\1", names[0].strip("\"'")) if names else ""
    return cmdline, cpu, system, [one for one in blob.split("\0") if one.strip()]


def _said(text: str | None) -> str:
    text = (text or "").strip()
    return "" if text.lower() in _EMPTY else text


def _first(cpu: Iterable[str]) -> dict[str, str]:
    """The first value of each key of cpuinfo."""
    found: dict[str, str] = {}
    for text in cpu:
        key, _, value = text.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _cores(cpu: Iterable[str]) -> tuple[Core, ...]:
    """What comes behind a ``processor`` is about it; what never does again is of all."""
    blocks: list[dict[str, str]] = []
    for text in cpu:
        key, _, value = (part.strip() for part in text.partition(":"))
        if key == "processor" or not blocks:
            blocks.append({})
        blocks[-1].setdefault(key, value)
    return tuple(_core(number, block) for number, block in enumerate(blocks) if "processor" in block)


def _core(number: int, block: Mapping[str, str]) -> Core:
    told = block["processor"]
    implementer, part = block.get("CPU implementer", ""), block.get("CPU part", "")
    model = next((block[name] for name in ("model name", "cpu model", "uarch", "cpu", "isa") if block.get(name)), "")
    if not told.isdigit():  # arm before 3.8 called the model so
        model, told = model or told, str(number)
    name = core_name(implementer, part)
    return Core(int(told), name or model, f"{implementer}:{part}" if part else "")


def _memory(text: str) -> int:
    found = re.match(r"MemTotal:\s+(\d+) kB", text)
    return int(found[1]) << 10 if found else 0


def _usb(lines: Iterable[tuple[str, str]]) -> tuple[Usb, ...]:
    """A line ``usb`` names a device, those behind it tell of it."""
    found: dict[str, dict[str, str]] = {}
    one: dict[str, str] = {}
    for key, text in lines:
        if key == "usb":
            one = found.setdefault(text, {})
        else:
            one[key] = text.strip()
    return tuple(
        Usb(bus, f"{one['idVendor']}:{one['idProduct']}", one.get("product", ""), one.get("manufacturer", ""),
            one.get("speed", ""))
        for bus, one in sorted(found.items()) if {"idVendor", "idProduct"} <= one.keys()
    )  # fmt: skip


# -- packages ---------------------------------------------------------------------------------------------------


def _packages(told: bytes) -> tuple[tuple[str, str], ...]:
    data = _unpacked(told) if told.startswith(b"\x1f\x8b") else told
    found: list[tuple[str, str]] = []
    one: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, colon, value = line.partition(":")
        if colon and key in ("Package", "P", "Status", "Version", "V"):
            if key[0] == "P":  # each begins with its name
                found += _installed(one)
                one = {}
            one[key[0] if key != "Status" else key] = value.strip()
        else:
            found += _named(line)
    return (*found, *_installed(one))


def _installed(one: Mapping[str, str]) -> list[tuple[str, str]]:
    """None if it was removed, but for its configuration."""
    installed = one.get("Status", "installed").split()[-1:] == ["installed"]
    return [(one["P"], one.get("V", ""))] if one.get("P") and installed else []


def _named(line: str) -> list[tuple[str, str]]:
    """Of rpm and pacman: name and version in one line."""
    words = line.split()
    if len(words) == 2:
        return [(words[0], words[1])]
    found = _NAMED.fullmatch(line.strip())
    return [(found[1], found[2])] if found else []


def _unpacked(data: bytes) -> bytes:
    """As much as there is of it."""
    with suppress(zlib.error):
        return zlib.decompressobj(wbits=31).decompress(data, _MOST)
    return b""

"""Names of ARM cores, which ``/proc/cpuinfo`` tells by numbers (arch/arm64/include/asm/cputype.h)."""

from __future__ import annotations

__all__ = ["core_name"]

#: implementer -> its name, and its parts
_CORES = {
    0x41: (
        "ARM",
        {
            0xB02: "ARM11 MPCore", 0xB76: "ARM1176", 0xC05: "Cortex-A5", 0xC07: "Cortex-A7", 0xC08: "Cortex-A8",
            0xC09: "Cortex-A9", 0xC0E: "Cortex-A17", 0xC0F: "Cortex-A15", 0xD01: "Cortex-A32", 0xD02: "Cortex-A34",
            0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD06: "Cortex-A65", 0xD07: "Cortex-A57",
            0xD08: "Cortex-A72", 0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1",
            0xD0D: "Cortex-A77", 0xD0E: "Cortex-A76AE", 0xD40: "Neoverse-V1", 0xD41: "Cortex-A78",
            0xD42: "Cortex-A78AE", 0xD44: "Cortex-X1", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710", 0xD48: "Cortex-X2",
            0xD49: "Neoverse-N2", 0xD4B: "Cortex-A78C", 0xD4D: "Cortex-A715", 0xD4E: "Cortex-X3",
            0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720", 0xD82: "Cortex-X4",
            0xD84: "Neoverse-V3", 0xD85: "Cortex-X925", 0xD87: "Cortex-A725", 0xD8E: "Neoverse-N3",
        },
    ),
    0x42: ("Broadcom", {0x100: "Brahma-B53", 0x516: "Vulcan"}),
    0x43: ("Cavium", {0x0A1: "ThunderX", 0x0A2: "ThunderX 81XX", 0x0A3: "ThunderX 83XX", 0x0AF: "ThunderX2"}),
    0x46: ("Fujitsu", {0x001: "A64FX"}),
    0x48: ("HiSilicon", {0xD01: "TSV110"}),
    0x4E: ("NVIDIA", {0x003: "Denver", 0x004: "Carmel"}),
    0x50: ("APM", {0x000: "X-Gene"}),
    0x51: (
        "Qualcomm",
        {
            0x200: "Kryo", 0x800: "Kryo 2xx Gold", 0x801: "Kryo 2xx Silver", 0x802: "Kryo 3xx Gold",
            0x803: "Kryo 3xx Silver", 0x804: "Kryo 4xx Gold", 0x805: "Kryo 4xx Silver", 0xC00: "Falkor",
        },
    ),
    0x61: ("Apple", {0x022: "M1 Icestorm", 0x023: "M1 Firestorm", 0x032: "M2 Blizzard", 0x033: "M2 Avalanche"}),
    0x6D: ("Microsoft", {0xD49: "Azure Cobalt 100"}),
    0xC0: ("Ampere", {0xAC3: "Ampere-1", 0xAC4: "Ampere-1A"}),
}  # fmt: skip


def core_name(implementer: str, part: str) -> str:
    """The name of a core by what cpuinfo says, such as ``0x41`` and ``0xd07``; empty if it is not known."""
    try:
        maker, parts = _CORES[int(implementer, 16)]
        return f"{maker} {parts[int(part, 16)]}"
    except (KeyError, ValueError):
        return ""

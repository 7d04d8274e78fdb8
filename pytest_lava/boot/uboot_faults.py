"""What U-Boot says when it gives up: a table, with where each sentence stands in its source and whose fault it is.

The places are those of v2023.01 where nothing else is said. U-Boot's prompt comes back after most of
them, so that a time limit would tell much later, and less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_lava.errors import BootFailed, InfrastructureError, LavaError, NetworkError

__all__ = ["FAULTS", "Fault", "boot_error", "complaint"]


@dataclass(frozen=True)
class Fault:
    """``pattern`` matches from the beginning of a line. ``kind`` is :class:`BootFailed` where kernel or script may be
    to blame, and an ``InfrastructureError`` where it is the lab in any case. ``advice`` is what to look at.
    """

    pattern: str
    source: str
    kind: type[LavaError] = BootFailed
    advice: str = ""


_SERVER = "is the TFTP server within reach of the board, and its address the right one ([deploy] address)?"

FAULTS = (
    # files and media
    Fault(r"\*\* File not found .*\*\*", "fs/ext4/ext4fs.c"),
    Fault(r"\*\* Unable to read file .*\*\*", "fs/fat/fat.c"),
    Fault(r"Failed to load '.*'", "fs/fs.c"),
    Fault(r"\*\* Reading file would overwrite reserved memory \*\*", "fs/fs.c", advice="load it to another address"),
    Fault(r"Can't set block device", "fs/fs.c"),
    Fault(r"Couldn't find partition ", "disk/part.c"),
    Fault(r"\*\* Bad (?:device|partition) (?:specification|size) ", "disk/part.c"),
    Fault(r"\*\* Bad HW partition specification ", "disk/part.c"),
    Fault(r"\*\* No (?:partition table - |valid partitions found|device specified)", "disk/part.c"),
    Fault(r"\*\* Invalid partition (?:type|\d)", "disk/part.c"),
    Fault(r"\*\* Unrecognized filesystem type \*\*", "fs/fs.c of older versions"),
    Fault(r"MMC: no card present", "drivers/mmc/mmc.c", InfrastructureError, "put a card in"),
    Fault(r"Card did not respond to voltage select", "drivers/mmc/mmc.c", InfrastructureError, "look at the card"),
    # the network
    Fault(r"TFTP error: trying to overwrite reserved memory", "net/tftp.c", advice="load it to another address"),
    Fault(r"TFTP error: ", "net/tftp.c", NetworkError, "the server answers, but does not give the file"),
    Fault(r"Loading: \*\x08(?:T ){3}", "net/tftp.c", NetworkError, _SERVER),  # a T for each time-out, and nothing else
    Fault(r"Retry count exceeded", "net/tftp.c, nfs.c, rarp.c, wget.c", NetworkError, _SERVER),
    Fault(r"ARP Retry count exceeded", "net/arp.c", NetworkError, _SERVER),
    Fault(r"Retry time exceeded", "net/bootp.c", NetworkError, "does a DHCP server answer the board?"),
    Fault(r"\*\*\* ERROR: `(?:serverip|ipaddr|ethaddr|eth\d+addr)' not set", "net/net.c", NetworkError),
    Fault(r"(?:\*\*\* ERROR: )?No ethernet found", "net/net.c, net/eth-uclass.c", NetworkError),
    Fault(r"ping failed; host ", "cmd/net.c", NetworkError),
    # images
    Fault(r"Bad Linux ARM64 Image magic!", "arch/arm/lib/image.c", advice="booti wants an uncompressed Image"),
    Fault(r"Bad Linux RISCV Image magic!", "arch/riscv/lib/image.c", advice="booti wants an uncompressed Image"),
    Fault(r"zimage: Bad magic!", "arch/arm/lib/zimage.c", advice="bootz wants a zImage"),
    Fault(r"Bad Linux ARM zImage magic!", "arch/arm/lib/bootm.c of older versions", advice="bootz wants a zImage"),
    Fault(r"Wrong Image (?:Format|Type) for \w+ command", "boot/bootm.c", advice="bootm wants a uImage or FIT"),
    Fault(r"Unknown image format!", "cmd/bootm.c"),
    Fault(r" *Bad (?:Header Checksum|Magic Number|Data CRC)", "boot/bootm.c, boot/image-board.c, cmd/bootm.c"),
    Fault(r"Bad (?:hash in )?FIT .*image", "boot/image-fit.c, cmd/bootm.c"),
    Fault(r"Unsupported Architecture", "boot/bootm.c, boot/image-fit.c"),
    Fault(r"Ramdisk image is corrupt or invalid", "boot/bootm.c", advice="give it as ADDRESS:SIZE"),
    Fault(r"Image too large: increase CONFIG_SYS_BOOTM_LEN", "boot/bootm.c"),
    Fault(r"Could not find a valid device tree", "boot/bootm.c"),
    Fault(r"FDT and ATAGS support not compiled in", "arch/arm/lib/bootm.c", advice="name a device tree"),
    Fault(r"ERROR: ", "boot/bootm.c (can't get kernel image!), boot/image-fdt.c"),
    # commands
    Fault(r"Unknown command '", "common/command.c, common/cli_hush.c"),
    Fault(r"##? [Ee]rror", "common/cli.c, cmd/nvedit.c"),
    Fault(r"\*\*\* ERROR: ", "net/net.c, net/nfs.c"),
    # the end
    Fault(r'(?:Bad mode in )?"Synchronous Abort" handler', "arch/arm/lib/interrupts_64.c"),
    Fault(r"(?:data|prefetch) abort", "arch/arm/lib/interrupts.c"),
    Fault(r"### ERROR ### Please RESET the board ###", "lib/hang.c"),
    Fault(r"resetting \.\.\.", "arch/arm/lib/reset.c, arch/riscv/lib/reset.c"),
)

_LINE = re.compile("(?m)^(?:" + "|".join(f"({fault.pattern}[^\r\n]*)" for fault in FAULTS) + ")")


def complaint(said: str) -> tuple[str, Fault] | None:
    """The first line of ``said`` that tells of a fault, and which; those after it are mostly its consequences."""
    match = _LINE.search(said.replace("\r", ""))
    if match is None or match.lastindex is None:
        return None
    return match[0].replace("\b", "").strip(), FAULTS[match.lastindex - 1]


def boot_error(message: str, said: str) -> LavaError:
    """The error for a boot that U-Boot gave up with ``message``, blaming who is to blame for what it ``said``."""
    found = complaint(said)
    if found is None:
        return BootFailed(message, evidence=said)
    advice = f" ({found[1].advice})" if found[1].advice else ""
    return found[1].kind(f"{message}{advice}", evidence=said)

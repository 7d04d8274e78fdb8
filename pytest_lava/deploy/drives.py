"""Images as drives of a QEMU machine that never writes to them: QEMU's own snapshot, or a qcow2 overlay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.scratch import Scratch
from pytest_lava.errors import DeployFailed
from pytest_lava.programs import need, run

__all__ = ["Drive", "DriveTable", "Drives"]

#: ``-drive if=...``: drives that the machine has already, in a numbered slot each
_SLOTS = ("sd", "pflash", "mtd", "ide", "scsi", "floppy")
#: no drive, but the machine's firmware (``-bios``)
_FIRMWARE = "bios"
_DEVICE = re.compile(rf"(?:(?:{'|'.join(_SLOTS)})(?::\d+)?|[a-z][\w.-]*(?:,[\w.-]+=[^,]+)*)")
_SIZE = re.compile(r"(\d+)([KMGT]?)")
_PURPOSE = "to make drives of images"
_QCOW2 = b"QFI\xfb"


def _device(text: str) -> str:
    if not _DEVICE.fullmatch(text):
        raise ValueError(f"write a QEMU device (virtio-blk-pci), or one of {', '.join(_SLOTS)} with its number (sd:0)")
    return text


def _size(text: str) -> str:
    if not _SIZE.fullmatch(text):
        raise ValueError("write a number of bytes, or with K, M, G or T behind it")
    return text


def _table(value: Any) -> Any:
    return {"device": value} if isinstance(value, str) else value


class Drive(Strict):
    """What an image becomes: ``device`` is a device of QEMU, or a slot of the machine (``sd:0``, ``pflash:1``), or its
    firmware (``bios``).
    ``size`` is that of the drive where the image is smaller; a card is rounded up to a power of two without being told.
    """

    device: Annotated[str, AfterValidator(_device)]
    size: Annotated[str, AfterValidator(_size)] | None = None

    @property
    def slot(self) -> str:
        """``sd``, ``pflash`` and so on; nothing for a device."""
        name = self.device.partition(":")[0]
        return name if name in _SLOTS else ""

    def bytes_for(self, content: int) -> int:
        """How large the drive is with an image of ``content`` bytes."""
        if self.size is not None:
            number, unit = _SIZE.fullmatch(self.size).groups()  # type: ignore[union-attr]
            return int(number) << " KMGT".index(unit or " ") * 10
        if self.slot == "sd" or self.device.startswith("sd-card"):
            return 1 << max(9, (content - 1).bit_length())  # hw/sd/sd.c takes no other
        return content


#: a drive by its device alone, or by a table
DriveTable = Annotated[Drive, BeforeValidator(_table)]


class Drives:
    """Makes the arguments of QEMU. ``keep``: what the board writes outlives a power cycle, until :meth:`clear`."""

    def __init__(self, scratch: Scratch, *, keep: bool) -> None:
        self._scratch = scratch
        self._keep = keep

    def check(self, drive: Drive) -> None:
        """``ConfigurationError`` if qemu-img is missing though it may be needed."""
        if self._keep or drive.size or drive.bytes_for(3) != 3:
            need("qemu-img", _PURPOSE)

    def arguments(self, name: str, drive: Drive, image: Path, deadline: Deadline) -> list[str]:
        """The arguments that put ``image`` in as the drive ``name``. ``DeployFailed`` if it does not fit."""
        if drive.device == _FIRMWARE:
            return ["-bios", str(image)]
        name = re.sub(r"[^A-Za-z0-9]", "-", name)
        file, form = image, _form(image)
        if form == "raw" and (have := image.stat().st_size) > drive.bytes_for(have):
            raise DeployFailed(
                f"{image} has {have} bytes, and the drive {drive.device} of this board only {drive.size}"
            )
        if self._needs_overlay(drive, image):
            file, form = self._overlay(name, drive, image, deadline), "qcow2"
        words = [f"file={str(file).replace(',', ',,')}", f"format={form}", f"snapshot={'off' if self._keep else 'on'}"]
        if drive.slot:
            number = drive.device.partition(":")[2]
            return ["-drive", ",".join([*words, f"if={drive.slot}", *([f"index={number}"] if number else [])])]
        return ["-drive", ",".join([*words, "if=none", f"id={name}"]), "-device", f"{drive.device},drive={name}"]

    def _needs_overlay(self, drive: Drive, image: Path) -> bool:
        have = image.stat().st_size
        return self._keep or (_form(image) == "raw" and drive.bytes_for(have) != have)

    def _overlay(self, name: str, drive: Drive, image: Path, deadline: Deadline) -> Path:
        form, target = _form(image), self._scratch.file(f"{name}.qcow2")
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image.absolute()), "-F", form, str(target)]
        if form == "raw":
            command.append(str(drive.bytes_for(image.stat().st_size)))
        done = run(command, deadline, cwd=target.parent, purpose=_PURPOSE)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace")
            raise DeployFailed(f"{image} cannot be a drive: {said.strip()}", evidence=said)
        return target


def _form(image: Path) -> str:
    with image.open("rb") as file:
        return "qcow2" if file.read(4) == _QCOW2 else "raw"

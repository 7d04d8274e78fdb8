"""Deploys to a QEMU machine: a direct kernel, or a boot medium that its boot loader reads; disks are never written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import DeployContext, Deployment
from pytest_lava.deploy.drives import Drive, Drives, DriveTable
from pytest_lava.deploy.parts import NAMES, kernel_parts
from pytest_lava.deploy.scratch import Scratch
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.media import boot_medium
from pytest_lava.plan import ImagePlan, KernelPlan
from pytest_lava.power.api import TakesMedia

__all__ = ["QemuDeploy"]


class QemuDeploy:
    """``kernel = "direct"`` hands kernel, initrd and arguments to QEMU; ``"fat"`` and ``"ext4"`` build a boot medium
    for its boot loader. Images are drives of the machine.
    """

    class Options(Strict):
        """Keys of ``[deploy]``."""

        kernel: Literal["direct", "fat", "ext4"] = "direct"
        drive: DriveTable = Drive(device="virtio-blk-device")
        drives: Mapping[str, DriveTable] = Field(default={}, description="name of an image -> the drive it becomes")
        writes: Literal["forget", "keep"] = Field(
            default="forget", description="what becomes of that which the board writes, at its next power-on"
        )
        append: str = ""

    takes_kernel = True
    takes_image = True

    def __init__(self, options: Options, context: DeployContext) -> None:
        if not isinstance(context.power, TakesMedia):
            raise ConfigurationError(f'board {context.board!r}: deploy = "qemu" needs power = "qemu"')
        self._options = options
        self._context = context
        self._machine = context.power
        self._scratch = Scratch(context.guard)
        self._drives = Drives(self._scratch, keep=options.writes == "keep")

    def check(self, kernel: bool, images: Collection[str]) -> None:
        """``ConfigurationError`` for an image that has no place in the machine, or without what makes a drive of it."""
        for part in images:
            self._drives.check(self._drive(part))

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None, deadline: Deadline) -> Deployment:
        """Put the files where the machine finds them at its next power-on."""
        self._scratch.clear()
        options, arguments, files = self._options, list[str](), dict[str, str]()
        inserted: list[tuple[str, Drive, Path]] = []
        if kernel is not None:
            parts = kernel_parts(kernel, options.append)
            files = {part: NAMES[part] for part in parts.files} | {"append": parts.append}
            if options.kernel == "direct":
                arguments += _direct(parts.files, parts.append)
            else:
                with self._context.events.phase("inject"):
                    medium = boot_medium(parts.named(), self._context.shelf, fs=options.kernel, deadline=deadline)
                inserted.append(("boot", options.drive, medium))
        inserted += [(f"image{part}", self._drive(part), path) for part, path in _images(image).items()]
        if any(drive.device.startswith("virtio-blk-device") for _, drive, _ in inserted):
            inserted.reverse()  # virtio-mmio slots are filled from the last one: so the boot medium is the first
        for name, drive, path in inserted:
            arguments += self._drives.arguments(name, drive, path, deadline)
        self._machine.insert(arguments)
        return Deployment(kernel, image, files)

    def close(self) -> None:
        """Remove the overlays."""
        self._scratch.clear()

    def _drive(self, part: str) -> Drive:
        known = self._options.drives
        if part in known:
            return known[part]
        if part and known:
            raise ConfigurationError(
                f"board {self._context.board!r} has no drive for --image {part}=: it has "
                f"{', '.join(f'{name}=' for name in known)} ([deploy.drives] of its board file)"
            )
        return self._options.drive


def _images(image: ImagePlan | None) -> Mapping[str, Path]:
    return image.parts if image else {}


def _direct(files: Mapping[str, Path], append: str) -> list[str]:
    arguments = ["-kernel", str(files["kernel"]), "-append", append]
    for part in ("initrd", "dtb"):
        if part in files:
            arguments += [f"-{part}", str(files[part])]
    return arguments

"""What a kernel comes to as files that are brought to a board, by the names of their placeholders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_lava.plan import KernelPlan

__all__ = ["NAMES", "KernelParts", "kernel_parts"]

#: placeholder -> name of the file wherever a boot loader looks for it
NAMES = {"kernel": "Image", "dtb": "board.dtb", "initrd": "initrd.img"}


@dataclass(frozen=True)
class KernelParts:
    """``files``: placeholder (``kernel``, ``dtb``, ``initrd``: what there is) -> file; ``append``: kernel arguments."""

    files: dict[str, Path]
    append: str

    def named(self) -> dict[str, Path]:
        """The files by the names that boot media give them."""
        return {NAMES[part]: path for part, path in self.files.items()}


def kernel_parts(kernel: KernelPlan | None, append: str) -> KernelParts:
    """What is to be brought to a board. ``append`` are the arguments that the board always needs."""
    if kernel is None:
        return KernelParts({}, append)
    found = {"kernel": kernel.file.path, "dtb": kernel.dtb, "initrd": kernel.initrd}
    files = {part: path for part, path in found.items() if path is not None}
    return KernelParts(files, " ".join(filter(None, [append, kernel.append])))

"""RunPlan: what this run is to do, frozen and validated before a board is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_lava.config.boards import BoardConfig
    from pytest_lava.images.kernel import KernelFile
    from pytest_lava.transfer.api import Mode

__all__ = ["BoardRequest", "ImagePlan", "KernelPlan", "RunPlan", "Target"]


@dataclass(frozen=True)
class KernelPlan:
    """A kernel to boot and what goes with it. ``given`` by the user: the kernel under test, not the lab's default."""

    name: str
    file: KernelFile
    modules: Path | None = None
    dtb: Path | None = None
    initrd: Path | None = None
    append: str = ""
    given: bool = True

    @property
    def sha256(self) -> str:
        """Checksum of the kernel file."""
        return self.file.sha256


@dataclass(frozen=True)
class ImagePlan:
    """An image: one file, or several for named parts. The unnamed part is ``""``."""

    name: str
    parts: Mapping[str, Path]
    sha256: str = ""


@dataclass(frozen=True)
class BoardRequest:
    """What ``--board=NAME`` asked for: one of these boards, whichever is free first."""

    name: str
    candidates: tuple[BoardConfig, ...]

    @property
    def arch(self) -> str:
        """The architecture; candidates of one request share it."""
        return self.candidates[0].arch


@dataclass(frozen=True, repr=False)
class Target:
    """One combination of board, kernel and image that items run on. ``id`` names it in node ids and records."""

    id: str
    request: BoardRequest
    kernel: KernelPlan | None
    image: ImagePlan | None

    def __repr__(self) -> str:
        return f"<target {self.id}>"


@dataclass(frozen=True)
class RunPlan:
    """All that options and board files say about this run."""

    targets: tuple[Target, ...]
    commands: tuple[str, ...]
    run_folder: Path
    bundle: Path
    bundle_format: str
    board_wait: float = 0.0
    command_timeout: float = 600.0
    transfer: Mode = "auto"
    remarks: tuple[str, ...] = field(default=())

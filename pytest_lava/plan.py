"""RunPlan: what this run is to do, frozen and validated before a board is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_lava.commands.plan import OutOfTree
from pytest_lava.results.junit_links import Links
from pytest_lava.stress.plan import StressPlan

if TYPE_CHECKING:
    from pytest_lava.config.boards import BoardConfig
    from pytest_lava.images.artefact import Artefact
    from pytest_lava.images.kernel import KernelFile
    from pytest_lava.images.kernel_parts import KernelSource, Origin
    from pytest_lava.inject.added import Added
    from pytest_lava.inject.additions import Addition
    from pytest_lava.transfer.api import Mode

__all__ = [
    "BoardRequest",
    "BundleContent",
    "CachePlan",
    "ImagePlan",
    "ImageRequest",
    "KernelPlan",
    "KernelRequest",
    "OfJob",
    "Prepared",
    "RecoveryMode",
    "RunPlan",
    "Target",
]

#: how far recovery of a dead board goes: not at all, up to a power cycle, or up to deploying once more
RecoveryMode = Literal["none", "reboot", "redeploy"]


@dataclass(frozen=True)
class KernelRequest:
    """A kernel as it was asked for, before anything is fetched. ``given`` by the user: the kernel under test.

    ``label`` is what the user wrote, for messages; ``modules`` are others than those of the source, which are left out
    with ``bare``; ``dtb_name`` is a device tree that the source is to have. With ``keep_debug`` modules keep their
    debugging information.
    """

    name: str
    label: str
    source: KernelSource
    modules: Artefact | None = None
    bare: bool = False
    dtb: Artefact | None = None
    dtb_name: str = ""
    initrd: Artefact | None = None
    append: str = ""
    given: bool = True
    keep_debug: bool = False

    @property
    def arch(self) -> str:
        """The architecture as far as it is known by now."""
        return self.source.arch

    @property
    def release(self) -> str:
        """What ``uname -r`` will say, as far as it is known by now."""
        return self.source.release


@dataclass(frozen=True)
class ImageRequest:
    """An image as it was asked for: one file, or several for named parts. The unnamed part is ``""``.

    ``given`` by the user, not the lab's own.
    """

    name: str
    parts: Mapping[str, Artefact]
    given: bool = True


@dataclass(frozen=True)
class KernelPlan:
    """A kernel to boot and what goes with it: files on this machine, none of which may be written to.

    ``given`` by the user: the kernel under test, not the lab's default. ``modules`` is a folder with
    ``lib/modules/RELEASE``; where there is an ``initrd`` they are in it already. ``origin`` tells where it is from.
    """

    name: str
    file: KernelFile
    modules: Path | None = None
    dtb: Path | None = None
    initrd: Path | None = None
    append: str = ""
    given: bool = True
    origin: Origin | None = None

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
    given: bool = True


@dataclass(frozen=True)
class BoardRequest:
    """What ``--board=NAME`` asked for: one of these boards, whichever is free first."""

    name: str
    candidates: tuple[BoardConfig, ...]

    @property
    def arch(self) -> str:
        """The architecture; candidates of one request share it."""
        return self.candidates[0].arch


@dataclass(frozen=True)
class OfJob:
    """The stage of a LAVA job that a target is for. ``attributes`` go with its results.

    ``story`` is the same for all stages that are one run of the job: on one board, with one kernel.
    """

    key: str
    file: Path
    attributes: Mapping[str, str] = field(default_factory=dict)
    story: str = ""


@dataclass(frozen=True, repr=False)
class Target:
    """One combination of board, kernel and image that items run on. ``id`` names it in node ids and records.

    ``job`` is set if only items of that run on it; ``additions`` go into its image after those of the whole run.
    """

    id: str
    request: BoardRequest
    kernel: KernelRequest | None
    image: ImageRequest | None
    job: OfJob | None = None
    additions: tuple[Addition, ...] = ()

    def __repr__(self) -> str:
        return f"<target {self.id}>"


@dataclass(frozen=True)
class Prepared:
    """What a target asked for, on this machine and ready to be deployed.

    What was to go into its image is there, but for what the booted board has to do itself: ``packages`` lie on it (by
    their paths) for its own dpkg; ``left`` has to be brought there, as there was no image that could be edited.
    ``added`` is all of it as results tell it.
    """

    kernel: KernelPlan | None = None
    image: ImagePlan | None = None
    packages: tuple[str, ...] = ()
    left: tuple[Addition, ...] = ()
    added: tuple[Added, ...] = ()


@dataclass(frozen=True)
class CachePlan:
    """Where what is fetched and made is kept: ``limit`` in bytes, 0 for none; ``passing``: it goes with the run."""

    folder: Path
    limit: int = 0
    offline: bool = False
    passing: bool = False

    def facts(self, assets: Path) -> Path:
        """Where facts about files are remembered while a run is planned, which may be all that it comes to."""
        return assets if self.passing else self.folder


@dataclass(frozen=True)
class BundleContent:
    """What goes into a bundle beside results: tags of the run, files of at most ``attachment_limit`` bytes each.

    ``public_url`` is where others will find the run folder, and in it what is too large; empty if nobody knows.
    """

    tags: tuple[str, ...] = ()
    attachment_limit: int = 8 << 20
    public_url: str = ""


@dataclass(frozen=True)
class RunPlan:
    """All that options and board files say about this run."""

    targets: tuple[Target, ...]
    commands: tuple[str, ...]
    run_folder: Path
    bundle: Path
    bundle_format: str
    cache: CachePlan
    bundle_content: BundleContent = BundleContent()
    junit_links: Links = field(default_factory=Links)
    board_wait: float = 0.0
    command_timeout: float = 600.0
    #: of test definitions: parameters in place of their own, the limit of each, and whether nothing is installed
    params: tuple[tuple[str, str], ...] = ()
    suite_timeout: float = 3600.0
    skip_install: bool = False
    transfer: Mode = "auto"
    #: whether a board may be resumed in the state that an earlier boot left
    snapshots: bool = False
    additions: tuple[Addition, ...] = ()
    #: kernels with debug information, by one of which traces are explained
    vmlinux: tuple[Path, ...] = ()
    recovery: RecoveryMode = "redeploy"
    stress: StressPlan = field(default_factory=StressPlan)
    #: commands of files and of this machine, and what is brought from the board after each item
    out_of_tree: OutOfTree = field(default_factory=OutOfTree)
    remarks: tuple[str, ...] = field(default=())

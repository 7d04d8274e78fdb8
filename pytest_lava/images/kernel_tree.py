"""A kernel where ``make`` left it: a source tree, or a build folder (``O=``) with ``include/config/kernel.release``."""

from __future__ import annotations

import hashlib
import mmap
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.errors import ConfigurationError, FetchFailed
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.kernel import inspect
from pytest_lava.images.kernel_file import opened
from pytest_lava.images.kernel_parts import KernelParts, Origin, Workshop, content_of
from pytest_lava.images.module_tree import index, releases, write_module

__all__ = ["TreeSource", "is_tree", "tree_source"]

#: our name -> folder below arch/, option of the configuration, image files in the order in which they are wanted
_ARCHITECTURES = {
    "arm64": ("arm64", "CONFIG_ARM64", ("Image", "Image.gz", "Image.zst", "vmlinuz.efi")),
    "arm": ("arm", "CONFIG_ARM", ("zImage", "uImage")),
    "x86_64": ("x86", "CONFIG_X86_64", ("bzImage",)),
    "x86": ("x86", "CONFIG_X86_32", ("bzImage",)),
    "riscv64": ("riscv", "CONFIG_RISCV", ("Image", "Image.gz")),
    "mips": ("mips", "CONFIG_MIPS", ("uImage.gz", "uImage")),
    "powerpc": ("powerpc", "CONFIG_PPC", ("uImage", "zImage")),
}
_SECONDS = 20.0  # for git
_RECIPE = "tree-2"
_TABLES = ("modules.order", "modules.builtin", "modules.builtin.modinfo")


@dataclass(frozen=True)
class TreeSource:
    """See :class:`~pytest_lava.images.kernel_parts.KernelSource`. ``image`` is relative to the folder."""

    folder: Path
    arch: str
    release: str
    image: str
    simple: bool = False

    @property
    def name(self) -> str:
        """The release, as the image's name is the same in every tree."""
        return self.release

    @property
    def place(self) -> str:
        """The folder's name."""
        return self.folder.name

    def parts(self, workshop: Workshop) -> KernelParts:
        """Copy the modules to where nobody builds, with depmod's tables; image and device trees are used in place."""
        commit, url, branch = _git(self.folder)
        path = self.folder / self.image
        with content_of(f"--kernel-tree {self.folder}"):
            fetched = workshop.fetcher.fetch(Artefact.parse(str(path)), unpack=False, deadline=workshop.deadline)
            kernel = opened(fetched, workshop).kernel
            found = inspect(kernel, workshop.shelf.folder, option="--kernel-tree")
        if found.release and found.release != self.release:
            raise FetchFailed(
                f"--kernel-tree {self.folder}: {self.image} is of {found.release}, but include/config/kernel.release "
                f"says {self.release}: run make to its end"
            )
        origin = Origin(str(self.folder), fetched.sha256, "", commit, url, branch)
        dtbs = self.folder / "arch" / _ARCHITECTURES[self.arch][0] / "boot" / "dts"
        modules = self._modules(workshop)
        return KernelParts(kernel, origin, modules, dtbs if dtbs.is_dir() else None, self.release)

    def _modules(self, workshop: Workshop) -> Path | None:
        found = list(_modules(self.folder))
        if not found:
            return None
        seen = hashlib.sha256()
        for name, path in found:
            status = path.stat()
            seen.update(f"{name} {path} {status.st_size} {status.st_mtime_ns}\n".encode())

        def make(target: Path) -> None:
            root = target / "lib" / "modules" / self.release
            for name, path in found:
                copy = root / "kernel" / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                _copy(path, copy, keep_debug=workshop.keep_debug)
            for table in _TABLES:
                with suppress(FileNotFoundError):
                    shutil.copyfile(self.folder / table, root / table)
            assert releases(target) == [self.release]
            index(target, workshop.deadline)

        key = workshop.key(_RECIPE, self.release, seen.hexdigest())
        return workshop.shelf.make("kernels", key, make, name=f"modules of {self.release}", deadline=workshop.deadline)


def is_tree(folder: Path) -> bool:
    """Whether ``make`` built something in a folder, or a kernel's source is there."""
    return (folder / "include" / "config").is_dir() or ((folder / "Kbuild").is_file() and (folder / "arch").is_dir())


def tree_source(folder: Path) -> TreeSource:
    """What is built in a tree. ``ConfigurationError`` if nothing is."""
    try:
        release = (folder / "include" / "config" / "kernel.release").read_text().strip()
    except OSError:
        raise ConfigurationError(
            f"--kernel-tree {folder}: nothing is built here (there is no include/config/kernel.release): run make, or "
            "give the folder of O="
        ) from None
    configured = _configuration(folder)
    wanted = []
    for arch, (source, option, images) in _ARCHITECTURES.items():
        if option not in configured:
            continue
        wanted += [f"arch/{source}/boot/{image}" for image in images]
        for image in images:
            if (folder / "arch" / source / "boot" / image).is_file():
                return TreeSource(folder, arch, release, f"arch/{source}/boot/{image}")
    if not wanted:
        raise ConfigurationError(
            f"--kernel-tree {folder}: its configuration (.config) is missing, or for an architecture that no board has"
        )
    raise ConfigurationError(
        f"--kernel-tree {folder}: {release} has no {' or '.join(dict.fromkeys(wanted))}: run make to its end"
    )


def _configuration(folder: Path) -> set[str]:
    """The options that are set to y."""
    for name in ("include/config/auto.conf", ".config"):
        with suppress(OSError):
            return set(re.findall(r"^(CONFIG_\w+)=y$", (folder / name).read_text(errors="replace"), re.MULTILINE))
    return set()


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name below ``kernel/`` and file of each module that was built, as ``modules.order`` lists them.

    It names what ``modules_install`` makes (``kernel/fs/ext4/ext4.ko``, before 5.3), modules, or objects (since 6.4).
    """
    with suppress(OSError):
        for line in (folder / "modules.order").read_text().splitlines():
            name = re.sub(r"\.o$", ".ko", line.strip())
            for candidate in dict.fromkeys((name, name.removeprefix("kernel/"))):
                if candidate and (folder / candidate).is_file():
                    yield candidate, folder / candidate
                    break


def _copy(module: Path, copy: Path, *, keep_debug: bool) -> None:
    """By a map of it: what is left out is then not even read."""
    if module.stat().st_size == 0:  # of which there can be no map
        copy.touch()
        return
    with (
        module.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        write_module(copy, view, keep_debug=keep_debug)


def _git(folder: Path) -> tuple[str, str, str]:
    """Commit, URL and branch of the source, as far as git knows; a build folder has a link to it."""
    source = folder / "source" if (folder / "source").is_dir() else folder
    if not (source / ".git").exists():
        return "", "", ""
    commit = _ask_git(source, "rev-parse", "HEAD")
    return (
        commit,
        _ask_git(source, "config", "--get", "remote.origin.url"),
        _ask_git(source, "branch", "--show-current"),
    )


def _ask_git(folder: Path, *words: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["git", "-C", str(folder), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""

"""A kernel as TuxMake and KernelCI leave it, in a folder or behind a URL: ``metadata.json`` names image, modules, dtbs.

Format: docs/metadata.md of TuxMake (``build.target_arch``, ``results.status``, ``results.artifacts``, ``git``,
``source.kernelrelease``); KernelCI builds with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from pytest_lava.arguments import without_secret
from pytest_lava.errors import ConfigurationError, FetchFailed
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.fetch import Fetched
from pytest_lava.images.kernel_file import opened
from pytest_lava.images.kernel_parts import KernelParts, Origin, Workshop, content_of
from pytest_lava.images.kernel_unpack import device_trees
from pytest_lava.images.module_tree import modules_of

__all__ = ["BuildSource", "build_source", "is_build"]

_METADATA = "metadata.json"
_ARCHITECTURES = {
    "arm64": "arm64", "arm": "arm", "x86_64": "x86_64", "i386": "x86", "riscv": "riscv64", "mips": "mips",
    "powerpc": "powerpc",
}  # fmt: skip


@dataclass(frozen=True)
class BuildSource:
    """See :class:`~pytest_lava.images.kernel_parts.KernelSource`. ``base`` is a folder, or a URL with / at its end."""

    base: str
    name: str
    arch: str = ""
    release: str = ""
    simple: bool = False

    @property
    def place(self) -> str:
        """Its last part."""
        return self.shown.rstrip("/").rsplit("/", 1)[-1]

    @property
    def shown(self) -> str:
        """As it may be told."""
        return without_secret(self.base)

    def parts(self, workshop: Workshop) -> KernelParts:
        """Fetch what the build names, and unpack it."""
        deadline = workshop.deadline
        metadata = self._fetch(_METADATA, workshop)
        with content_of(f"--kernel-tree {self.shown}"):
            build = _Build(metadata.path, f"--kernel-tree {self.shown}")
        kernel = self._fetch(build.kernel, workshop)
        modules = self._fetch(build.modules, workshop) if build.modules else None
        dtbs = self._fetch(build.dtbs, workshop) if build.dtbs else None
        with content_of(f"--kernel-tree {self.shown}"):
            tree = modules_of(modules.path, modules.sha256, workshop) if modules else None
            parts = opened(kernel, workshop)
            return KernelParts(
                parts.kernel,
                Origin(self.shown, kernel.sha256, "", build.commit, build.url, build.branch),
                tree or parts.modules,
                device_trees(dtbs.path, dtbs.sha256, workshop.shelf, deadline) if dtbs else parts.dtbs,
                build.release or parts.release,
            )

    def _fetch(self, name: str, workshop: Workshop) -> Fetched:
        place = urljoin(self.base, name) if "://" in self.base else str(Path(self.base) / name)
        try:
            return workshop.fetcher.fetch(Artefact.parse(place), unpack=False, deadline=workshop.deadline)
        except (ConfigurationError, FetchFailed) as error:
            if name != _METADATA or "://" not in self.base or "--offline" in str(error):
                raise
            raise FetchFailed(
                f"--kernel-tree {self.shown} has no {_METADATA} as TuxMake and KernelCI leave it ({error}): correct "
                "the URL, or name the files: --kernel URL --modules URL"
            ) from error


class _Build:
    """What a build's metadata say. ``ConfigurationError`` if they are none, or of a build that failed."""

    def __init__(self, path: Path, where: str) -> None:
        try:
            found = json.loads(path.read_bytes())
            results: dict[str, Any] = found["results"]
            artefacts: dict[str, list[str]] = results["artifacts"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{where}: its {_METADATA} is not that of a TuxMake build") from None
        kernels = artefacts.get("kernel") or []
        if results.get("status") not in (None, "PASS") or not kernels:
            raise ConfigurationError(f"{where}: this build has no kernel, its status is {results.get('status')}")
        self.kernel = str(kernels[0])
        self.modules = next(iter(artefacts.get("modules") or []), "")
        self.dtbs = next((name for name in artefacts.get("dtbs") or [] if ".tar" in name), "")
        source, git = found.get("source") or {}, found.get("git") or {}
        self.release = str(source.get("kernelrelease") or "")
        self.arch = _ARCHITECTURES.get(str((found.get("build") or {}).get("target_arch")), "")
        self.commit = str(git.get("git_commit") or "")
        self.url, self.branch = str(git.get("git_url") or ""), str(git.get("git_branch") or "")


def is_build(folder: Path) -> bool:
    """Whether a folder holds a build with metadata."""
    return (folder / _METADATA).is_file()


def build_source(place: str) -> BuildSource:
    """A folder, of which something can be seen already, or a URL. ``ConfigurationError``."""
    if "://" in place:
        base = place.rstrip("/").removesuffix(f"/{_METADATA}")
        return BuildSource(f"{base}/", urlsplit(base).path.rsplit("/", 1)[-1] or "build")
    found = _Build(Path(place) / _METADATA, f"--kernel-tree {place}")
    if not (Path(place) / found.kernel).is_file():
        raise ConfigurationError(f"--kernel-tree {place}: {found.kernel}, which its {_METADATA} names, is not there")
    return BuildSource(place, found.release or Path(place).name, found.arch, found.release)

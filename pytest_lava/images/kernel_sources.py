"""From what a user wrote to the source of a kernel: ``--kernel`` names a file, ``--kernel-tree`` a folder or build."""

from __future__ import annotations

from pathlib import Path

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact, local_path
from pytest_lava.images.kernel_build import build_source, is_build
from pytest_lava.images.kernel_file import file_source
from pytest_lava.images.kernel_parts import KernelSource
from pytest_lava.images.kernel_tree import is_tree, tree_source

__all__ = ["parse_kernel", "parse_tree"]


def parse_kernel(text: str, cache: Path) -> KernelSource:
    """``--kernel``: a path or URL. ``ConfigurationError`` for all that is seen to be no kernel."""
    return file_source(Artefact.parse(text, "--kernel"), cache)


def parse_tree(text: str) -> KernelSource:
    """``--kernel-tree``: a kernel tree, its build folder, or what TuxMake or KernelCI made, here or behind a URL."""
    if text.startswith(("http://", "https://")):
        return build_source(text)
    folder = local_path(text).resolve()
    if not folder.is_dir():
        hint = (
            "give the file as --kernel" if folder.exists() else "give the folder in which you ran make, or that of O="
        )
        raise ConfigurationError(f"--kernel-tree {text}: there is no such folder; {hint}")
    if is_build(folder):
        return build_source(str(folder))
    if is_tree(folder):
        return tree_source(folder)
    raise ConfigurationError(
        f"--kernel-tree {text}: this is neither a kernel tree nor a build of one (it has no include/config and no "
        "metadata.json)"
    )

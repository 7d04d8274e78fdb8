"""Git repositories that a definition wants beside its own, cloned on this machine, where there is a network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_lava.errors import FetchFailed
from pytest_lava.suites.definition import Repository
from pytest_lava.suites.git import git

__all__ = ["clone_all"]

#: what wants tags, other branches or older commits
_GIT = re.compile(
    r"\bgit\s+(?:-\S+\s+|-C\s+\S+\s+)*(?:checkout|switch|log|describe|reset|show|tag|bisect|rev-\w+|diff)\b"
)


def clone_all(
    wanted: Iterable[Repository], params: Mapping[str, str], folder: Path, steps: Iterable[str] = ()
) -> list[tuple[str, Path]]:
    """Clone each below ``folder``; the files with their names from there on, ``.git`` included as scripts ask it.

    URL, branch and folder may be the name of a parameter, as in LAVA. Without its history, unless ``steps`` use git.
    ``FetchFailed``, ``NetworkError``, ``ToolMissing``.
    """
    whole = any(_GIT.search(step) for step in steps)
    found: list[tuple[str, Path]] = []
    for one in wanted:
        url, branch, name = (params.get(text, text) for text in (one.url, one.branch, one.destination))
        name = name or url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
        if "/" in name or name in ("", ".", ".."):
            raise FetchFailed(f"the destination of a git repository is a name and not {name!r}")
        where = folder / name
        options = [*([] if whole else ["--depth=1"]), *(["--branch", branch] if branch else [])]
        folder.mkdir(parents=True, exist_ok=True)
        command = ["clone", "--quiet", *options, "--", url, str(where)]
        git(*command, url=url, folder=folder, what="a git repository of the definition")
        found += [(str(file.relative_to(folder)), file) for file in sorted(where.rglob("*")) if file.is_file()]
    return found

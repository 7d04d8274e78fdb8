"""Where the file of a suite comes from: repository and commit, as git knows them."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.arguments import without_secret

__all__ = ["Provenance", "provenance"]

_SECONDS = 5.0  # for one question; a kernel tree has an index of 10 MB


@dataclass(frozen=True)
class Provenance:
    """``url`` is empty if the repository has no remote; ``changed`` says that file or folder differ from the commit."""

    project: str
    url: str
    revision: str
    changed: bool
    path: str


def provenance(file: Path) -> Provenance | None:
    """Of a file; None if it is in no repository, or git is not here or refuses to say."""
    folder = file.resolve().parent
    root = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
    if root is None or not (revision := _ask(folder, "rev-parse", "--verify", "HEAD")):
        return None
    url = _ask(folder, "config", "--get", "remote.origin.url")
    tracked = bool(_ask(folder, "ls-files", "--", file.name))
    changed = not tracked or bool(_ask(folder, "status", "--porcelain", "--untracked-files=no", "--", "."))
    project = url.rstrip("/").rpartition("/")[2].removesuffix(".git") or root.name
    return Provenance(project, without_secret(url), revision, changed, str(file.resolve().relative_to(root)))


def _ask(folder: Path, *words: str) -> str:
    """An answer of git without its last newline; empty if it has none."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["git", "-C", str(folder), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_SECONDS, check=False, env=environment,
        )  # fmt: skip
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""

"""Git repositories that a definition wants beside its own, cloned on this machine, where there is a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import FetchFailed, ToolMissing
from pytest_lava.programs import run
from pytest_lava.suites.definition import Repository

__all__ = ["clone_all", "why_git_failed"]

_LIMIT = 600.0  # seconds for one
#: what wants tags, other branches or older commits
_GIT = re.compile(
    r"\bgit\s+(?:-\S+\s+|-C\s+\S+\s+)*(?:checkout|switch|log|describe|reset|show|tag|bisect|rev-\w+|diff)\b"
)
_SECRET = re.compile(r"//[^/@\s]+@")


def clone_all(
    wanted: Iterable[Repository], params: Mapping[str, str], folder: Path, steps: Iterable[str] = ()
) -> list[tuple[str, Path]]:
    """Clone each below ``folder``; the files with their names from there on, ``.git`` included as scripts ask it.

    URL, branch and folder may be the name of a parameter, as in LAVA. Without its history, unless ``steps`` use git.
    ``FetchFailed``, ``ToolMissing``.
    """
    whole = any(_GIT.search(step) for step in steps)
    found: list[tuple[str, Path]] = []
    for one in wanted:
        url, branch, name = (params.get(text, text) for text in (one.url, one.branch, one.destination))
        name = name or url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
        if "/" in name or name in ("", ".", ".."):
            raise FetchFailed(f"the destination of a git repository is a name and not {name!r}")
        if shutil.which("git") is None:
            raise ToolMissing(
                "git is needed to clone what a definition wants: install it (Debian: apt-get install git)"
            )
        where = folder / name
        options = [*([] if whole else ["--depth=1"]), *(["--branch", branch] if branch else [])]
        command = ["git", "clone", "--quiet", *options, "--", url, str(where)]
        folder.mkdir(parents=True, exist_ok=True)
        result = run(command, Deadline.after(_LIMIT), cwd=folder, more={"GIT_TERMINAL_PROMPT": "0"}, purpose="to clone")
        if result.returncode:
            shown = _SECRET.sub("//", f"{url}: {why_git_failed(result)}")
            raise FetchFailed(f"a git repository of the definition cannot be cloned: {shown}")
        found += [(str(file.relative_to(folder)), file) for file in sorted(where.rglob("*")) if file.is_file()]
    return found


def why_git_failed(result: subprocess.CompletedProcess[bytes]) -> str:
    """One line: its first ``fatal:``, as advice of several lines may follow; else its last line."""
    said = (result.stderr or result.stdout).decode(errors="replace").strip().splitlines()
    fatal = (line.partition(": ")[2] for line in said if line.startswith(("fatal: ", "error: ")))
    return next(fatal, said[-1] if said else f"git returned {result.returncode}")

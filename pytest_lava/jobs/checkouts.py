"""Repositories and archives that a job names, brought to this machine once each, before its board is leased."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_lava.arguments import without_secret
from pytest_lava.errors import FetchFailed, NetworkError
from pytest_lava.images.cpio import open_tar
from pytest_lava.suites.git import git

__all__ = ["Checkouts", "Wanted"]

_COMMIT = re.compile(r"[0-9a-f]{7,64}")

#: gives a file of this machine for a URL
Fetch = Callable[[str], Path]


@dataclass(frozen=True)
class Wanted:
    """Where a definition comes from; ``path`` is that of its file in there."""

    kind: Literal["git", "url"]
    url: str
    path: str
    branch: str = ""
    revision: str = ""

    @property
    def place(self) -> str:
        """The name of its folder; definitions of one repository share it."""
        text = "\0".join((self.kind, self.url, self.branch, self.revision))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Checkouts:
    """Keeps what was fetched below ``folder`` until :meth:`close`; what failed is not tried again."""

    def __init__(self, folder: Path, fetch: Fetch) -> None:
        self._folder, self._fetch = folder, fetch
        self._failed: dict[str, FetchFailed | NetworkError] = {}

    def get(self, wanted: Wanted) -> Path:
        """The root of what is wanted. ``FetchFailed``, ``NetworkError``, ``ToolMissing``."""
        where = self._folder / wanted.place
        if failed := self._failed.get(wanted.place):
            raise type(failed)(str(failed))
        if not where.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                (self._clone if wanted.kind == "git" else self._unpack)(wanted, where)
            except (FetchFailed, NetworkError) as error:
                shutil.rmtree(where, ignore_errors=True)
                self._failed[wanted.place] = error
                raise
        return where

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _clone(self, wanted: Wanted, where: Path) -> None:
        """The newest commit alone, where no other one is wanted: test repositories have long histories."""
        branch = ["--branch", wanted.branch] if wanted.branch else []
        if not wanted.revision:
            self._git(wanted, "clone", "--quiet", "--depth=1", *branch, "--", wanted.url, str(where))
            return
        if not _COMMIT.fullmatch(wanted.revision) and wanted.revision.startswith("-"):
            raise FetchFailed(f"the revision {wanted.revision!r} of {without_secret(wanted.url)} is none")
        self._git(wanted, "clone", "--quiet", "--no-checkout", *branch, "--", wanted.url, str(where))
        self._git(wanted, "-C", str(where), "checkout", "--quiet", "--detach", wanted.revision)

    def _git(self, wanted: Wanted, *arguments: str) -> None:
        git(*arguments, url=wanted.url, folder=self._folder, what="a repository of the job")

    def _unpack(self, wanted: Wanted, where: Path) -> None:
        """An archive; or the definition itself, where ``path`` is its name."""
        file = self._fetch(wanted.url)
        where.mkdir()
        try:
            with open_tar(file) as tar:
                tar.extractall(where, filter="data")
        except Exception as error:  # whatever tarfile finds wrong with it
            if Path(wanted.path).name == wanted.url.rpartition("/")[2] and file.stat().st_size < 1 << 20:
                target = where / wanted.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                return
            raise FetchFailed(f"{without_secret(wanted.url)} is no archive that can be unpacked: {error}") from error

"""Edits FAT in an image with mtools. It has names, contents and times; no owners, modes or links of any kind."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InjectFailed, first_line
from pytest_lava.inject.filesystem import Node, Placed
from pytest_lava.programs import run

__all__ = ["Fat"]

_FORBIDDEN = set('\\:*?"<>|') | {chr(code) for code in range(32)}
#: no check of geometry, which images of SD cards fail; times as they are
_ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}


class Fat:
    """A file system that begins at byte ``offset`` of ``image``."""

    folds = True

    def __init__(self, image: Path, offset: int, name: str, deadline: Deadline) -> None:
        self.name = name
        self._image, self._offset, self._deadline = image, offset, deadline
        self._tree: dict[str, dict[str, Node]] | None = None

    def listings(self, folders: Sequence[str]) -> Mapping[str, Mapping[str, Node]]:
        """See :class:`~pytest_lava.inject.filesystem.Editable`."""
        if self._tree is None:
            self._tree = self._read()
        return {folder: self._tree.get(folder.lower(), {}) for folder in folders}

    def targets(self, symlinks: Sequence[str]) -> Mapping[str, str]:
        """There are none."""
        raise LookupError(symlinks)

    def apply(self, placed: Sequence[Placed]) -> Sequence[str]:
        """See :class:`~pytest_lava.inject.filesystem.Editable`. Hard links become files of their own."""
        lost = sum(bool(item.entry.uid or item.entry.gid or item.entry.xattrs) for item in placed)
        with tempfile.TemporaryDirectory(dir=self._image.parent, prefix=".inject-") as folder:
            self._stage(placed, Path(folder))
            staged = sorted(map(str, Path(folder).iterdir()))
            # links in this tree are followed by mcopy; -m keeps times, -o replaces, -Q stops at the first error
            self._mtools("mcopy", "-s", "-o", "-Q", "-m", *staged, "::/")
        return (f"FAT holds no owners and attributes: {lost} files lost theirs",) if lost else ()

    def _stage(self, placed: Sequence[Placed], folder: Path) -> None:
        sources = {item.entry.path: item.entry.content for item in placed}
        for item in placed:
            entry, path = item.entry, folder / item.entry.path
            if _FORBIDDEN & set(entry.path):
                raise InjectFailed(f"/{entry.path} cannot be a name in {self.name}, which is FAT: choose another one")
            if entry.kind == "folder":
                path.mkdir(parents=True, exist_ok=True)
            elif entry.kind in ("file", "link"):
                source = entry.content or sources.get(entry.target)
                if source is None:
                    raise InjectFailed(f"/{entry.path} is another name of a file, which {self.name}, FAT, cannot hold")
                sources[entry.path] = source
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.symlink_to(source.absolute())
            else:
                raise InjectFailed(
                    f"/{entry.path} is a {entry.kind}, and {self.name} is FAT, which holds files and folders only: "
                    "leave it out, or name another partition"
                )

    def _read(self) -> dict[str, dict[str, Node]]:
        tree: dict[str, dict[str, Node]] = {"": {}}
        for line in self._mtools("mdir", "-b", "-s", "-a", "::/").splitlines():
            name = line.decode("utf-8", "surrogateescape").strip().removeprefix("::/")
            path = name.rstrip("/")
            if not path:
                continue
            parent, _, last = path.rpartition("/")
            tree.setdefault(parent.lower(), {})[last] = Node("folder" if name.endswith("/") else "file")
            if name.endswith("/"):
                tree.setdefault(path.lower(), {})
        return tree

    def _mtools(self, program: str, *arguments: str) -> bytes:
        where = f"{self._image.name}@@{self._offset}"
        done = run([program, "-i", where, *arguments], self._deadline, cwd=self._image.parent, more=_ENVIRONMENT)
        said = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode:
            if "full" in said.lower():
                raise InjectFailed(f"{self.name} is too small for what is to go in; make it larger", evidence=said)
            why = first_line(said, f"exit status {done.returncode}")
            raise InjectFailed(f"{program} could not edit {self.name}: {why}", evidence=said)
        return done.stdout

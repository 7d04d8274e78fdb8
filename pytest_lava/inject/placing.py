"""Where entries come to stand in a file system: symbolic links in it are followed, missing folders made.

A folder that is there stays as it is, with its mode and owner; another thing under a name is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_lava.errors import InjectFailed
from pytest_lava.inject.entries import Entry
from pytest_lava.inject.filesystem import Editable, Node, NodeKind, Placed

__all__ = ["place"]

_LINKS = 40  # as many symbolic links in one path as Linux follows
_KINDS: dict[str, NodeKind] = {"folder": "folder", "file": "file", "link": "file", "symlink": "symlink"}


def place(entries: Iterable[Entry], system: Editable) -> list[Placed]:
    """What has to be made, in order. ``InjectFailed`` if an entry cannot stand where it should."""
    listed = list(entries)
    model = _Model(system)
    model.foresee(
        {_parent(entry.path) for entry in listed} | {entry.path for entry in listed if entry.kind == "folder"}
    )
    for entry in listed:
        model.add(entry)
    return model.placed


class _Model:
    """What the file system has, as far as it was asked for, and what it will have."""

    def __init__(self, system: Editable) -> None:
        self.placed: list[Placed] = []
        self._system = system
        self._folders: dict[str, dict[str, Node]] = {}
        self._targets: dict[str, str] = {}
        self._implied: dict[str, int] = {}  # folders that were made for what is in them -> where in placed

    def foresee(self, folders: Iterable[str]) -> None:
        """Ask for all of these folders level by level: one question for a level, not for each folder."""
        self._ask({""})
        waiting = {tuple(self._through_root(path).split("/")) for path in folders if path}
        depth = 0
        while waiting := {parts for parts in waiting if len(parts) > depth}:
            depth += 1
            known = {"/".join(parts[:depth]) for parts in waiting}
            there = {path for path in known if (node := self._node(path)) and node.kind == "folder"}
            self._ask(there)
            waiting = {parts for parts in waiting if "/".join(parts[:depth]) in there}

    def _through_root(self, path: str) -> str:
        first, slash, rest = path.partition("/")
        return _clean(f"{self._targets.get(first, first)}{slash}{rest}")

    def add(self, entry: Entry) -> None:
        """Find its place. A later entry of the same name wins."""
        parent = self._folder(_parent(entry.path), entry)
        name = entry.path.rpartition("/")[2]
        path = _join(parent, name)
        there = self._children(parent).get(self._key(name))
        if entry.kind == "folder":
            self._add_folder(replace(entry, path=path), there)
            return
        if there is not None and there.kind == "folder":
            if entry.kind == "symlink" and (entry.gentle or self._same_folder(entry, path)):
                return
            raise InjectFailed(
                f"/{path} is a folder in {self._system.name}, a {_WORDS[entry.kind]} cannot replace it: "
                f"write /{path}/ to put something into it"
            )
        if entry.kind == "link":
            entry = replace(entry, target=self._linked(entry))
            if entry.target == path:
                return
            self._children(_parent(entry.target))[self._key(entry.target.rpartition("/")[2])] = Node("file", True)
        if entry.kind == "symlink":
            self._targets[path] = entry.target
        self.placed.append(Placed(replace(entry, path=path), there))
        self._children(parent)[self._key(name)] = Node(_KINDS.get(entry.kind, "other"), entry.kind == "link")

    def _add_folder(self, entry: Entry, there: Node | None) -> None:
        path = entry.path
        if there is None:
            self._make(entry)
        elif path in self._implied:
            self.placed[self._implied.pop(path)] = Placed(entry)  # now it is known what it should be
        elif there.kind == "symlink":
            self._folder(path, entry)
        elif there.kind != "folder":
            raise self._in_the_way(path)

    def _make(self, entry: Entry) -> None:
        parent, name = _parent(entry.path), entry.path.rpartition("/")[2]
        self._children(parent)[self._key(name)] = Node("folder")
        self._folders[entry.path] = {}
        self.placed.append(Placed(entry))

    def _folder(self, path: str, why: Entry) -> str:
        """The real path of a folder, which is made if it is missing."""
        todo = path.split("/")[::-1] if path else []
        real, links = "", 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                real = _parent(real)
                continue
            step = _join(real, name)
            node = self._children(real).get(self._key(name))
            if node is None:
                self._implied[step] = len(self.placed)
                self._make(Entry(step, "folder", mtime=why.mtime))
            elif node.kind == "symlink":
                links += 1
                if links > _LINKS:
                    raise InjectFailed(f"/{path} leads in a circle in {self._system.name}: choose another path")
                target = self._target(step)
                real = "" if target.startswith("/") else real
                todo.extend(target.split("/")[::-1])
                continue
            elif node.kind != "folder":
                raise self._in_the_way(step)
            real = step
        return real

    def _linked(self, entry: Entry) -> str:
        parent, _, name = entry.target.rpartition("/")
        path = _join(self._folder(parent, entry), name)
        node = self._children(_parent(path)).get(self._key(name))
        if node is None or node.kind == "folder":
            raise InjectFailed(f"/{entry.path} is another name of /{entry.target}, which is no file: pack it again")
        return path

    def _same_folder(self, entry: Entry, path: str) -> bool:
        """Whether a symbolic link to a folder would stand in the way of just that folder."""
        return _clean(_join(_parent(path), entry.target) if entry.target[:1] != "/" else entry.target) == path

    def _in_the_way(self, path: str) -> InjectFailed:
        return InjectFailed(f"/{path} is no folder in {self._system.name}: nothing can be put below it")

    def _node(self, path: str) -> Node | None:
        return self._folders.get(_parent(path), {}).get(self._key(path.rpartition("/")[2]))

    def _children(self, folder: str) -> dict[str, Node]:
        if folder not in self._folders:
            self._ask({folder})
        return self._folders[folder]

    def _ask(self, folders: set[str]) -> None:
        unknown = sorted(folders - self._folders.keys())
        if unknown:
            for path, nodes in self._system.listings(unknown).items():
                self._folders[path] = {self._key(name): node for name, node in nodes.items()}
            links = self._needed_links(unknown)
            self._targets.update(self._system.targets(links) if links else {})

    def _needed_links(self, folders: Sequence[str]) -> list[str]:
        """Links of the root are nearly always followed (/lib, /bin); others are asked for when they are."""
        return [path for path, node in self._folders[""].items() if node.kind == "symlink"] if "" in folders else []

    def _target(self, path: str) -> str:
        if path not in self._targets:
            self._targets.update(self._system.targets([path]))
        return self._targets[path]

    def _key(self, name: str) -> str:
        return name.lower() if self._system.folds else name


_WORDS = {
    "file": "file", "symlink": "symbolic link", "link": "hard link",
    "char": "device", "block": "device", "fifo": "pipe",
}  # fmt: skip


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _clean(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)

"""The folder that a definition's steps run in: where it is here, what of it they need, and that as one archive."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.errors import ConfigurationError

__all__ = ["Archive", "archive", "crlf_scripts", "needed", "root_of"]

_UP = 8  # folders above a definition that are looked at
_SMALL = 1 << 20  # bytes of a repository that is sent whole
_FEW = 400  # and its files
_LARGE = 512 << 20  # bytes that nobody can have meant to send
_TEXT = 256 << 10  # bytes of a file that is looked into for more names
_SCRIPTS = ("", ".sh", ".bash", ".inc", ".py", ".pl", ".expect", ".conf", ".cfg")
_NEVER = {".git", ".svn", ".hg", ".bzr", "__pycache__", ".pytest_cache", "node_modules", ".venv", "lava-runs"}
_WORD = re.compile(r"[\w.@+~/-]*[\w/.]")
_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\}|\(pwd\))/?")
_CD = re.compile(r"(?:^|[;&|(]\s*|\s)cd\s+[\"']?([^\s\"';&|)]+)")


@dataclass(frozen=True)
class Archive:
    """A tar and what is in it; equal contents have an equal ``key``."""

    path: Path
    key: str
    files: int
    size: int


def root_of(definition: Path, steps: Iterable[str]) -> Path:
    """The root of its repository.

    That is the one with ``.git`` if the steps fit it: if the folder is there that they go to, or else a file whose path
    they name. Else it is the nearest folder above the definition, up to ``.git``, that they fit. Else it is again the
    one with ``.git``, or the definition's own.
    """
    lines = list(steps)
    wanted = [place for step in lines for place in _CD.findall(step) if not place.startswith(("/", "$", "~", "-"))]
    named = [word for step in lines for word in _WORD.findall(_plain(step)) if "/" in word and word[0] != "/"]
    here = definition.resolve().parent
    above = [folder for folder in [here, *here.parents][:_UP] if folder.parent != folder]
    git = next((number for number, folder in enumerate(above) if (folder / ".git").exists()), None)
    above = above if git is None else [above[git], *above[:git]]
    goes = (folder for folder in above if wanted and (folder / wanted[0]).is_dir())
    names = (folder for folder in above if any((folder / word).is_file() for word in named))
    return next(goes, None) or next(names, None) or (here if git is None else above[0])


def needed(root: Path, texts: Iterable[str]) -> tuple[Path, ...]:
    """The files below ``root`` that ``texts`` (steps) name, and that the files named name in turn.

    A folder that is gone to, or that holds a script, is needed with all that is below it. A small repository is
    needed whole.
    """
    whole = _below(root, _SMALL, _FEW)
    if whole is not None:
        return whole
    found: dict[Path, None] = {}
    todo: list[tuple[Path, str]] = [(root, text) for text in texts]
    # names in a step may be seen from any folder that one of them goes to
    folders = dict.fromkeys([root])
    for _, text in todo:
        folders |= dict.fromkeys(path for place in _CD.findall(text) for path in _named(root, [root, *folders], place))
    first = len(todo)
    while todo:
        here, text = todo.pop()
        first -= 1
        # of what files say only what is a path: any word may be the name of something
        places = [here, *folders] if first >= 0 else [here, root]
        for path in _named(root, places, text, paths_only=first < 0):
            if path.is_dir() and path != root:
                new = [file for file in _files(path) if file not in found]
            elif path.is_file() and path not in found:
                # a script's folder is where it finds its parts; that of the root holds everything
                new = [path] if path.parent == root else [file for file in _files(path.parent) if file not in found]
            else:
                continue
            found |= dict.fromkeys(new)
            todo[:0] = [(file.parent, content) for file in new if (content := _script(file)) is not None]
    return tuple(sorted(found))


def archive(root: Path, files: Iterable[Path], extra: Iterable[tuple[str, Path]], path: Path) -> Archive:
    """Write a tar of ``files`` below ``repo/`` and of ``extra`` (name and file) to ``path``.

    It has no owners and times, so equal contents are equal bytes.
    """
    total = count = 0
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, file in [*((f"repo/{file.relative_to(root)}", file) for file in files), *extra]:
            about = file.stat()
            total, count = total + about.st_size, count + 1
            if total > _LARGE:
                raise ConfigurationError(
                    f"{root} has more than {_LARGE >> 20} MB that this definition seems to need: put it into a "
                    "repository of its own"
                )
            entry = tarfile.TarInfo(name)
            executable = name.startswith("bin/") or about.st_mode & stat.S_IXUSR  # a wheel keeps no such bits
            entry.size, entry.mode = about.st_size, 0o755 if executable else 0o644
            with file.open("rb") as source:
                tar.addfile(entry, source)
        if not count:
            tar.addfile(tarfile.TarInfo("repo/.empty"), io.BytesIO())
    with path.open("rb") as made:
        key = hashlib.file_digest(made, "sha256").hexdigest()[:20]
    return Archive(path, key, count, total)


def crlf_scripts(files: Iterable[Path]) -> list[Path]:
    """Scripts whose first line names an interpreter that no system has, as it ends with a carriage return."""
    found = []
    for file in files:
        with file.open("rb") as source:
            first = source.readline(256)
        if first.startswith(b"#!") and first.endswith(b"\r\n"):
            found.append(file)
    return found


def _below(root: Path, most: int, count: int) -> tuple[Path, ...] | None:
    """All files, if they are few and small."""
    found, size = [], 0
    for file in _files(root):
        size += file.stat().st_size
        found.append(file)
        if size > most or len(found) > count:
            return None
    return tuple(sorted(found))


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NEVER)
        for name in sorted(names):
            file = Path(where, name)
            if file.is_file():
                yield file


def _named(root: Path, places: Iterable[Path], text: str, *, paths_only: bool = False) -> Iterator[Path]:
    """What in a text is the name of something below the root, seen from one of the places."""
    real_root = root.resolve()
    words = [word for word in dict.fromkeys(_WORD.findall(_plain(text))) if word.strip("./") and len(word) < 256]
    words = [word for word in words if not paths_only or "/" in word]
    for place in dict.fromkeys(places):
        known = {*_listed(place), ".", ".."}
        for word in words:
            if word.lstrip("/").partition("/")[0] not in known:
                continue  # most words; asking the file system for each takes seconds
            try:
                real = (place / word.lstrip("/")).resolve()
                if real.exists() and real.is_relative_to(real_root):
                    inside = real.relative_to(real_root)
                    if not _NEVER.intersection(inside.parts):
                        yield root / inside
            except OSError:
                continue


def _plain(text: str) -> str:
    """Without variables, which stand for a folder where a name goes on behind them: ``$ROOT/common/parse.py``."""
    return _VARIABLE.sub(" ", text)


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _script(file: Path) -> str | None:
    """What a script says, or what one reads."""
    if file.suffix not in _SCRIPTS or file.stat().st_size > _TEXT:
        return None
    data = file.read_bytes()
    return None if b"\0" in data[:4096] else data.decode(errors="replace")

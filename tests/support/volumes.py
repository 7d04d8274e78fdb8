"""Images for tests, and what is in them: read by a mount where this machine allows one, and else by debugfs."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Fact:
    """One thing in a file system; ``what`` is its content, what a link holds, or the numbers of a device."""

    mode: str
    uid: int
    gid: int
    links: int
    what: bytes | str | tuple[int, int]
    mtime: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


def run(*command: object, given: str | None = None) -> str:
    """A program that has to succeed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    done = subprocess.run(
        [str(word) for word in command], input=given, capture_output=True, text=True, errors="surrogateescape",
        env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": path, "DEBUGFS_PAGER": "__none__"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def make_ext4(image: Path, tree: Path, size: int = 48 * MIB, *options: str) -> Path:
    """An ext4 with what is in a folder, owned by root."""
    with image.open("wb") as file:
        file.truncate(size)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", *options, "-d", tree, image)
    return image


def check_ext4(image: Path, offset: int = 0) -> None:
    """e2fsck finds nothing."""
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder, "part.img")
        run("dd", f"if={image}", f"of={cut}", "bs=1M", f"skip={offset // MIB}", "conv=sparse")
        run("e2fsck", "-fn", cut)


def facts_of(image: Path, offset: int = 0) -> dict[str, Fact]:
    """All of an ext4 but ``lost+found``, by path without a leading slash."""
    try:
        with mounted(image, offset) as root:
            return dict(_from_folder(root, root))
    except CannotMount:
        return _by_debugfs(image, offset)


class CannotMount(Exception):
    """This machine allows no loop mount."""


@contextmanager
def mounted(image: Path, offset: int = 0, *, write: bool = False) -> Iterator[Path]:
    """The root of a mounted image, for those who may."""
    if os.geteuid() != 0:
        raise CannotMount
    with tempfile.TemporaryDirectory() as folder:
        options = f"loop,offset={offset},{'rw' if write else 'ro,noload'}"
        done = subprocess.run(["mount", "-o", options, str(image), folder], capture_output=True, check=False)
        if done.returncode:
            raise CannotMount(done.stderr)
        try:
            yield Path(folder)
        finally:
            run("umount", folder)


def _from_folder(folder: Path, root: Path) -> Iterator[tuple[str, Fact]]:
    for path in sorted(folder.iterdir()):
        name = str(path.relative_to(root))
        if name == "lost+found":
            continue
        status = path.lstat()
        what: bytes | str | tuple[int, int] = ""
        if stat.S_ISREG(status.st_mode):
            what = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            what = str(path.readlink())
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            what = (os.major(status.st_rdev), os.minor(status.st_rdev))
        xattrs = tuple((key, os.getxattr(path, key, follow_symlinks=False))
                       for key in sorted(os.listxattr(path, follow_symlinks=False)))  # fmt: skip
        links = 1 if stat.S_ISDIR(status.st_mode) else status.st_nlink
        yield name, Fact(f"{status.st_mode:o}", status.st_uid, status.st_gid, links, what, int(status.st_mtime), xattrs)
        if stat.S_ISDIR(status.st_mode):
            yield from _from_folder(path, root)


def _by_debugfs(image: Path, offset: int) -> dict[str, Fact]:
    device = f"{image}?offset={offset}" if offset else str(image)
    found: dict[str, Fact] = {}
    with tempfile.TemporaryDirectory() as folder:
        todo = [""]
        while todo:
            parent = todo.pop()
            for line in run("debugfs", "-R", f'ls -p "/{_doubled(parent)}"', device).splitlines():
                parts = line.split("/")
                if len(parts) != 8 or parts[5] in (".", "..", "", "lost+found"):
                    continue
                path = f"{parent}/{parts[5]}".strip("/")
                found[path] = _fact(device, path, int(parts[2], 8), Path(folder, "content"))
                if stat.S_ISDIR(int(parts[2], 8)):
                    todo.append(path)
    return found


def _fact(device: str, path: str, mode: int, content: Path) -> Fact:
    said = run("debugfs", "-R", f'stat "/{_doubled(path)}"', device)
    numbers = {key: int(re.search(rf"{key}: +(\d+)", said)[1]) for key in ("User", "Group", "Links")}  # type: ignore[index]
    time = re.search(r" mtime: 0x([0-9a-f]+)", said)
    what: bytes | str | tuple[int, int] = ""
    if stat.S_ISREG(mode):
        run("debugfs", "-R", f'dump "/{_doubled(path)}" {content}', device)
        what = content.read_bytes()
    elif stat.S_ISLNK(mode):
        fast = re.search(r'^Fast link dest: "(.*)"$', said, re.MULTILINE)
        what = fast[1] if fast else run("debugfs", "-R", f'cat "/{_doubled(path)}"', device)
    elif numbers_of := re.search(r"Device major/minor number: (\d+):(\d+)", said):
        what = (int(numbers_of[1]), int(numbers_of[2]))
    listed = run("debugfs", "-R", f'ea_list "/{_doubled(path)}"', device)
    xattrs = []
    for key in sorted(re.findall(r"^ +([a-z]+\.\S+) \(\d+\)", listed, re.MULTILINE)):
        run("debugfs", "-R", f'ea_get -f {content} "/{_doubled(path)}" {key}', device)
        xattrs.append((key, content.read_bytes()))
    links = 1 if stat.S_ISDIR(mode) else numbers["Links"]
    return Fact(f"{mode:o}", numbers["User"], numbers["Group"], links, what, int(time[1], 16) if time else 0,
                tuple(xattrs))  # fmt: skip


def _doubled(text: str) -> str:
    return text.replace('"', '""')


def make_disk(image: Path, label: str, *parts: Path) -> list[int]:
    """A disk with these partitions, ``label`` is dos or gpt; where each begins, in bytes."""
    begins, at = [], MIB
    lines = [f"label: {label}"]
    for part in parts:
        size = part.stat().st_size
        lines.append(f"start={at // 512}, size={size // 512}, type={'L' if label == 'gpt' else '83'}")
        begins.append(at)
        at += -(-size // MIB) * MIB
    with image.open("wb") as file:
        file.truncate(at + MIB)
    run("sfdisk", "-q", image, given="\n".join(lines) + "\n")
    for begin, part in zip(begins, parts, strict=True):
        run("dd", f"if={part}", f"of={image}", "bs=1M", f"seek={begin // MIB}", "conv=notrunc,sparse")
    return begins


def has(*programs: str) -> bool:
    """Whether all of them are here."""
    return all(shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin") for program in programs)

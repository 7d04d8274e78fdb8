"""Edits ext2, ext3 and ext4 in an image with ``debugfs``, which needs neither root nor a mount.

debugfs(8) reads one command a line, cuts lines at 8,191 bytes, ends with status 0 whatever happened, and tells errors
on its standard error: so every line that it says and that is not known to be harmless is an error.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InfrastructureError, InjectFailed
from pytest_lava.inject.entries import Entry
from pytest_lava.inject.filesystem import Node, NodeKind, NotEditable, Placed
from pytest_lava.inject.superblock import SuperBlock, read_superblock
from pytest_lava.programs import run

__all__ = ["Ext4"]

_LINE = 8190  # what debugfs reads at once, without the end of the line
_FAST = 60  # symbolic links shorter than this are in the inode
_HARMLESS = re.compile(rb"debugfs \d.*|debugfs: .*|Allocated inode: \d+|Setting current time to .*|\s*")
_UNKNOWN = re.compile(r"unsupported (?:read-only )?feature")  # EXT2_ET_UNSUPP_FEATURE, EXT2_ET_RO_UNSUPP_FEATURE
_FORMATS: dict[int, NodeKind] = {0o040000: "folder", 0o100000: "file", 0o120000: "symlink"}
_TYPES = {"folder": 0o040000, "file": 0o100000, "char": 0o020000, "block": 0o060000, "fifo": 0o010000}
_XATTR_ROOM = 4096  # a block for the extended attributes of an inode, at most
_SLACK = 256  # blocks for what cannot be foreseen: extents of torn files, one more group


class Ext4:
    """A file system that begins at byte ``offset`` of ``image``; it ends with the file where ``grows``."""

    folds = False

    def __init__(self, image: Path, offset: int, name: str, deadline: Deadline, *, grows: bool = False) -> None:
        self.name = name
        self._image, self._offset, self._deadline, self._grows = image, offset, deadline, grows

    def listings(self, folders: Sequence[str]) -> Mapping[str, Mapping[str, Node]]:
        """See :class:`Editable`."""
        said = self._asked([f"ls -p {_quoted('/' + folder)}" for folder in folders])
        found = {}
        for folder, answer in zip(folders, said, strict=True):
            nodes = {}
            for line in answer.splitlines():
                # /inode/mode/uid/gid/name/size/
                parts = line.split(b"/")
                if len(parts) == 8 and parts[5] not in (b".", b"..", b"") and parts[1] != b"0":
                    kind = _FORMATS.get(int(parts[2], 8) & 0o170000, "other")
                    nodes[parts[5].decode("utf-8", "surrogateescape")] = Node(kind)
            found[folder] = nodes
        return found

    def targets(self, symlinks: Sequence[str]) -> Mapping[str, str]:
        """See :class:`Editable`."""
        said = self._asked([f"stat {_quoted('/' + path)}" for path in symlinks])
        found, slow = {}, []
        for path, answer in zip(symlinks, said, strict=True):
            if match := re.search(rb'^Fast link dest: "(.*)"$', answer, re.MULTILINE | re.DOTALL):
                found[path] = match[1].decode("utf-8", "surrogateescape")
            else:
                slow.append(path)
        for path in slow:
            answer = self._asked([f"cat {_quoted('/' + path)}"])[0]
            found[path] = answer.decode("utf-8", "surrogateescape").strip("\0")
        return found

    def apply(self, placed: Sequence[Placed]) -> Sequence[str]:
        """See :class:`Editable`. The journal of a file system that was not left cleanly is replayed first."""
        self._make_room(placed)
        with tempfile.TemporaryDirectory(dir=self._image.parent, prefix=".inject-") as folder:
            lines = [*_Script(Path(folder), self._link_counts(placed)).lines(placed)]
            for line in lines:
                if len(line) > _LINE or b"\n" in line or b"\r" in line:
                    raise InjectFailed(f"a name that debugfs cannot take (a line break, or too long): {line!r:.200}")
            self._run("-w", b"\n".join(lines) + b"\n")
        return ()

    def prepare(self) -> None:
        """Replay the journal of a file system that was not left cleanly. ``NotEditable`` for what debugfs refuses."""
        block = self._superblock()
        if block.read_only:
            raise NotEditable(f"{self.name} has features that nobody may write to (ext4 with shared blocks)")
        if self._offset + block.blocks * block.block_size > self._image.stat().st_size:
            raise InjectFailed(f"{self.name} ends before its file system does: it was cut off, copy or build it again")
        if block.needs_recovery or not block.clean:
            self._check()

    def _link_counts(self, placed: Sequence[Placed]) -> dict[str, int]:
        """Of files in the image that get one more name."""
        new = {item.entry.path for item in placed}
        paths = sorted({item.entry.target for item in placed if item.entry.kind == "link"} - new)
        said = self._asked([f"stat {_quoted('/' + path)}" for path in paths]) if paths else []
        counts = {}
        for path, answer in zip(paths, said, strict=True):
            match = re.search(rb"^Links: (\d+)", answer, re.MULTILINE)
            counts[path] = int(match[1]) if match else 1
        return counts

    def _make_room(self, placed: Sequence[Placed]) -> None:
        block = self._superblock()
        blocks, inodes = _needs(placed, block.block_size)
        if blocks <= block.free_blocks and inodes <= block.free_inodes:
            return
        # inodes come with groups of blocks, and a group costs its tables
        more = max(blocks - block.free_blocks, 0)
        more += max(inodes - block.free_inodes, 0) * block.blocks_per_group // block.inodes_per_group
        more += more // 16 + block.blocks_per_group
        size = (block.blocks + more) * block.block_size
        if not self._grows:
            raise InjectFailed(
                f"{self.name} is too small: {blocks * block.block_size >> 20} MiB and {inodes} files are to go in, "
                f"{block.free_blocks * block.block_size >> 20} MiB and {block.free_inodes} are free; "
                "make the partition larger"
            )
        with self._image.open("r+b") as file:
            file.truncate(max(size, self._image.stat().st_size))
        self._check()
        done = run(["resize2fs", "-f", self._image.name], self._deadline, cwd=self._image.parent)
        if done.returncode:
            raise InjectFailed(
                f"{self.name} is too small, and resize2fs could not make it larger: {_last(done.stderr)}",
                evidence=done.stderr.decode("utf-8", "replace"),
            )

    def _superblock(self) -> SuperBlock:
        found = read_superblock(self._image, self._offset)
        if found is None:
            raise NotEditable(f"{self.name} is no ext2, ext3 or ext4 any more")
        return found

    def _check(self) -> None:
        """Repair what an unclean end left; status 1 and 2 say that this was done."""
        done = run(["e2fsck", "-fy", self._device], self._deadline, cwd=self._image.parent)
        if done.returncode & ~3:
            raise InjectFailed(
                f"{self.name} is damaged, and e2fsck cannot repair it: {_last(done.stdout)}",
                evidence=done.stdout.decode("utf-8", "replace"),
            )

    @property
    def _device(self) -> str:
        """A name without a path: a question mark begins an option of libext2fs."""
        if "?" in self._image.name:
            raise InjectFailed(f"{self._image.name} has a question mark in its name: call it something else")
        return f"{self._image.name}?offset={self._offset}" if self._offset else self._image.name

    def _asked(self, commands: Sequence[str]) -> list[bytes]:
        """What each command says."""
        script = b"\n".join(command.encode("utf-8", "surrogateescape") for command in commands) + b"\n"
        said = self._run("-c", script)
        answers = re.split(rb"^debugfs: .*\n", said, flags=re.MULTILINE)
        if len(answers) != len(commands) + 1:
            raise InfrastructureError(f"debugfs did not answer every question about {self.name}")
        return answers[1:]

    def _run(self, mode: str, script: bytes) -> bytes:
        done = run(["debugfs", mode, "-f", "/dev/stdin", self._device], self._deadline, cwd=self._image.parent,
                   given=script)  # fmt: skip
        said = done.stderr.splitlines() + (done.stdout.splitlines() if mode == "-w" else [])
        wrong = [line for line in said if not _HARMLESS.fullmatch(line)]
        if wrong or done.returncode:
            first = wrong[0].decode("utf-8", "replace") if wrong else f"exit status {done.returncode}"
            if _UNKNOWN.search(first):
                raise NotEditable(f"{self.name} has features that debugfs of this machine does not know")
            evidence = b"\n".join(wrong[:50]).decode("utf-8", "replace")
            raise InjectFailed(f"debugfs could not edit {self.name}: {first.strip()}", evidence=evidence)
        return done.stdout


class _Script:
    """The commands for debugfs.

    What is made is made in the current folder, which changes: ``write`` and ``mknod`` know no other place, and no
    command has to look for a path again. Times come from its clock, which is set to that of each entry, and modes of
    files from the files: an inode that is written once is written fast.
    """

    def __init__(self, folder: Path, links: Mapping[str, int]) -> None:
        self._folder = folder
        self._values = 0
        self._clock = 0
        # how many names what a path leads to has: one counter for all of its names
        self._names = {path: [count] for path, count in links.items()}

    def lines(self, placed: Sequence[Placed]) -> Iterator[bytes]:
        current = ""
        for item in placed:
            entry = item.entry
            parent, _, name = entry.path.rpartition("/")
            if parent != current:
                yield _line("cd", f"/{parent}")
                current = parent
            if item.over is not None:
                yield _line("rm", f"./{name}")
                if gone := self._names.pop(entry.path, None):
                    gone[0] -= 1
            if entry.mtime > 0 and entry.mtime != self._clock:
                self._clock = entry.mtime
                yield f"set_current_time @{entry.mtime}".encode()
            yield from self._made(entry, name)
        yield f"set_current_time @{int(time.time())}".encode()  # which the superblock takes

    def _made(self, entry: Entry, name: str) -> Iterator[bytes]:
        here = f"./{name}"  # a name in < > would be the number of an inode
        mode = entry.mode
        match entry.kind:
            case "folder":
                yield _line("mkdir", name)
                mode = 0o755
            case "file":
                assert entry.content is not None
                yield _line("write", str(entry.content), name)
                mode = entry.content.stat().st_mode & 0o7777
            case "symlink":
                yield _line("symlink", name, entry.target)
            case "link":
                names = self._names.setdefault(entry.target, [1])
                names[0] += 1
                self._names[entry.path] = names
                yield _line("ln", f"/{entry.target}", name)
                yield _line("sif", here, "links_count", str(names[0]))  # which ln leaves as it was
                return
            case "fifo":
                yield _line("mknod", name, "p")
                mode = -1
            case _:
                yield _line("mknod", name, entry.kind[0], *(str(number) for number in entry.device))
                mode = -1
        if mode != entry.mode:
            yield _line("sif", here, "mode", f"0{_TYPES[entry.kind] | entry.mode:o}")
        for field, value in (("uid", entry.uid), ("gid", entry.gid)):
            if value:
                yield _line("sif", here, field, str(value))
        if entry.mtime <= 0:
            yield _line("sif", here, "mtime", "@0")
        for key, content in entry.xattrs:
            self._values += 1
            held = self._folder / str(self._values)
            held.write_bytes(content)
            yield _line("ea_set", "-f", str(held), here, key)


def _needs(placed: Sequence[Placed], block_size: int) -> tuple[int, int]:
    """Blocks and inodes, not too few: folders fill up, and what is replaced goes only when the new one is named."""
    blocks, inodes = _SLACK, 0
    for item in placed:
        entry = item.entry
        inodes += entry.kind != "link"
        data = -(-entry.size // block_size)
        blocks += data + data // 512 + (entry.kind == "folder" or len(entry.target) >= _FAST)
        blocks += (len(entry.path) + 16) // block_size + (-(-_XATTR_ROOM // block_size) if entry.xattrs else 0)
    blocks += sum(len(item.entry.path.rpartition("/")[2]) + 12 for item in placed) * 2 // block_size
    return blocks, inodes


def _line(command: str, *words: str) -> bytes:
    return " ".join([command, *map(_quoted, words)]).encode("utf-8", "surrogateescape")


def _quoted(word: str) -> str:
    """In quotation marks; one inside is written twice (ss_parse of libss)."""
    return '"' + word.replace('"', '""') + '"'


def _last(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it does not say why"

"""What goes into an image, as data: an ordered list of additions, read from the options that ask for them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pytest_lava.arguments import without_secret
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.cpio import open_tar
from pytest_lava.images.deb import read_package
from pytest_lava.images.memo import remembered, sha256_of

__all__ = ["Addition", "Kind", "check", "identity", "modules_tree", "parse_addition"]

Kind = Literal["file", "tree", "tar", "deb"]

#: a path on the board begins with one slash, so that URLs keep theirs; a part without a slash behind it is the mode
_FILE = re.compile(r"(?P<source>.+?):(?P<target>/(?!/).*?)(?::(?P<mode>[^:/]*))?")
_OVERLAY = re.compile(r"(?P<source>.+?)(?::(?P<target>/(?!/).*))?")
_MODE = re.compile(r"0?[0-7]{3,4}")

#: architecture of a board -> Debian's words for packages that run there
_DEBIAN = {
    "arm64": ("arm64", "armhf", "armel"),
    "arm": ("armhf", "armel"),
    "x86_64": ("amd64", "i386"),
    "x86": ("i386",),
    "riscv64": ("riscv64",),
    "ppc64le": ("ppc64el",),
    "s390x": ("s390x",),
    "mips64el": ("mips64el",),
    "loong64": ("loong64",),
}


@dataclass(frozen=True)
class Addition:
    """One thing to put into an image. ``option`` is what the user wrote, for messages.

    ========= ============================================ ==========================================
    kind      what it is                                   modes and owners
    ========= ============================================ ==========================================
    file      a file that becomes ``target``               its own or ``mode``, owned by root
    tree      a folder whose content goes below ``target`` its own, owned by root
    tar       an archive to unpack below ``target``        as in the archive
    deb       a Debian package                             as in the package
    ========= ============================================ ==========================================
    """

    kind: Kind
    artefact: Artefact
    option: str
    target: str = "/"
    mode: int | None = None
    fetched: Path | None = None

    @property
    def source(self) -> Path:
        """The file or folder on this machine; what has a URL must be :meth:`fetched <located>` before."""
        path = self.fetched or self.artefact.path
        if path is None:
            raise ValueError(f"{self.option} was not fetched")
        return path

    def located(self, path: Path) -> Addition:
        """The same with its source at ``path``."""
        return replace(self, fetched=path)


def _file(text: str) -> Addition:
    """``SRC:DST[:MODE]``: a file, or a folder with all that is in it. ``ConfigurationError``."""
    option = without_secret(f"--file {text}")
    match = _FILE.fullmatch(text)
    if not match:
        raise ConfigurationError(
            f"{option}: write SRC:DST[:MODE] with an absolute path on the board, as a.conf:/etc/a.conf:644"
        )
    mode = match["mode"]
    if mode is not None and not _MODE.fullmatch(mode):
        raise ConfigurationError(f"{option}: {mode!r} is no mode; write three or four octal digits, as 755")
    target, artefact = _target(match["target"], option), Artefact.parse(match["source"], "--file")
    folder = artefact.path is not None and artefact.path.is_dir()
    if match["target"].endswith("/") and not folder:
        target = f"{target.rstrip('/')}/{artefact.member.rsplit('/', 1)[-1] or artefact.name}"
    if folder and mode is not None:
        raise ConfigurationError(f"{option}: a folder keeps the modes of its files; leave out :{mode}")
    if target == "/" and not folder:
        raise ConfigurationError(f"{option}: write a path below /")
    return Addition("tree" if folder else "file", artefact, option, target, int(mode, 8) if mode else None)


def _overlay(text: str) -> Addition:
    """``TAR[:/path]``: an archive, plain, gz, bz2, xz or zst. ``ConfigurationError``."""
    match = _OVERLAY.fullmatch(text)
    if not match:
        raise ConfigurationError(f"--overlay {text}: write TAR[:/path]")
    option = without_secret(f"--overlay {text}")
    return Addition(
        "tar", Artefact.parse(match["source"], "--overlay"), option, _target(match["target"] or "/", option)
    )


def _deb(text: str) -> Addition:
    """A Debian package. ``ConfigurationError``."""
    return Addition("deb", Artefact.parse(text, "--deb"), without_secret(f"--deb {text}"))


def modules_tree(folder: Path) -> Addition:
    """Kernel modules, of which ``folder`` has ``lib/modules/RELEASE`` with the tables that modprobe reads."""
    return Addition("tree", Artefact.of(folder), f"modules in {folder}")


def parse_addition(option: str, text: str) -> Addition:
    """What ``--deb``, ``--overlay`` or ``--file`` says. ``ConfigurationError``."""
    parse = {"--deb": _deb, "--overlay": _overlay, "--file": _file}[option]
    return parse(text)


def check(addition: Addition, arch: str, cache: Path) -> None:
    """See that a local addition can be read and fits a board of ``arch``; ``ConfigurationError`` says what to change.

    Of an archive only the beginning is read. What has a URL, or is in an archive, is checked once it is there.
    """
    if addition.fetched is None and (addition.artefact.path is None or addition.artefact.member):
        return
    path, option = addition.source, addition.option
    if not path.exists():
        raise ConfigurationError(f"{option}: there is no such file: {path}")
    if path.is_dir() and addition.kind != "tree":
        raise ConfigurationError(f"{option}: {path} is a folder; give a {_NEEDED[addition.kind]}")
    if not path.is_file() and not path.is_dir():
        raise ConfigurationError(f"{option}: {path} is no regular file")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{option}: {path} cannot be read; check its permissions")
    if addition.kind == "tar":
        remembered(path, "tar", _begins_as_tar, cache)
    elif addition.kind == "deb":
        found = remembered(path, "deb-arch", lambda deb: read_package(deb).architecture, cache)
        fitting = _DEBIAN.get(arch)
        if found != "all" and fitting is not None and found not in fitting:
            raise ConfigurationError(f"{option}: this package is for {found}, the board needs one for {fitting[0]}")


_NEEDED = {"file": "file", "tar": "tar archive", "deb": "Debian package"}


def identity(addition: Addition, cache: Path) -> str:
    """Words that change whenever what goes into the image does.

    A folder is known by names, sizes, modes, inodes and times of what is in it: its files are not read.
    """
    path = addition.source
    content = "\n".join(_listed(path)) if path.is_dir() else sha256_of(path, cache)
    mode = "" if addition.mode is not None or addition.kind != "file" else f"{path.stat().st_mode:o}"
    times = path.stat().st_mtime_ns if addition.kind == "file" else ""
    return f"{addition.kind}\0{addition.target}\0{addition.mode}\0{mode}\0{times}\0{path.name}\0{content}"


def _target(text: str, option: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or "\n" in text or "\0" in text:
        raise ConfigurationError(f"{option}: write the path on the board without .. and line breaks")
    return "/" + "/".join(parts)


def _begins_as_tar(path: Path) -> bool:
    with open_tar(path) as tar:
        tar.next()
    return True


def _listed(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        facts = f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        yield f"{facts} {entry.path!r}"
        if entry.is_dir(follow_symlinks=False):
            yield from _listed(Path(entry.path))

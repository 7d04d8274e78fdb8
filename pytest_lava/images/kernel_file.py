"""A kernel that is one file, here or behind a URL: plain or packed, a Debian package, or a tarball with one in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.contents import is_tar
from pytest_lava.images.deb import is_deb, read_package
from pytest_lava.images.fetch import Fetched
from pytest_lava.images.kernel import architecture_of, inspect
from pytest_lava.images.kernel_parts import KernelParts, Origin, Workshop, content_of
from pytest_lava.images.kernel_unpack import Collected, collect, head_of, is_packed, plain_kernel

__all__ = ["DEBIAN", "FileSource", "file_source", "opened"]

#: Debian's words for architectures -> ours
DEBIAN = {"arm64": "arm64", "amd64": "x86_64", "armhf": "arm", "armel": "arm", "i386": "x86", "riscv64": "riscv64"}
_PACKAGE = re.compile(r"linux-image-([^_/]+)_[^/]*?(?:_([a-z0-9]+))?\.deb")
#: part of every key: raise it when the same input gives another folder
_RECIPE = "kernel-2"
#: seconds for a look into a packed file, before anything else is done
_LOOK = 60.0


@dataclass(frozen=True)
class FileSource:
    """See :class:`~pytest_lava.images.kernel_parts.KernelSource`."""

    artefact: Artefact
    name: str
    arch: str = ""
    release: str = ""
    simple: bool = False

    @property
    def place(self) -> str:
        """The folder that a local file is in, else the folder's or host's part of the URL."""
        if self.artefact.path is not None:
            return self.artefact.path.parent.name
        return self.artefact.url.rsplit("/", 2)[-2]

    def parts(self, workshop: Workshop) -> KernelParts:
        """Fetch and unpack it."""
        fetched = workshop.fetcher.fetch(self.artefact, unpack=False, deadline=workshop.deadline)
        with content_of(f"--kernel {self.artefact}", fetched.path):
            return opened(fetched, workshop)


def file_source(artefact: Artefact, cache: Path) -> FileSource:
    """What a user named, as far as it can be seen from here. ``ConfigurationError`` if it can be no kernel."""
    path = artefact.path
    packaged = _PACKAGE.fullmatch(artefact.name)
    name = packaged[1] if packaged else artefact.name
    if path is None:
        return FileSource(artefact, name, DEBIAN.get(packaged[2] or "", "") if packaged else "")
    if not path.is_file():
        inspect(path, cache)  # says what is wrong with it
    if artefact.member:
        return FileSource(artefact, artefact.member.rsplit("/", 1)[-1])
    try:
        return _seen(artefact, path, name, cache)
    except OSError as error:
        raise ConfigurationError(f"--kernel {artefact} cannot be read: {error.strerror}") from error
    except ConfigurationError as error:
        text = str(error)
        raise ConfigurationError(text if text.startswith("--kernel") else f"--kernel {artefact}: {text}") from error


def _seen(artefact: Artefact, path: Path, name: str, cache: Path) -> FileSource:
    if is_deb(path):
        return _package(artefact, name)
    head = _head(path)
    inside = head_of(path, Deadline.after(_LOOK)) if is_packed(head) else head
    if is_tar(inside[:512]):
        return FileSource(artefact, name)
    if is_packed(head):
        return FileSource(artefact, name, architecture_of(inside, path))
    found = inspect(path, cache)
    return FileSource(artefact, name, found.arch, found.release or "", simple=artefact.checksum is None)


def opened(fetched: Fetched, workshop: Workshop) -> KernelParts:
    """The parts of a file that is here. ``ConfigurationError`` if there is no kernel in it."""
    path, deadline = fetched.path, workshop.deadline
    head = _head(path)
    origin = Origin(str(fetched.artefact), fetched.sha256)
    archive = is_deb(path) or is_tar(head) or (is_packed(head) and is_tar(head_of(path, deadline)[:512]))
    if not archive and not is_packed(head):
        return KernelParts(path, origin)
    key = workshop.key(_RECIPE, fetched.sha256, fetched.artefact.member)
    name = fetched.artefact.name

    def unpack(target: Path) -> None:
        with target.open("wb") as out:
            out.writelines(plain_kernel(path, deadline))

    if not archive:
        return KernelParts(workshop.shelf.make("kernels", key, unpack, name=name, deadline=deadline), origin)

    def take_out(target: Path) -> None:
        collect(path, target, deadline, keep_debug=workshop.keep_debug)

    found = Collected(workshop.shelf.make("kernels", key, take_out, name=name, deadline=deadline))
    if is_deb(path):
        package = read_package(path)
        origin = Origin(origin.text, origin.sha256, f"{package.name} {package.version}")
    return KernelParts(found.kernel, origin, found.modules, found.dtbs, found.release)


def _package(artefact: Artefact, name: str) -> FileSource:
    """A local package, as far as its control archive tells: the rest takes a second to unpack."""
    assert artefact.path is not None
    package = read_package(artefact.path)
    kernels = [file for file in package.files if re.match(r"boot/vmlinu[xz]-", file)]
    if package.files and not kernels:
        raise ConfigurationError(
            f"--kernel {artefact} is the package {package.name}, which has no boot/vmlinuz in it: give the package of "
            "one kernel (linux-image-6...), not the one that only depends on it"
        )
    if package.architecture not in DEBIAN:
        raise ConfigurationError(f"--kernel {artefact} is a package for {package.architecture}, which no board has")
    release = re.sub(r"boot/vmlinu[xz]-", "", kernels[0]) if len(kernels) == 1 else ""
    return FileSource(artefact, name, DEBIAN[package.architecture], release)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)

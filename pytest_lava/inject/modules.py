"""Kernel modules among entries: where a package leaves the tables of modprobe to its scripts, depmod makes them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import InjectFailed, ToolMissing
from pytest_lava.inject.entries import Entry, Staging
from pytest_lava.programs import find, run

__all__ = ["with_depmod"]

_MODULE = re.compile(r"(?:.*/)?lib/modules/([^/]+)/.+\.ko(?:\.gz|\.xz|\.zst)?")
#: seconds for depmod: 3,500 modules take it two
_LIMIT = 300.0
_PURPOSE = "to make the tables of kernel modules"


def with_depmod(entries: Iterable[Entry], staging: Staging) -> Iterator[Entry]:
    """The entries, and for each kernel release whose modules have no ``modules.dep`` what ``depmod`` makes of them.

    ``ToolMissing`` if that program (Debian: kmod) is not here, ``InjectFailed`` if it fails.
    """
    listed = list(entries)
    yield from listed
    files = {entry.path: entry for entry in listed if entry.kind == "file"}
    releases: dict[str, str] = {}
    for path in files:
        if match := _MODULE.fullmatch(path):
            releases.setdefault(match[1], path[: match.start(1)])
    for release, base in releases.items():
        if f"{base}{release}/modules.dep" not in files:
            yield from _made(release, base, files, staging)


def _made(release: str, base: str, files: dict[str, Entry], staging: Staging) -> Iterator[Entry]:
    if find("depmod") is None:
        raise ToolMissing(
            f"the modules of {release} have no modules.dep, and depmod is missing: "
            "install it (Debian: apt-get install kmod), or give what 'make modules_install' made"
        )
    prefix = f"{base}{release}/"
    if (root := _root(prefix, files)) is not None:
        yield from _tables(root / base.removesuffix("lib/modules/"), release, prefix, files, staging)
        return
    with tempfile.TemporaryDirectory(dir=staging.folder) as top:
        folder = Path(top, "lib/modules", release)
        for path, entry in files.items():
            if path.startswith(prefix) and entry.content is not None:
                link = folder / path.removeprefix(prefix)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(entry.content.absolute())
        yield from _tables(Path(top), release, prefix, files, staging)


def _root(prefix: str, files: dict[str, Entry]) -> Path | None:
    """The folder below which all files of a release lie under their own names, if there is one."""
    roots = set()
    for path, entry in files.items():
        if path.startswith(prefix):
            whole = str(entry.content)
            roots.add(whole.removesuffix(f"/{path}") if whole.endswith(f"/{path}") else "")
    return Path(roots.pop()) if len(roots) == 1 and "" not in roots else None


def _tables(top: Path, release: str, prefix: str, files: dict[str, Entry], staging: Staging) -> Iterator[Entry]:
    """What depmod makes of ``top/lib/modules/RELEASE``; what came with the modules is there already."""
    done = run(
        ["depmod", "-b", str(top.absolute()), release], Deadline.after(_LIMIT), cwd=staging.folder, purpose=_PURPOSE
    )
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip()
        raise InjectFailed(f"depmod cannot read the modules of {release}: {why}")
    for made in sorted((top / "lib/modules" / release).glob("modules.*")):
        if f"{prefix}{made.name}" not in files:
            content = staging.new()
            made.rename(content)
            status = content.stat()
            yield Entry(f"{prefix}{made.name}", "file", 0o644, content=content, size=status.st_size,
                        mtime=int(status.st_mtime))  # fmt: skip

"""What is left for the running board: packages for its own dpkg, and all of it where no image could be edited."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytest_lava.console.shell import Shell
from pytest_lava.errors import OperationFailed
from pytest_lava.events import EventLog
from pytest_lava.inject.additions import Addition
from pytest_lava.inject.entries import Entry, Staging
from pytest_lava.inject.inject import expand

__all__ = ["deliver", "install"]

#: seconds that the board has for each
_ASK, _UNPACK, _INSTALL = 60.0, 600.0, 1800.0
_TYPES = {
    "folder": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "link": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE,
}  # fmt: skip
#: configuration files of the package win: the package is what is under test, and nobody is there to be asked
_DPKG = """\
set --; for p in {paths}; do [ -e "$p" ] && set -- "$@" "$p"; done
[ $# = 0 ] && exit 0
DEBIAN_FRONTEND=noninteractive dpkg -i --force-confnew "$@" </dev/null && rm -f "$@"
"""


def deliver(shell: Shell, additions: Sequence[Addition], events: EventLog) -> None:
    """Bring additions to a booted board and unpack them there as root. Folders that it has stay as they are.

    ``OperationFailed`` if the board's tar or dpkg fails; errors of ``Shell.put``.
    """
    dpkg = shell.run("[ -e /var/lib/dpkg/status ] && command -v dpkg", timeout=_ASK).returncode == 0
    with tempfile.TemporaryDirectory(prefix="pytest-lava-") as folder:
        staging = Staging(Path(folder))
        entries, packages, remarks = expand(additions, staging, dpkg=dpkg)
        for remark in remarks:
            events.emit(remark, level="warning")
        folders = list(dict.fromkeys(f"/{entry.path}" for entry in entries if entry.kind == "folder"))
        there = _folders_there(shell, folders)
        archive = staging.new()
        attributes = _write_tar(archive, [entry for entry in entries if f"/{entry.path}" not in there])
        _unpack(shell, archive, attributes)
    install(shell, packages)


def install(shell: Shell, packages: Sequence[str]) -> None:
    """Have the board's dpkg install packages that lie on it, with their scripts; those installed are gone then.

    A board that starts anew from the same image has them again. ``OperationFailed`` with what dpkg said.
    """
    if packages:
        command = _DPKG.format(paths=" ".join(map(shlex.quote, packages)))
        _checked(shell, command, "dpkg could not install a package on the board", _INSTALL)


def _folders_there(shell: Shell, folders: Sequence[str]) -> set[str]:
    """Which of them the board has, perhaps behind a symbolic link."""
    if not folders:
        return set()
    listed = "".join(f"{folder}\n" for folder in folders)
    script = 'n=0; while IFS= read -r p; do [ -d "$p" ] && echo $n; n=$((n+1)); done'
    found = shell.run(script, input=listed, timeout=_ASK).stdout.split()
    return {folders[int(number)] for number in found}


def _write_tar(archive: Path, entries: Sequence[Entry]) -> bool:
    """Write them; whether there are extended attributes."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.type, member.mode, member.mtime = _TYPES[entry.kind], entry.mode, entry.mtime
            member.uid, member.gid, member.linkname = entry.uid, entry.gid, entry.target
            member.devmajor, member.devminor = entry.device
            member.pax_headers = {
                f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in entry.xattrs
            }
            if entry.content is None:
                tar.addfile(member)
                continue
            member.size = entry.size
            with entry.content.open("rb") as file:
                tar.addfile(member, file)
    return any(entry.xattrs for entry in entries)


def _unpack(shell: Shell, archive: Path, attributes: bool) -> None:
    where = shell.check("mktemp -d /tmp/lava-XXXXXX", timeout=_ASK).stdout.strip()
    remote = f"{where}/additions.tar"
    try:
        shell.put(archive, remote)
        options = "--xattrs --xattrs-include='*'" if attributes else ""
        command = f"cd / && tar -x -p -f {shlex.quote(remote)} {options}"
        _checked(shell, command, "the board's tar could not unpack what goes into its image", _UNPACK)
    finally:
        shell.run(f"rm -rf {shlex.quote(where)}", timeout=_ASK)


def _checked(shell: Shell, command: str, what: str, timeout: float) -> None:
    done = shell.run(command, timeout=timeout)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        last = said.splitlines()[-1] if said else f"status {done.returncode}"
        raise OperationFailed(f"{what}: {last}", evidence=f"{done.stdout}{done.stderr}")

"""Brings home what a kernel stored of its end where a restart leaves it (pstore), and makes room for the next one.

Documentation/ABI/testing/pstore, Documentation/admin-guide/ramoops.rst: the files are there after the next boot, as the
kernel finds them in reserved memory, EFI variables, ACPI ERST or on a disk; removing a file frees its place.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_lava.console.shell import Shell

__all__ = ["FOLDER", "Stored", "collect"]

FOLDER = "/sys/fs/pstore"
_SECONDS = 60.0  # for one file: 64 kB at 115200 baud are 6
_LARGEST = 1 << 20  # bytes of one file
_MOST = 50  # files at a time
# only builtins where nothing is stored: it is asked after each boot
# the backend: fs/pstore/platform.c, "(null)" where there is none
_LIST = f"""[ -d {FOLDER} ] || exit 0
q=; {{ read -r q </sys/module/pstore/parameters/backend; }} 2>/dev/null; echo "${{q#(null)}}"
m=; while read -r _ where _; do [ "$where" = {FOLDER} ] && m=1; done </proc/mounts
[ "$m" ] || mount -t pstore pstore {FOLDER} 2>/dev/null
for file in {FOLDER}/*; do [ -f "$file" ] && echo "${{file##*/}}"; done
:"""
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Stored:
    """The files of a board by name; ``trouble`` in a sentence each, for what was not brought home whole.

    ``place`` is what its kernel stores them by (``ramoops``, ``erst``, ``efi_pstore``), empty if it does not.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()
    place: str = ""


def collect(shell: Shell) -> Stored:
    """Read all files and remove them on the board. ``LavaError`` as :meth:`Shell.run` raises it."""
    place, *names = shell.run(_LIST, timeout=_SECONDS).stdout.splitlines() or [""]
    files: dict[str, bytes] = {}
    trouble = []
    for name in names[:_MOST]:
        if not _NAME.fullmatch(name):
            continue
        path = shlex.quote(f"{FOLDER}/{name}")
        read = shell.run(f"cat {path}", timeout=_SECONDS, max_output=_LARGEST)
        if read.returncode:
            trouble.append(f"{name} cannot be read: {read.stderr.strip()}")
            continue
        files[name] = read.stdout_bytes
        removed = shell.run(f"rm {path}", timeout=_SECONDS)
        if removed.returncode:
            trouble.append(f"{name} cannot be removed, and will be found again: {removed.stderr.strip()}")
    if len(names) > _MOST:
        trouble.append(f"{len(names) - _MOST} more files are left for the next boot")
    return Stored(files, tuple(trouble), place.strip())

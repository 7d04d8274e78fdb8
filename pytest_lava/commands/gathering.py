"""Brings files of the board here by patterns: whatever a pattern matches when it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_lava.console.shell import Shell
from pytest_lava.errors import ConfigurationError, LavaError

__all__ = ["Gathered", "check_pattern", "gather"]

_SHORT = 60.0  # seconds for a list of names
_MOST = 200  # files of one call
#: what a shell expands in a name; a class may hold what stands for itself in a pattern
_GLOB = re.compile(r"\*|\?|\[[!^]?[\w.,:=@+-]+\]")
_LIST = (
    'for f in {}; do if [ -f "$f" ]; then printf \'f%s\\0\' "$f"; elif [ -d "$f" ]; then printf \'d%s\\0\' "$f"; '
    'elif [ -e "$f" ]; then printf \'s%s\\0\' "$f"; fi; done'
)


@dataclass(frozen=True)
class Gathered:
    """Files by the names that they had on the board, and sentences about what could not be had."""

    files: tuple[tuple[str, Path], ...]
    remarks: tuple[str, ...]


def check_pattern(pattern: str) -> None:
    """``ConfigurationError`` if it names nothing for sure."""
    if not pattern.startswith("/") or "\0" in pattern:
        raise ConfigurationError(
            f"--collect-file {pattern!r}: give the whole path of the file on the board: /var/log/messages, /tmp/*.log"
        )


def gather(shell: Shell, patterns: Iterable[str], folder: Path) -> Gathered:
    """Get the files that match, 200 at most, into ``folder``, which is made if there are any.

    What is wrong with one file is a remark. Raises what a shell raises if the board or its line dies.
    """
    files: list[tuple[str, Path]] = []
    remarks: list[str] = []
    for pattern in patterns:
        names = _names(shell, pattern)
        if not names:
            remarks.append(f"there is no {pattern} on the board")
        for kind, name in names:
            if kind != "f":
                what = f"a folder: {name}/* are its files" if kind == "d" else "no regular file"
                remarks.append(f"{name} is {what}")
            elif any(name == known for known, _ in files):
                continue
            elif len(files) == _MOST:
                remarks.append(f"more than {_MOST} files match: {name} and what comes behind it are left out")
                break
            else:
                folder.mkdir(parents=True, exist_ok=True)
                here = folder / f"{len(files)}-{re.sub(r'[^A-Za-z0-9_.-]', '_', name.rsplit('/', 1)[-1])[-80:]}"
                try:
                    files.append((name, shell.get(name, here)))
                except LavaError as error:
                    if error.recovers:
                        raise
                    remarks.append(str(error))
    return Gathered(tuple(files), tuple(remarks))


def _names(shell: Shell, pattern: str) -> list[tuple[str, str]]:
    """What matches, with its kind: file, directory, something special."""
    listed = shell.run(_LIST.format(_quoted(pattern)), timeout=_SHORT).stdout_bytes
    found = [one.decode(errors="replace") for one in listed.split(b"\0") if one]
    return [(one[0], one[1:]) for one in found]


def _quoted(pattern: str) -> str:
    """For a shell: all but wildcards stands for itself."""
    words, at = "", 0
    for found in _GLOB.finditer(pattern):
        words += _literal(pattern[at : found.start()]) + found[0]
        at = found.end()
    return words + _literal(pattern[at:])


def _literal(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'" if text else ""

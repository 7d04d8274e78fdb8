"""Which files of a board some patterns mean: expanded by its own shell, in one round trip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_lava.console.shell import Shell
from pytest_lava.transfer.boardside import quote

__all__ = ["Found", "find_files"]

_GLOB = re.compile(r"(\*|\?|\[[\w!^.,:+-]+\])")
# a pattern that matches nothing stays as it is; what it means is told by words that no name begins with
_LOOK = """for f in {words}; do
if [ -f "$f" ]; then [ -r "$f" ] && printf '+%s\\0' "$f" || printf 'r%s\\0' "$f"
elif [ -d "$f" ]; then printf 'd%s\\0' "$f"
elif [ -e "$f" ]; then printf 'o%s\\0' "$f"; else printf 'n%s\\0' "$f"; fi; done 2>/dev/null"""
_WHY = {
    "r": "it cannot be read",
    "d": "it is a folder: write {name}/* for the files in it",
    "o": "it is neither a file nor a folder",
    "n": "there is no such file",
}
_OUTPUT = 1 << 20


@dataclass(frozen=True)
class Found:
    """Absolute or as the patterns were, in their order and each once; ``trouble`` in a sentence for each other name."""

    files: tuple[str, ...]
    trouble: tuple[str, ...] = ()


def find_files(shell: Shell, patterns: Sequence[str], timeout: float, *, most: int) -> Found:
    """The files that ``patterns`` (``*``, ``?``, ``[...]``) mean, at most ``most`` of them.

    A folder that a pattern with ``*`` meets is passed over; one that is named is told. ``LavaError`` as
    :meth:`Shell.run` raises it, ``ValueError`` for a pattern with a NUL.
    """
    if not patterns:
        return Found(())
    words = " ".join(_word(pattern) for pattern in patterns)
    said = shell.run(_LOOK.format(words=words), timeout=timeout, max_output=_OUTPUT).stdout_bytes
    files: dict[str, None] = {}
    trouble: dict[str, None] = {}
    for told in said.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        kind, name = told[:1], told[1:]
        if kind == "+":
            files[name] = None
        elif kind in _WHY and (kind in "rn" or name in patterns):
            trouble[f"{name} was not collected: {_WHY[kind].format(name=name.rstrip('/'))}"] = None
    kept = tuple(files)[:most]
    if len(files) > most:
        trouble[f"only the first {most} of {len(files)} files were collected, up to {kept[-1]}"] = None
    return Found(kept, tuple(trouble))


def _word(pattern: str) -> str:
    """A word in which the shell expands what is a pattern, and nothing else."""
    return "".join(_quoted(_GLOB.split(pattern)))


def _quoted(parts: Iterable[str]) -> Iterable[str]:
    for number, part in enumerate(parts):
        if part:
            yield part if number % 2 else quote(part)

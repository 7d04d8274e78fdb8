"""An installed kselftest tree on a board: what it lists, what of that is wanted, and how one program is run.

The tree is what ``make -C tools/testing/selftests install`` makes: ``run_kselftest.sh`` and ``kselftest-list.txt``,
which has a line ``COLLECTION:TEST`` for each program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

__all__ = ["KselftestTree"]

_LINE = re.compile(r"[\w./+-]+:[^\s:]+")


class KselftestTree:
    """The one in ``folder``, a path on the board."""

    def __init__(self, folder: str) -> None:
        self._folder = folder.rstrip("/") or "/"

    @property
    def list_command(self) -> str:
        """What prints all its programs. Old runners have no ``--list``."""
        return f"cd {shlex.quote(self._folder)} && test -x run_kselftest.sh && cat kselftest-list.txt"

    def chosen(
        self, listed: str, collections: Sequence[str], tests: Sequence[str], skip: Sequence[str]
    ) -> tuple[list[str], str]:
        """Those of the programs that are wanted, and what is wrong with the wish or with the tree."""
        known = [line.strip() for line in listed.splitlines() if _LINE.fullmatch(line.strip())]
        if not known:
            return [], (
                f"there is no installed kselftest tree in {self._folder}: it has run_kselftest.sh and "
                "kselftest-list.txt, made by 'make -C tools/testing/selftests install'"
            )
        there = {one.partition(":")[0] for one in known}
        if bad := [one for one in collections if one not in there]:
            return [], f"the tree has no collection {bad[0]!r}; it has {', '.join(sorted(there))}"
        if bad := [one for one in (*tests, *skip) if one not in known]:
            return [], f"the tree has no test {bad[0]!r}: they are called COLLECTION:TEST, such as {known[0]}"
        wanted = [
            one
            for one in known
            if (not collections and not tests) or one in tests or one.partition(":")[0] in collections
        ]
        return [one for one in dict.fromkeys(wanted) if one not in skip], ""

    def command(self, test: str) -> str:
        """What runs one program. Through a pipe, as the runner opens its output a second time to append to it."""
        return f"cd {shlex.quote(self._folder)} && ./run_kselftest.sh -t {shlex.quote(test)} 2>&1 | cat"

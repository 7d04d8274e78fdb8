"""What a board has, as far as suites of our own ask for it: tools, files, architecture, features, root."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from pytest_lava.console.shell import Shell
from pytest_lava.suites.own_model import Requires

__all__ = ["BoardFacts"]

_SHORT = 60.0  # seconds for what is small


class BoardFacts:
    """Asks the board what it has to; ``arch`` and ``features`` are those of its board file."""

    def __init__(self, shell: Shell, arch: str, features: Collection[str]) -> None:
        self._shell, self._arch, self._features = shell, arch, features

    def lacks(self, needs: Requires) -> str:
        """Why it cannot run what needs this, or nothing."""
        if needs.arch and self._arch not in needs.arch:
            return (
                f"it requires {' or '.join(needs.arch)}, and this board is {self._arch or 'of no known architecture'}"
            )
        for feature in needs.features:
            if feature not in self._features:
                return f"it requires the feature {feature}, which the board file does not list"
        if missing := self._missing(needs):
            return missing
        if needs.check is not None and not self._returns_zero(needs.check):
            return f"it requires that this returns 0: {' '.join(needs.check.split())}"
        return ""

    def _missing(self, needs: Requires) -> str:
        """Asked in one command, as each costs a round trip."""
        asked = [f"command -v {shlex.quote(tool)} >/dev/null 2>&1 || echo 'the program' {shlex.quote(tool)}"
                 for tool in needs.tools]  # fmt: skip
        asked += [f'(set -- {_pattern(file)}; [ -e "$1" ]) || echo {shlex.quote(file)}' for file in needs.files]
        if needs.root:
            asked.append("[ \"$(id -u)\" = 0 ] || echo 'a shell of root'")
        if not asked:
            return ""
        found = self._shell.run("\n".join(asked), timeout=_SHORT).stdout.splitlines()
        return f"it requires {', '.join(found)}, which is not there" if found else ""

    def _returns_zero(self, command: str) -> bool:
        return self._shell.run(f"sh -e -c {shlex.quote(command)}", timeout=_SHORT).returncode == 0


def _pattern(file: str) -> str:
    """Quoted, but for what a shell makes names of."""
    return "".join(part if part in "*?[]" else shlex.quote(part) for part in file)

"""An installed kselftest tree on a board: what it lists, what of that is wanted, how long and how a program is run.

The tree is what ``make -C tools/testing/selftests install`` makes: ``run_kselftest.sh``, ``kselftest-list.txt``, which
has a line ``COLLECTION:TEST`` for each program, and ``COLLECTION/settings`` where the limit is another than 45 s.
Source: tools/testing/selftests/run_kselftest.sh and kselftest/runner.sh of Linux 6.1 and 6.12.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_lava.suites.parsing import ParsedCase

__all__ = ["KselftestTree", "explained", "list_command"]

_PROGRAM = re.compile(r"[\w./+-]+:[^\s:]+")
_SETTING = re.compile(r"(?P<collection>[\w./+-]+)/settings:timeout=(?P<seconds>\d{1,9})\s*")
_TAKES_LIMIT = "run_kselftest.sh takes a limit"
#: the runner writes what programs say to this name. Without udev it is not there, and a file of that name takes it all
_STDOUT = "{ test -h /dev/stdout || test -c /dev/stdout || ln -sf /proc/self/fd/1 /dev/stdout || :; }"
_DEFAULT = 45.0  # kselftest_default_timeout
_REASON = 300  # characters


def list_command(folder: str) -> str:
    """What prints all programs, the limits that collections set, and what the runner can. Old ones lack ``--list``."""
    return (
        f"cd {shlex.quote(folder)} && test -x run_kselftest.sh && cat kselftest-list.txt && "
        "{ grep -s '^timeout=' /dev/null $(cut -d: -f1 kselftest-list.txt | sort -u | sed 's,$,/settings,'); "
        f"! grep -q -e --override-timeout run_kselftest.sh || echo '{_TAKES_LIMIT}'; }}"
    )


@dataclass(frozen=True)
class KselftestTree:
    """The one in ``folder``, a path on the board.

    ``programs`` are ``COLLECTION:TEST``; ``limits`` are the seconds of each of a collection's programs, where 0 is
    none; ``takes_limit`` is whether the runner can be given another limit.
    """

    folder: str
    programs: tuple[str, ...]
    limits: Mapping[str, int]
    takes_limit: bool

    @classmethod
    def read(cls, folder: str, listed: str) -> KselftestTree:
        """From what :func:`list_command` printed."""
        lines = [line.strip() for line in listed.splitlines()]
        settings = [found for line in lines if (found := _SETTING.fullmatch(line))]
        programs = (line for line in lines if _PROGRAM.fullmatch(line) and not _SETTING.fullmatch(line))
        limits = {found["collection"]: int(found["seconds"]) for found in settings}
        return cls(folder, tuple(dict.fromkeys(programs)), limits, _TAKES_LIMIT in lines)

    def chosen(self, collections: Sequence[str], tests: Sequence[str], skip: Sequence[str]) -> tuple[list[str], str]:
        """Those of the programs that are wanted, and what is wrong with the wish or with the tree."""
        if not self.programs:
            return [], (
                f"there is no installed kselftest tree in {self.folder}: it has run_kselftest.sh and "
                "kselftest-list.txt, made by 'make -C tools/testing/selftests install'"
            )
        there = {one.partition(":")[0] for one in self.programs}
        if bad := [one for one in collections if one not in there]:
            return [], f"the tree has no collection {bad[0]!r}; it has {', '.join(sorted(there))}"
        if bad := [one for one in (*tests, *skip) if one not in self.programs]:
            return [], f"the tree has no test {bad[0]!r}: they are called COLLECTION:TEST, such as {self.programs[0]}"
        wanted = [
            one
            for one in self.programs
            if (not collections and not tests) or one in tests or one.partition(":")[0] in collections
        ]
        return [one for one in wanted if one not in skip], ""

    def command(self, test: str, limit: float | None) -> str:
        """What runs one program, for ``limit`` seconds at most if that is given and the runner takes one.

        Through a pipe, as the runner opens its output a second time to append to it.
        """
        most = f"-o {math.ceil(limit)} " if limit is not None and self.takes_limit else ""
        run = f"./run_kselftest.sh {most}-t {shlex.quote(test)} 2>&1 | cat"
        return f"cd {shlex.quote(self.folder)} && {_STDOUT} && {run}"

    def seconds(self, test: str) -> float | None:
        """The limit that the tree itself sets for a program; None is none."""
        return self.limits.get(test.partition(":")[0], _DEFAULT) or None


def explained(case: ParsedCase) -> ParsedCase:
    """A skipped program with a reason. The runner gives none; programs write it and return 4."""
    if case.result != "skip" or case.reason:
        return case
    said = [line.strip("# \t") for line in case.output.splitlines()]
    return replace(case, reason=next((line[:_REASON] for line in reversed(said) if line), ""))

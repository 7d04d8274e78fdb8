"""Files of a test as JUnit viewers link them: a line ``[[ATTACHMENT|path]]`` in its output, in two dialects.

Jenkins (plugin junit-attachments) takes every such line with an absolute path. GitLab wants a path below the project
folder, which has to be uploaded under ``artifacts:paths``, and links the first one of a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lava.results.journal import Line
from pytest_lava.results.record import Case
from pytest_lava.results.run_files import inside

__all__ = ["DIALECTS", "Links"]

DIALECTS = ("none", "gitlab", "jenkins")


@dataclass(frozen=True)
class Links:
    """How files are named: ``gitlab`` from the folder ``base`` on, ``jenkins`` absolutely, or ``none`` at all."""

    dialect: str = "none"
    base: Path = Path("/")

    @classmethod
    def of(cls, head: Line) -> Links:
        """As the first line of a journal has it."""
        told = head.get("junit_links")
        if not isinstance(told, dict) or told.get("dialect") not in DIALECTS:
            return cls()
        return cls(str(told["dialect"]), Path(str(told.get("base") or "/")))

    def told(self) -> dict[str, Any]:
        """For that line, so that the file made again is the same."""
        return {} if self.dialect == "none" else {"junit_links": {"dialect": self.dialect, "base": str(self.base)}}

    def reach(self, folder: Path) -> bool:
        """Whether files of this run folder can be linked at all."""
        return self.dialect != "gitlab" or folder.resolve().is_relative_to(self.base.resolve())

    def lines(self, case: Case, folder: Path | None) -> str:
        """A line for each file of a case, the one that tells most about its end first; empty if there is none."""
        if self.dialect == "none" or folder is None or not self.reach(folder):
            return ""
        base = self.base.resolve()
        found = dict.fromkeys(path for name in _names(case) if (path := inside(folder, name)))
        names = [str(path.relative_to(base) if self.dialect == "gitlab" else path) for path in found]
        # both look for the first "]]", on one line
        return "\n".join(f"[[ATTACHMENT|{name}]]" for name in names if "]]" not in name and name.isprintable())


def _names(case: Case) -> Iterator[object]:
    """Files as the journal names them: of a failed test its console comes first."""
    attached = [one.get("path") for line in (*case.lines, *case.late) for one in line.get("attachments") or ()]
    console = [part for part in (case.last("slice"),) if part]
    bad = case.verdict.result in ("fail", "unknown")
    if bad and not console and case.console and case.last("console_log"):
        console = [case.last("console_log")]  # of a board that did not boot there is only the whole
    yield from [*console, *attached] if bad else [*attached, *console]

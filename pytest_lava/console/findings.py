"""Which findings there are, which of them end a wait, and which turned out to be a program's words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_lava.console.doubt import Doubt
from pytest_lava.console.kernel_records import stamp_of
from pytest_lava.console.watch import Finding, FindingKind, Watch

__all__ = ["Findings"]

_MOST = 1000  # findings kept; the newest, but never at the cost of one that ends a wait
_MOST_GRAVE = 100  # of those since the last power cycle only the first counts
_GRAVE = frozenset({FindingKind.FATAL, FindingKind.BOOT})


class Findings:
    """Bookkeeping for one console, which locks it. Offsets are those of its log."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._found: list[Finding] = []
        self._boundary = 0
        self._calm_until = -math.inf  # on the board's clock

    @property
    def armed(self) -> frozenset[FindingKind]:
        """The kinds that end a wait."""
        return self._watch.armed

    @armed.setter
    def armed(self, kinds: Iterable[FindingKind]) -> None:
        self._watch.armed = frozenset(kinds)

    @property
    def returns(self) -> bool:
        """Whether the kernel is known to end its lines with a carriage return."""
        return self._watch.returns

    def feed(self, data: bytes, offset: int, doubt: Doubt | None) -> bool:
        """Look at what came; whether there is something new."""
        new = self._watch.feed(data, offset)
        if doubt is not None:
            new = [replace(finding, doubtful=True) for finding in new if doubt.allows(finding)]
        if self._calm_until > 0:
            new = [finding for finding in new if not self._excused(finding)]
        for finding in new:
            self._add(finding)
        return bool(new)

    def calm(self, until: float) -> None:
        """Stalls are none up to ``until`` on the board's clock: its time has just jumped."""
        self._calm_until = until

    def _excused(self, finding: Finding) -> bool:
        stamp = stamp_of(finding.record)
        return finding.kind is FindingKind.STALL and stamp is not None and stamp < self._calm_until

    def first(self) -> Finding | None:
        """The first of an armed kind on this board."""
        for finding in self._found:
            if finding.kind in self._watch.armed and finding.kind in _GRAVE and finding.offset >= self._boundary:
                return finding
        return None

    def between(self, begin: int, end: int | None) -> list[Finding]:
        """All that begin in a range."""
        return [finding for finding in self._found if _within(finding, begin, end)]

    def new_board(self, boundary: int) -> None:
        """What came before tells nothing about what comes now."""
        self._boundary, self._calm_until = boundary, -math.inf
        self._watch.reset()

    def lives(self, end: int) -> None:
        """The kernel was alive at ``end``, so what looked like its end before was none."""
        self._found = [f for f in self._found if f.kind not in _GRAVE or not self._boundary <= f.offset < end]

    def dismiss(self, begin: int, end: int | None, *, complaints_only: bool) -> None:
        """Those of a range are none; or but for those that end a wait."""
        self._found = [
            finding
            for finding in self._found
            if not _within(finding, begin, end) or (complaints_only and finding.kind in _GRAVE)
        ]

    def prove(self, begin: int, end: int, outputs: Sequence[bytes], *, exact: bool) -> None:
        """Drop those of a range that programs wrote, see :meth:`pytest_lava.console.console.Console.proven`."""
        inside = self.between(begin, end)
        if not inside:
            return
        if exact:
            kept = _unwritten(inside, outputs)
        else:
            names = {finding.name for output in outputs for finding in self._watch.look(output, 0)}
            kept = [finding for finding in inside if finding.name not in names]
        kept = [replace(finding, doubtful=False) for finding in kept]
        others = [finding for finding in self._found if not _within(finding, begin, end)]
        self._found = sorted(others + kept, key=lambda finding: finding.offset)

    def _add(self, finding: Finding) -> None:
        if self._counts(finding) and sum(map(self._counts, self._found)) >= _MOST_GRAVE:
            return
        if len(self._found) >= _MOST:
            del self._found[next(i for i, other in enumerate(self._found) if not self._counts(other))]
        self._found.append(finding)

    def _counts(self, finding: Finding) -> bool:
        """Whether it can end a wait: those before the last power cycle never do again."""
        return finding.kind in _GRAVE and finding.offset >= self._boundary


def _within(finding: Finding, begin: int, end: int | None) -> bool:
    return begin <= finding.offset and (end is None or finding.offset < end)


def _unwritten(findings: Sequence[Finding], outputs: Sequence[bytes]) -> list[Finding]:
    """Those that no program wrote. A line that came more often than that was the kernel's first (``dmesg`` follows)."""
    written: dict[bytes, int] = {}
    kept = []
    for finding in reversed(findings):
        text = finding.record
        left = written[text] if text in written else sum(output.count(text) for output in outputs)
        if left == 0:
            kept.append(finding)
        written[text] = max(0, left - 1)
    return kept[::-1]

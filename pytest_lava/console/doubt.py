"""A doubtful finding: did the kernel say so, or a program that writes to the line itself? Ask, and give it a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_lava.console.bytelog import pauses
from pytest_lava.console.kernel_records import excise
from pytest_lava.console.watch import Finding, FindingKind
from pytest_lava.deadline import monotonic
from pytest_lava.errors import ConsoleLost, Timeout

if TYPE_CHECKING:
    from pytest_lava.console.console import Console

__all__ = ["Doubt", "Probe"]

#: asks whether the kernel lives, and returns what tells whether an answer has come
Probe = Callable[[], Callable[[], bool]]

_ANSWER = 1.0  # seconds that a living kernel has to answer, or that a line is silent behind a dead one's words
_BUFFERED = 4096  # bytes of programs that may still come out of a serial driver once the kernel is dead
_PAUSE = 0.3  # seconds of silence after which such bytes do not come any more
_MUCH = 1 << 20  # bytes that no dead kernel says


class Doubt:
    """While programs write to the line; it judges one finding after the other.

    Without an answer to its ``probe`` a finding is the kernel's. Where nothing can be asked (a program reads what is
    typed, and a kernel answers SysRq even after its panic), it is the kernel's if the line then falls silent. What
    proves that the kernel lives is ``sign``, or more of programs than a serial driver had in store.
    """

    def __init__(self, probe: Probe | None = None, *, returned: bool = False, sign: bytes = b"") -> None:
        self._probe, self._returned, self._sign = probe, returned, sign
        self._finding: Finding | None = None
        self._since, self._end = 0.0, 0
        self._answered: Callable[[], bool] | None = None

    def allows(self, finding: Finding) -> bool:
        """Whether the kernel could have written it."""
        return finding.returned or not self._returned

    def judge(self, console: Console, finding: Finding) -> bool | None:
        """Whether the kernel lives in spite of it; ``None`` while that is not known. It does not wait."""
        if finding is not self._finding:
            self._finding, self._since = finding, monotonic()
            self._answered = self._ask()
        if self._answered is not None:
            if self._answered():
                return True
        elif self._goes_on(console, finding):
            return True
        elif console.end != self._end:
            self._end, self._since = console.end, monotonic()
        return None if monotonic() - self._since < _ANSWER else False

    def _ask(self) -> Callable[[], bool] | None:
        try:
            return self._probe() if self._probe else None
        except (ConsoleLost, Timeout):
            return None

    def _goes_on(self, console: Console, finding: Finding) -> bool:
        """Whether programs went on after it."""
        if console.end - finding.offset > _MUCH:
            return True
        said = console.read(finding.offset)
        if self._sign and self._sign in said:
            return True
        if finding.kind is FindingKind.BOOT or any(
            later.kind is FindingKind.BOOT for later in console.findings(finding.offset)
        ):
            return False  # what follows a reset is no program's
        if len(excise(said)) > _BUFFERED:
            return True
        begins = pauses(console.log, finding.offset, _PAUSE)
        return any(excise(said[begin - finding.offset :]).strip() for begin in begins)

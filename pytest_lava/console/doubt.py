"""A doubtful finding: did the kernel say so, or a program that writes to the line itself? Ask, and give it a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_lava.console.kernel_records import excise
from pytest_lava.console.watch import Finding
from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConsoleLost, PowerError, Timeout

if TYPE_CHECKING:
    from pytest_lava.console.console import Console

__all__ = ["Doubt", "Probe", "ask_sysrq"]

#: asks whether the kernel lives, and returns what tells whether an answer has come
Probe = Callable[[], Callable[[], bool]]

_ANSWER = 1.0  # seconds that a living kernel has to answer
_BUFFERED = 4096  # bytes of programs that may still come out of a serial driver once the kernel is dead


class Doubt:
    """While programs write to the line; it judges one finding after the other.

    Without an answer to its probe a finding is the kernel's. Where nothing can be asked it is so if nothing follows
    but records of the kernel and what its driver had in store.
    """

    def __init__(self, probe: Probe | None, returned: bool) -> None:
        self._probe = probe
        self._returned = returned
        self._finding: Finding | None = None
        self._since = 0.0
        self._said = 0
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
        elif (said := len(excise(console.read(finding.offset)))) > _BUFFERED:
            return True
        elif said != self._said:
            self._said, self._since = said, monotonic()
        return None if monotonic() - self._since < _ANSWER else False

    def _ask(self) -> Callable[[], bool] | None:
        try:
            return self._probe() if self._probe else None
        except (ConsoleLost, PowerError, Timeout):
            return None


def ask_sysrq(console: Console) -> Callable[[], bool]:
    """A probe that programs on the line do not hear: SysRq ``h``. ``ConsoleLost`` where that cannot be asked."""
    if console.sysrq in ("", "0"):
        raise ConsoleLost("it is not known whether the kernel answers SysRq")
    start = console.end
    console.send_break()
    console.write(b"h", Deadline.after(_ANSWER))
    return lambda: b": HELP" in console.read(start)

"""What still answered when a board fell silent, as typed evidence: which rungs were tried, and what that proves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Responsiveness", "Step", "Verdict"]


class Verdict(StrEnum):
    """What the last rung that was tried proves."""

    #: the shell answered a ping: nothing hangs any more
    SLOW = "alive-slow"
    #: the command died of Ctrl-C
    INTERRUPTED = "interrupted"
    #: the command died of Ctrl-\
    KILLED = "killed"
    #: no shell, but the kernel answered SysRq or wrote messages of its own
    KERNEL_ALIVE = "kernel-alive"
    #: nothing answered, not even a kernel that said at its boot that it would
    DEAD = "dead"
    #: no shell, and no way to know whether the kernel lives: the line has no BREAK, or ``kernel.sysrq`` is 0
    UNKNOWN = "unknown"

    @property
    def shell_is_back(self) -> bool:
        """Whether the shell can be used again."""
        return self in (Verdict.SLOW, Verdict.INTERRUPTED, Verdict.KILLED)


@dataclass(frozen=True)
class Step:
    """One rung that was tried: seconds until its answer or until it was given up.

    ``answer`` is empty if none came; ``skipped`` says why a rung could not be tried.
    """

    rung: str
    seconds: float
    answer: str = ""
    skipped: str = ""

    def __str__(self) -> str:
        if self.skipped:
            return f"{self.rung}: skipped: {self.skipped}"
        if not self.answer:
            return f"{self.rung}: no answer within {self.seconds:.1f} s"
        return f"{self.rung}: {self.answer} after {self.seconds:.3f} s"


@dataclass(frozen=True)
class Responsiveness:
    """How far up the hang ladder an answer came, and what the kernel told of itself.

    ``seconds`` is what all rungs took together. ``sysrq`` is the text of the kernel's dumps, cut to a bounded size;
    ``console`` is their whole range in the console log.
    """

    verdict: Verdict
    steps: tuple[Step, ...]
    seconds: float
    sysrq: str = ""
    console: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        """A line for each rung, as reports show it."""
        return "\n".join([*map(str, self.steps), f"verdict: {self.verdict} ({self.seconds:.1f} s)"])

    @property
    def facts(self) -> dict[str, str]:
        """The same as attributes of a result."""
        answered = [step for step in self.steps if step.answer]
        return {
            "responsiveness": str(self.verdict),
            "responsiveness.rungs": "; ".join(map(str, self.steps)),
            "responsiveness.answered": answered[0].rung if answered else "nothing",
            "responsiveness.seconds": f"{self.seconds:.3f}",
        }

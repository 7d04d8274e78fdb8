"""What a stress run came to: its cause, its time on both clocks, its iterations and its heartbeat, as data and text."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pytest_lava.errors import LavaError
from pytest_lava.told_times import told_seconds

__all__ = ["Cause", "Outcome", "Pulse"]


class Cause(StrEnum):
    """Why a stress run is over."""

    RUNNING = "running"
    LIMIT = "limit"
    FAILED = "command failed"
    CRASH = "crash"
    RESET = "reset"
    HANG = "hang"
    LOST = "board lost"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Pulse:
    """The heartbeat: ``last`` answer in seconds since the begin, ``latency`` and ``slowest`` answer in seconds.

    ``uptime`` is the board's own clock at the last answer.
    """

    count: int = 0
    last: float = 0.0
    latency: float = 0.0
    slowest: float = 0.0
    uptime: float | None = None


@dataclass(frozen=True)
class Outcome:
    """A stress run as far as it came.

    ``seconds`` is its time on this machine's clock, ``board_seconds`` the same on the board's, where that can tell.
    After a crash or a hang ``iterations`` is what the last heartbeat told. ``error`` is raised by who wants to fail.
    """

    command: str
    cause: Cause
    seconds: float
    reason: str = ""
    board_seconds: float | None = None
    iterations: int = 0
    pulse: Pulse = field(default_factory=Pulse)
    status: int | None = None
    output: bytes = b""
    error: LavaError | None = None
    #: whether what was started on the board is gone, so that the shell can be used
    stopped: bool = True

    def __str__(self) -> str:
        """``ran 1 h 02 min 10.3 s, 412 iterations, until: the kernel crashed: ...``."""
        rounds = "" if not self.iterations else f", {self.iterations} iteration{'' if self.iterations == 1 else 's'}"
        if self.cause is Cause.RUNNING:
            return f"has run {told_seconds(self.seconds)}{rounds}"
        return f"ran {told_seconds(self.seconds)}{rounds}, until: {self.reason or self.cause}"

    @property
    def facts(self) -> dict[str, object]:
        """The same as properties of a result; ``measurement`` and ``units`` are a bundle's own words."""
        pulse = self.pulse
        found: dict[str, object] = {
            "measurement": round(self.seconds, 3),
            "units": "seconds",
            "stress.cause": str(self.cause),
            "stress.iterations": self.iterations,
            "stress.heartbeats": pulse.count,
        }
        if self.board_seconds is not None:
            found["stress.board_seconds"] = round(self.board_seconds, 3)
        if pulse.count:
            found["stress.last_heartbeat"] = round(pulse.last, 3)
            found["stress.heartbeat_latency"] = round(pulse.latency, 4)
            found["stress.heartbeat_slowest"] = round(pulse.slowest, 4)
        if pulse.uptime is not None:
            found["stress.last_uptime"] = pulse.uptime
        return found

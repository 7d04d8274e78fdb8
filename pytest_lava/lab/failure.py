"""Why nothing runs on a target any more: told once, then the reason of each skip."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_lava.errors import ErrorInfo
from pytest_lava.plan import Target

__all__ = ["BoardUnavailable", "Failure"]


@dataclass(frozen=True)
class Failure:
    """Why nothing runs on a target any more; ``stage`` is wait, deploy, boot or recovery."""

    stage: str
    target: Target
    error: ErrorInfo
    start: str
    seconds: float
    console: tuple[int, int]

    @property
    def reason(self) -> str:
        """One line, as skipped items show it."""
        return f"{self.stage} of {self.target.id} failed: {self.error.message}"


class BoardUnavailable(Exception):
    """There is no board for this target; ``failure`` is the root cause, reported once already."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure

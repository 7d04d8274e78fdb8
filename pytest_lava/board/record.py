"""What a boot that reached a shell leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BootRecord"]


@dataclass(frozen=True)
class BootRecord:
    """One boot that reached a shell; ``console`` is its range in the log.

    ``seconds`` are from the moment when switching on began, so a first cycle's time without power is in it.
    ``resumed`` is when the state was kept in which the board was switched on (ISO time): then it has not booted now.
    """

    boot_id: int
    seconds: float
    release: str
    version: str
    machine: str
    console: tuple[int, int]
    resumed: str = ""

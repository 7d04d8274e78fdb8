"""What options and marks say about stress runs, as data: commands, limits, how often the result so far is told."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pytest_lava.errors import ConfigurationError

__all__ = ["REPORT", "Limits", "StressPlan", "parse_limits", "parse_time"]

#: seconds between two results so far in the journal
REPORT = 60.0
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)\s*")


@dataclass(frozen=True)
class Limits:
    """When what nothing breaks is over: after so many seconds, or iterations (0: no limit)."""

    seconds: float = math.inf
    iterations: int = 0


@dataclass(frozen=True)
class StressPlan:
    """``commands`` are stress runs of their own; ``limits`` are also those of ``--until-failure``.

    ``report``: seconds after which the result so far goes to the journal once more. ``given``: the options that say
    something about a load, which has to be there then.
    """

    commands: tuple[str, ...] = ()
    limits: Limits = Limits()
    report: float = REPORT
    until_failure: bool = False
    given: tuple[str, ...] = ()


def parse_limits(
    limit: str | float | None,
    iterations: int | None,
    names: tuple[str, str] = ("--stress-limit", "--stress-iterations"),
) -> Limits:
    """Limits as a user gives them. ``ConfigurationError`` begins with that of ``names`` that is wrong."""
    if iterations is not None and (isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1):
        raise ConfigurationError(f"{names[1]} {iterations!r}: write a whole number of at least 1")
    return Limits(math.inf if limit is None else parse_time(limit, names[0]), iterations or 0)


def parse_time(text: str | float, where: str) -> float:
    """Seconds of ``90``, ``90s``, ``30min``, ``1h30m``, ``2d``."""
    try:
        seconds = float(text)
    except (TypeError, ValueError):
        parts = _PART.findall(str(text))
        if not parts or _PART.sub("", str(text)).strip():
            raise ConfigurationError(f"{where} {text}: write a time such as 90s, 30min, 1h30m or 2d") from None
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{where} {text}: the time must be more than 0")
    return seconds

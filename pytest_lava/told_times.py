"""Times as people read them: how long something took or will take, how long ago it was, and when."""

from __future__ import annotations

from datetime import datetime

__all__ = ["ago", "column", "left", "minute", "roughly", "told_seconds"]


def told_seconds(seconds: float) -> str:
    """``1 h 02 min 10.3 s``, without what is zero in front."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min {rest / 10:04.1f} s"
    return f"{minutes} min {rest / 10:04.1f} s" if minutes else f"{rest / 10:.1f} s"


def left(seconds: float) -> str:
    """``9 min 20 s``, for what is only a guess and changes at each look."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def column(seconds: float) -> str:
    """``2.35 s``, from a minute on ``1:02:03``: short enough for a table."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def roughly(seconds: float) -> str:
    """``3 h``: the largest unit of which there are two."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(seconds: float) -> str:
    """An age, roughly."""
    return f"{roughly(max(0.0, seconds))} ago"


def minute(moment: datetime | float) -> str:
    """``2026-11-28 10:31``, by the clock of this machine; ``moment`` may be seconds of the epoch."""
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment)
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"

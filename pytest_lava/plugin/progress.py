"""How far a file on its way to or from a board is: on a terminal only, behind what pytest says, if it takes long."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from pytest_lava.console.files import Progress
from pytest_lava.deadline import monotonic

__all__ = ["ProgressLine", "told"]

_LONG = 1.0  # seconds until anything is shown
_EVERY = 0.2
# the cursor stays where pytest left it, and a line that is too long is cut instead of wrapped
_SHOW = "\x1b7\x1b[?7l {}\x1b[K\x1b[?7h\x1b8"
_CLEAR = "\x1b[K"


class ProgressLine:
    """An :data:`~pytest_lava.transfer.api.Announce` that writes to standard error, whatever pytest captures."""

    def __init__(self, config: pytest.Config) -> None:
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")
        with self._uncaptured():
            self._on_terminal = sys.stderr.isatty()

    def __call__(self, what: str, size: int) -> Progress | None:
        """Whom to tell of the next file."""
        if not self._on_terminal or not size:
            return None
        begin = last = monotonic()
        shown = False

        def report(done: int, total: int) -> None:
            nonlocal last, shown
            now = monotonic()
            if done >= total:
                if shown:
                    self._write(_CLEAR)
                return
            if now - begin < _LONG or now - last < _EVERY:
                return
            last, shown = now, True
            self._write(_SHOW.format(told(what, done, total, now - begin)))

        return report

    def _write(self, text: str) -> None:
        with self._uncaptured():
            sys.stderr.write(text)
            sys.stderr.flush()

    def _uncaptured(self) -> AbstractContextManager[None]:
        return nullcontext() if self._capture is None else self._capture.global_and_fixture_disabled()


def told(what: str, done: int, total: int, seconds: float) -> str:
    """``put vmlinuz: 43 % of 12.0 MB, 11 KB/s, 9 min 20 s left``."""
    rate = done / seconds
    left = round((total - done) / rate) if rate else 0
    minutes = f"{left // 60} min " if left >= 60 else ""
    wait = f", {minutes}{left % 60} s left" if rate else ""
    return f"{what}: {100 * done // total} % of {_size(total)}, {_size(rate)}/s{wait}"


def _size(size: float) -> str:
    units = ["B", "KB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 100 else f"{size:.1f} {units[0]}"

"""How far a file on its way to a board, from one, or to the cache is: on a terminal only, and if it takes long."""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import nullcontext, suppress
from typing import Any

import pytest

from pytest_lava.console.files import Progress
from pytest_lava.deadline import monotonic
from pytest_lava.told_times import left

__all__ = ["ProgressLine", "told"]

_LONG = 1.0  # seconds until anything is shown
_EVERY = 0.2
# the cursor stays where pytest left it, and a line that is too long is cut instead of wrapped
_SHOW = "\x1b7\x1b[?7l {}\x1b[K\x1b[?7h\x1b8"
_CLEAR = "\x1b[K"


class ProgressLine:
    """An :data:`~pytest_lava.transfer.api.Announce` that writes to standard error, whatever pytest captures."""

    def __init__(self, config: pytest.Config) -> None:
        capture: Any = config.pluginmanager.getplugin("capturemanager")
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            self._on_terminal = sys.stderr.isatty()
            # a descriptor of its own: downloads run in threads, which must not touch what pytest captures
            self._fd = os.dup(sys.stderr.fileno()) if self._on_terminal else -1
        if self._on_terminal:
            weakref.finalize(self, os.close, self._fd)

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
        with suppress(OSError):  # a terminal that was closed
            os.write(self._fd, text.encode(errors="replace"))


def told(what: str, done: int, total: int, seconds: float) -> str:
    """``put vmlinuz: 43 % of 12.0 MB, 11 KB/s, 9 min 20 s left``."""
    rate = done / seconds
    wait = f", {left((total - done) / rate)} left" if rate else ""
    return f"{what}: {100 * done // total} % of {_size(total)}, {_size(rate)}/s{wait}"


def _size(size: float) -> str:
    units = ["B", "KB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 100 else f"{size:.1f} {units[0]}"

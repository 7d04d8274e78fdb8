"""Results on a server while the run goes on: a thread for each sink reads the journal and shows what has ended so far.

It never delays a test and never fails a run: it takes at most a fiftieth of one processor, waits for nobody at the end,
and what it could not show is in the results that are sent then. Those take the place of what was shown.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pytest_lava.deadline import Deadline, monotonic
from pytest_lava.errors import ConfigurationError, LavaError, first_line
from pytest_lava.sinks.api import Results, SinkRefused

__all__ = ["LiveFeed", "LiveSink", "Shown"]

_PAUSES = (1.0, 2.0, 4.0)  # seconds between the first looks
_PAUSE, _LONGEST = 5.0, 120.0
_LIMIT = 60.0  # seconds for one update
_SHARE = 50  # seconds of rest for each second of processor time
_REST = 5  # likewise for each second on the clock, which may be the server's


@runtime_checkable
class LiveSink(Protocol):
    """A sink that can show a run before its end."""

    def show(self, results: Results, folder: Path, deadline: Deadline, ended: Callable[[], bool]) -> int:
        """Show what has come so far, in place of what was shown before; the number of results that are new there.

        ``folder`` is empty and may be used. Once ``ended`` says so nothing is changed on the server any more, but for a
        request that is on its way; ``send`` copes with that one. Raises as ``send`` does.
        """


@dataclass(frozen=True)
class Shown:
    """What came of it: how often it was tried, how often that failed, and the last reason."""

    tries: int = 0
    failed: int = 0
    reason: str = ""


class LiveFeed:
    """Shows one run on one sink."""

    def __init__(self, name: str, sink: LiveSink, results: Results) -> None:
        self.name = name
        self._sink, self._results = sink, results
        self._ended = threading.Event()
        self._folder = results.folder / f".live-{name}"
        self._making = threading.Lock()  # the folder is not made any more once it was removed at the end
        self._shown = Shown()
        self._thread = threading.Thread(target=self._run, name=f"lava live {name}", daemon=True)

    def begin(self) -> None:
        """Start; the run folder need not be there yet."""
        self._thread.start()

    def end(self) -> Shown:
        """Stop, and say what came of it. It waits for nothing; a second call does no harm.

        An update that is in progress loses its files: what it was to show is in the results that are sent now.
        """
        with self._making:
            self._ended.set()
        shutil.rmtree(self._folder, ignore_errors=True)
        return self._shown

    def _run(self) -> None:
        seen, pauses = 0, iter(_PAUSES)
        pause = next(pauses)
        while not self._ended.wait(pause):
            size = _written(self._results.folder)
            if size == seen:
                continue
            before, begun, used = self._shown, monotonic(), time.thread_time()
            goes_on = self._show()
            if not goes_on:
                return
            if self._shown.failed == before.failed:
                seen = size
                pause = next(pauses, _PAUSE)
            else:
                pause = min(2 * pause, _LONGEST)
            pause = max(pause, _SHARE * (time.thread_time() - used), _REST * (monotonic() - begun))

    def _show(self) -> bool:
        """Whether another try is of use."""
        reason, goes_on = "", True
        try:
            with self._making:
                if self._ended.is_set():
                    return False
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir()
            self._sink.show(self._results, self._folder, Deadline.after(_LIMIT), self._ended.is_set)
        except (SinkRefused, ConfigurationError) as error:
            reason, goes_on = first_line(error), False
        except (LavaError, OSError) as error:
            reason = first_line(error)
        except Exception as error:  # of a driver: the results are sent at the end all the same
            reason, goes_on = f"pytest-lava failed: {type(error).__name__}: {error}", False
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._ended.is_set():
            return False
        was = self._shown
        self._shown = Shown(was.tries + 1, was.failed + bool(reason), reason or was.reason)
        return goes_on


def _written(folder: Path) -> int:
    """Bytes of all journals; a run adds to them and never takes away."""
    total = 0
    for path in folder.glob("journal*.jsonl"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
